//! `perf sched map`: a row a switch, a column a CPU; `*` marks the CPU that switched.
//!
//! ```text
//!   *A0       26385.920091 secs A0 => migration/0:18
//!    A0 *B0   26385.920225 secs B0 => perf-exec:30689 (CPU 1)
//! ```
//!
//! There is nothing in it but who runs: no state, no priority, no wake-up.

use super::{
    Parser,
    head::{self, rsplit, split},
    lines::{Line, Wrong},
    loss::{self, Loss},
    machine::Facts,
};
use crate::trace::event::{Body, Comm, Event, Snapshot, Switch, Task};
use foldhash::HashMap;

/// Marker, two letters, space.
const CELL: usize = 4;

#[derive(Debug, Default)]
pub struct SchedMap {
    facts: Facts,
    tasks: HashMap<[u8; 2], (u32, Comm)>,
    current: HashMap<u32, (u32, Comm)>,
    /// With `--compact`, the CPU of each column.
    columns: Vec<u32>,
    compact: bool,
}

/// A row, taken apart.
struct Row<'a> {
    column: usize,
    columns: usize,
    name: [u8; 2],
    ts_ns: u64,
    legend: Option<([u8; 2], u32, &'a [u8])>,
    /// `(CPU 3)`, which `--compact` prints when a column is new.
    cpu: Option<u32>,
}

impl Parser for SchedMap {
    fn line(&mut self, text: &[u8], emit: &mut dyn FnMut(Event)) -> Line {
        let trimmed = text.trim_ascii();
        if trimmed.is_empty() || trimmed.starts_with(b"#") {
            return Line::Blank;
        }
        if let Some(loss) = loss::sched_map(text) {
            self.current.clear();
            let at_ns = self.facts.last_ns;
            self.facts.gaps(loss, at_ns).into_iter().for_each(emit);
            return Line::Lost(loss);
        }
        if trimmed.starts_with(b"INFO: ") {
            return Line::Blank;
        }
        match row(text) {
            Ok(None) => Line::Other,
            Ok(Some(row)) => self.row(&row, emit).unwrap_or_else(Line::Wrong),
            Err(why) => Line::Wrong(why),
        }
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }
}

impl SchedMap {
    fn row(&mut self, row: &Row<'_>, emit: &mut dyn FnMut(Event)) -> Result<Line, Wrong> {
        let Row {
            column,
            columns,
            name,
            ts_ns,
            legend,
            cpu,
        } = *row;
        let cpu = self.cpu(column, columns, cpu)?;
        if let Some((name, pid, comm)) = legend {
            let task = (pid, Comm::cut(comm));
            let before = self.tasks.insert(name, task);
            self.facts.reused_names += u64::from(before.is_some_and(|before| before.0 != pid));
        }
        let next = if name == *b". " {
            (0, Comm::new(&format!("swapper/{cpu}")))
        } else {
            *self.tasks.get(&name).ok_or(Wrong::Unnamed)?
        };
        self.facts.see(cpu, ts_ns);
        let event = |body| Event {
            ts_ns,
            seq: 0,
            cpu,
            body,
        };
        let Some(prev) = self.current.insert(cpu, next) else {
            // What ran before is not told.
            emit(event(Body::Snapshot(Snapshot {
                task: Task {
                    on_rq: true,
                    ..Task::unknown(next.0, next.1)
                },
                state: 0,
                target_cpu: cpu,
                on_cpu: true,
            })));
            return Ok(Line::Used { switches: 0 });
        };
        if prev.0 == next.0 {
            // It left and came back: at least one switch between is missing.
            let loss = Loss {
                cpu: Some(cpu),
                events: 1,
            };
            self.facts.gaps(loss, ts_ns).into_iter().for_each(emit);
            return Ok(Line::Lost(loss));
        }
        emit(event(Body::Switch(Switch {
            prev: Task::unknown(prev.0, prev.1),
            next: Task {
                on_rq: true,
                ..Task::unknown(next.0, next.1)
            },
            prev_state: Switch::UNKNOWN_STATE,
            preempt: false,
            merged: false,
            hidden_ns: 0,
        })));
        Ok(Line::Used { switches: 1 })
    }

    fn cpu(&mut self, column: usize, columns: usize, named: Option<u32>) -> Result<u32, Wrong> {
        if let Some(cpu) = named {
            self.compact = true;
            if self.columns.len() != column {
                return Err(Wrong::Cpu);
            }
            self.columns.push(cpu);
        }
        if self.compact {
            return self.columns.get(column).copied().ok_or(Wrong::Cpu);
        }
        self.facts.cpus = self.facts.cpus.max(columns as u32);
        Ok(column as u32)
    }
}

/// `None` for a row of cells alone, which perf prints for CPUs that `--cpus` leaves out.
fn row(text: &[u8]) -> Result<Option<Row<'_>>, Wrong> {
    let Some((before, behind)) = split(text, b" secs") else {
        let cells = cells(text)?;
        return if cells.0.is_none() {
            Ok(None)
        } else {
            Err(Wrong::Time)
        };
    };
    let (cells_text, time) = rsplit(before, b" ").ok_or(Wrong::Time)?;
    let ts_ns = head::time_ns(time).ok_or(Wrong::Time)?;
    let (Some((column, name)), columns) = cells(cells_text)? else {
        return Err(Wrong::Cell);
    };
    let behind = behind.trim_ascii();
    let (behind, cpu) = match behind
        .strip_suffix(b")")
        .and_then(|text| rsplit(text, b"(CPU "))
    {
        Some((before, cpu)) if head::number(cpu).is_some() => (
            before.trim_ascii_end(),
            Some(head::cpu(cpu).ok_or(Wrong::Cpu)?),
        ),
        _ => (behind, None),
    };
    let legend = if behind.is_empty() {
        None
    } else {
        let (name, task) = split(behind, b" => ").ok_or(Wrong::Legend)?;
        let (comm, pid) = rsplit(task, b":").ok_or(Wrong::Legend)?;
        Some((
            letters(name.trim_ascii()).ok_or(Wrong::Legend)?,
            head::pid(pid).ok_or(Wrong::Legend)?,
            comm,
        ))
    };
    Ok(Some(Row {
        column,
        columns,
        name,
        ts_ns,
        legend,
        cpu,
    }))
}

/// Column and name of the marked cell, and how many cells there are.
#[expect(clippy::type_complexity, reason = "said above")]
fn cells(text: &[u8]) -> Result<(Option<(usize, [u8; 2])>, usize), Wrong> {
    let text = text.strip_prefix(b"  ").ok_or(Wrong::Foreign)?;
    if text.len() > CELL * kernoracle_common::MAX_CPUS + CELL * 5 {
        return Err(Wrong::Cpu);
    }
    let mut marked = None;
    for (column, cell) in text.chunks(CELL).enumerate() {
        let padded = [b' '; CELL];
        let mut whole = padded;
        whole[..cell.len()].copy_from_slice(cell);
        let [marker, a, b, space] = whole;
        let known = letters([a, b].trim_ascii()).is_some() || [a, b] == *b"  ";
        if !known || space != b' ' || !matches!(marker, b' ' | b'*') {
            return Err(Wrong::Cell);
        }
        if marker == b'*' && marked.replace((column, [a, b])).is_some() {
            return Err(Wrong::Cell);
        }
    }
    // Behind the cells, two spaces and the time padded to twelve.
    let columns = text.len().saturating_sub(2) / CELL;
    let marked = match marked {
        // "%2s" puts a single letter to the right.
        Some((column, [b' ', letter])) => Some((column, [letter, b' '])),
        marked => marked,
    };
    Ok((
        marked,
        columns.max(marked.map_or(0, |(column, _)| column + 1)),
    ))
}

/// `A0`, or `.` for idle.
fn letters(text: &[u8]) -> Option<[u8; 2]> {
    match *text {
        [a @ b'A'..=b'Z', b @ b'0'..=b'9'] => Some([a, b]),
        [b'.'] => Some(*b". "),
        _ => None,
    }
}
