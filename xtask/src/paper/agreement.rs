//! Whether perf's recording, imported, is ours: switch for switch, over the time that both saw.

use std::{fmt, path::Path, process::Command};

use anyhow::{Result, ensure};

use super::rows::{self, Row};
use crate::command;

pub struct Agreement {
    /// Switches in the time that both recorded.
    pub ours: usize,
    pub perfs: usize,
    /// The first that differs.
    pub differs: Option<(Option<Row>, Option<Row>)>,
}

/// Of `both.kot` and `perf-script.txt`.
pub fn measure(kernoracle: &Path, work: &Path) -> Result<Agreement> {
    let imported = work.join("perf.kot");
    command::run(
        Command::new(kernoracle)
            .arg("import")
            .arg(work.join("perf-script.txt"))
            .arg("-o")
            .arg(&imported)
            .arg("--strict"),
    )?;
    let ours = rows::read(kernoracle, &work.join("both.kot"), work)?;
    let perfs = rows::read(kernoracle, &imported, work)?;
    compare(&ours, &perfs)
}

fn compare(ours: &[Row], perfs: &[Row]) -> Result<Agreement> {
    let span = |rows: &[Row]| Some((rows.first()?.ts_ns, rows.last()?.ts_ns));
    let (Some(a), Some(b)) = (span(ours), span(perfs)) else {
        anyhow::bail!("one of the recordings has no switch");
    };
    // perf reads the clock itself, a moment after or before us: its times are not ours to the nanosecond. So the ends are
    // aligned by what happened: the first of the later recording's switches is found in the other.
    let (from, to) = (a.0.max(b.0), a.1.min(b.1));
    ensure!(from < to, "the recordings do not overlap");
    let ours = within(ours, from, to);
    let perfs = within(perfs, from, to);
    let (ours, perfs) = align(ours, perfs);
    let differs = (0..ours.len().max(perfs.len()))
        .find(|&i| !same(ours.get(i), perfs.get(i)))
        .map(|i| (ours.get(i).cloned(), perfs.get(i).cloned()));
    Ok(Agreement {
        ours: ours.len(),
        perfs: perfs.len(),
        differs,
    })
}

fn within(rows: &[Row], from: u64, to: u64) -> &[Row] {
    let first = rows.partition_point(|row| row.ts_ns < from);
    let behind = rows.partition_point(|row| row.ts_ns <= to);
    &rows[first..behind]
}

/// A switch at either end may lie just inside for one and just outside for the other.
fn align<'a>(mut ours: &'a [Row], mut perfs: &'a [Row]) -> (&'a [Row], &'a [Row]) {
    if !same(ours.first(), perfs.first()) {
        if same(ours.get(1), perfs.first()) {
            ours = &ours[1..];
        } else if same(ours.first(), perfs.get(1)) {
            perfs = &perfs[1..];
        }
    }
    if ours.len() == perfs.len() + 1 {
        ours = &ours[..perfs.len()];
    } else if perfs.len() == ours.len() + 1 {
        perfs = &perfs[..ours.len()];
    }
    (ours, perfs)
}

/// The same tasks, at the same time but for what lies between two looks at the clock.
fn same(ours: Option<&Row>, perfs: Option<&Row>) -> bool {
    /// ns: an emulated machine may be stopped between the two.
    const APART: u64 = 50_000_000;
    match (ours, perfs) {
        (Some(a), Some(b)) => {
            a.prev_pid == b.prev_pid
                && a.next_pid == b.next_pid
                && a.prev_state.starts_with('R') == b.prev_state.starts_with('R')
                && a.ts_ns.abs_diff(b.ts_ns) < APART
        }
        (None, None) => true,
        _ => false,
    }
}

impl Agreement {
    /// Errors: a switch differs, or there are hardly any.
    pub fn check(&self) -> Result<()> {
        if let Some((ours, perfs)) = &self.differs {
            anyhow::bail!("our recording and perf's differ: ours {ours:?}, perf's {perfs:?}");
        }
        ensure!(
            self.ours >= 100,
            "only {} switches were compared",
            self.ours
        );
        Ok(())
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} switches in our recording, {} in perf's of the same time, {}",
            self.ours,
            self.perfs,
            if self.differs.is_none() {
                "all the same"
            } else {
                "not the same"
            }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(from: u64, tasks: &[u32]) -> Vec<Row> {
        tasks
            .windows(2)
            .enumerate()
            .map(|(i, pair)| Row {
                ts_ns: (from + i as u64) * 1_000_000_000,
                prev_pid: pair[0],
                next_pid: pair[1],
                next_comm: String::new(),
                prev_state: "S".to_owned(),
            })
            .collect()
    }

    #[test]
    fn what_only_one_has_seen_at_the_ends_is_no_difference() {
        let ours = rows(1, &[1, 2, 3, 4, 5]);
        let perfs = rows(0, &[9, 1, 2, 3, 4, 5, 6]);
        let agreement = compare(&ours, &perfs).unwrap();
        assert_eq!((agreement.ours, agreement.differs), (4, None));
    }

    #[test]
    fn another_task_or_a_missing_switch_is_one() {
        let ours = rows(0, &[1, 2, 3, 4, 5]);
        let other = rows(0, &[1, 2, 7, 4, 5]);
        assert!(compare(&ours, &other).unwrap().check().is_err());
        let mut missing = ours.clone();
        missing.remove(1);
        missing.remove(1);
        assert!(compare(&ours, &missing).unwrap().differs.is_some());
    }
}
