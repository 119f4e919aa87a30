//! The switches of a recording, by way of `kernoracle export --to csv`.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use crate::command;

/// A switch, as two recorders have to agree on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub ts_ns: u64,
    pub prev_pid: u32,
    pub next_pid: u32,
    pub next_comm: String,
    pub prev_state: String,
}

/// Exports into `work` and reads it.
pub fn read(kernoracle: &Path, recording: &Path, work: &Path) -> Result<Vec<Row>> {
    let csv = work.join("rows.csv");
    command::run(
        Command::new(kernoracle)
            .arg("export")
            .arg(recording)
            .args(["--to", "csv", "-o"])
            .arg(&csv),
    )?;
    let text = fs::read_to_string(&csv).with_context(|| csv.display().to_string())?;
    fs::remove_file(&csv)?;
    parse(&text).with_context(|| recording.display().to_string())
}

fn parse(text: &str) -> Result<Vec<Row>> {
    let mut lines = text.lines();
    let names = fields(lines.next().context("no header")?);
    let column = |name: &str| {
        names
            .iter()
            .position(|it| it == name)
            .with_context(|| format!("no column {name}"))
    };
    let [ts, prev, next, comm, state] = [
        column("ts_ns")?,
        column("prev_pid")?,
        column("next_pid")?,
        column("next_comm")?,
        column("prev_state")?,
    ];
    lines
        .map(|line| {
            let fields = fields(line);
            ensure!(fields.len() == names.len(), "not a row: {line}");
            Ok(Row {
                ts_ns: fields[ts].parse()?,
                prev_pid: fields[prev].parse()?,
                next_pid: fields[next].parse()?,
                next_comm: fields[comm].clone(),
                prev_state: fields[state].clone(),
            })
        })
        .collect()
}

/// Of a line of CSV (RFC 4180): a field in quotes may hold commas, and quotes doubled.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => {
                if let Some(last) = fields.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    fields
}

/// What the paper's figure 4 shows.
pub struct Summary {
    pub switches: u64,
    /// Name and number of schedules of each task, most often first.
    pub tasks: Vec<(String, u64)>,
}

impl Summary {
    pub fn of(rows: &[Row]) -> Self {
        let mut counts: BTreeMap<(u32, &str), u64> = BTreeMap::new();
        for row in rows {
            *counts.entry((row.next_pid, &row.next_comm)).or_default() += 1;
        }
        let mut tasks: Vec<(String, u64)> = counts
            .into_iter()
            .map(|((pid, comm), count)| match pid {
                0 => ("idle".to_owned(), count),
                _ => (format!("{comm}/{pid}"), count),
            })
            .collect();
        tasks.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Self {
            switches: rows.len() as u64,
            tasks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_and_names_may_hold_commas() {
        let rows = parse(
            "cpu,ts_ns,prev_pid,prev_state,next_pid,next_comm\n0,10,1,S,2,\"a,b\"\n0,12,2,R,1,init\n0,15,1,S,2,\"a,b\"\n",
        )
        .unwrap();
        assert_eq!((rows[0].ts_ns, rows[1].next_pid), (10, 1));
        let summary = Summary::of(&rows);
        assert_eq!(summary.switches, 3);
        assert_eq!(
            summary.tasks,
            [("a,b/2".to_owned(), 2), ("init/1".to_owned(), 1)]
        );
    }
}
