//! The columns, and the page that documents them.

use super::row::Row;
use crate::trace::{
    event::{Entity, Fair, MAX_PARENTS, Switch, Task},
    origin::Origin,
};
use std::fmt::Write as _;

/// A cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// The source of the trace does not say.
    Absent,
    Unsigned(u64),
    Signed(i64),
    Flag(bool),
    Text(String),
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Unsigned,
    Signed,
    Flag,
    Text,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned, 64 bit",
            Self::Signed => "signed, 64 bit",
            Self::Flag => "true or false",
            Self::Text => "text, UTF-8",
        }
    }
}

type Get = Box<dyn Fn(&Row<'_>) -> Value>;

/// A column.
pub struct Column {
    pub name: String,
    pub kind: Kind,
    /// It is empty in some traces.
    pub optional: bool,
    /// One line.
    pub about: String,
    pub get: Get,
}

/// A task of the row.
type Side = fn(&Switch) -> &Task;

/// Gathers columns.
struct Columns(Vec<Column>);

impl Columns {
    fn add(
        &mut self,
        name: impl Into<String>,
        kind: Kind,
        optional: bool,
        about: impl Into<String>,
        get: impl Fn(&Row<'_>) -> Value + 'static,
    ) {
        self.0.push(Column {
            name: name.into(),
            kind,
            optional,
            about: about.into(),
            get: Box::new(get),
        });
    }
}

/// All columns, in their order. `origin` says what its trace lacks.
pub fn columns(origin: &Origin) -> Vec<Column> {
    let mut to = Columns(Vec::new());
    place(&mut to);
    let sides: [(&str, &str, Side); 2] = [
        ("prev", "left", |switch| &switch.prev),
        ("next", "entered", |switch| &switch.next),
    ];
    for (side, verb, task) in sides {
        who(&mut to, side, verb, task, origin);
    }
    how(&mut to);
    for (side, _, task) in sides {
        scheduler(&mut to, side, task, origin);
    }
    to.0
}

fn unsigned(value: impl Into<u64>) -> Value {
    Value::Unsigned(value.into())
}

fn or_absent<T>(value: Option<T>, make: impl Fn(T) -> Value) -> Value {
    value.map_or(Value::Absent, make)
}

fn place(to: &mut Columns) {
    use Kind::Unsigned;
    to.add(
        "ts_ns",
        Unsigned,
        false,
        "when, ns of the trace's clock (`CLOCK_MONOTONIC` if `record` made it)",
        |row| unsigned(row.ts_ns),
    );
    to.add("diff_ns", Unsigned, true, "ns since the last switch on this CPU, which is how long prev held it; empty for a CPU's first row, behind a gap, and where time runs back", |row| {
        or_absent(row.diff_ns, unsigned)
    });
    to.add("cpu", Unsigned, false, "CPU that switched", |row| {
        unsigned(row.cpu)
    });
    to.add(
        "lost_before",
        Unsigned,
        false,
        "events of this CPU that were lost since its last switch; switches may be among them",
        |row| unsigned(row.lost_before),
    );
}

fn who(to: &mut Columns, side: &str, verb: &str, task: Side, origin: &Origin) {
    use Kind::{Flag, Signed, Text, Unsigned};
    let kthread_known = !lacks(origin, "kthread");
    to.add(
        format!("{side}_pid"),
        Unsigned,
        false,
        format!("the task that {verb} (a thread has its own pid); 0 is idle"),
        move |row| unsigned(task(row.switch).pid),
    );
    to.add(
        format!("{side}_tgid"),
        Unsigned,
        true,
        "its process",
        move |row| {
            let task = task(row.switch);
            let known = task.pid == 0 || task.tgid != Task::UNKNOWN_TGID;
            or_absent(known.then_some(task.tgid), unsigned)
        },
    );
    to.add(
        format!("{side}_comm"),
        Text,
        false,
        "its name, at most 15 bytes; what is not UTF-8 is replaced by U+FFFD",
        move |row| Value::Text(task(row.switch).comm.to_string()),
    );
    to.add(
        format!("{side}_prio"),
        Signed,
        true,
        "kernel priority: 0 to 99 real time and deadline, 100 to 139 fair (120 is nice 0)",
        move |row| {
            let prio = task(row.switch).prio;
            or_absent((prio != Task::UNKNOWN_PRIO).then_some(prio), |prio| {
                Value::Signed(prio.into())
            })
        },
    );
    to.add(
        format!("{side}_policy"),
        Unsigned,
        true,
        "`SCHED_*`: 0 other, 1 fifo, 2 rr, 3 batch, 5 idle, 6 deadline",
        move |row| {
            let policy = task(row.switch).policy;
            or_absent((policy != Task::UNKNOWN_POLICY).then_some(policy), unsigned)
        },
    );
    to.add(
        format!("{side}_kthread"),
        Flag,
        true,
        "it is a kernel thread",
        move |row| or_absent(kthread_known.then(|| task(row.switch).kthread), Value::Flag),
    );
}

fn how(to: &mut Columns) {
    use Kind::{Flag, Text, Unsigned};
    to.add("prev_state", Text, true, "state in which prev left, as perf writes it: R runnable, S sleeping, D uninterruptible, I idle kernel thread, T stopped, t traced, P parked, X dead, Z zombie; others as a hexadecimal number", |row| {
        let state = row.switch.prev_state;
        or_absent((state != Switch::UNKNOWN_STATE).then_some(state), |state| Value::Text(letter(state)))
    });
    to.add(
        "preempted",
        Flag,
        true,
        "prev would have gone on (perf's `R+`)",
        |row| {
            let known = row.switch.prev_state != Switch::UNKNOWN_STATE;
            or_absent(known.then_some(row.switch.preempt), Value::Flag)
        },
    );
    to.add(
        "merged",
        Flag,
        false,
        "Kernoracle ran between prev and next and was left out",
        |row| Value::Flag(row.switch.merged),
    );
    to.add(
        "hidden_ns",
        Unsigned,
        false,
        "ns of `diff_ns` in which Kernoracle held the CPU",
        |row| unsigned(row.switch.hidden_ns),
    );
}

fn scheduler(to: &mut Columns, side: &str, task: Side, origin: &Origin) {
    use Kind::{Flag, Signed, Unsigned};
    let on_rq_known = !lacks(origin, "on_rq");
    let fair = move |row: &Row<'_>| task(row.switch).fair.clone();
    to.add(
        format!("{side}_on_rq"),
        Flag,
        true,
        "it is on a run queue",
        move |row| or_absent(on_rq_known.then(|| task(row.switch).on_rq), Value::Flag),
    );
    to.add(
        format!("{side}_sum_exec_ns"),
        Unsigned,
        true,
        "ns that it has run in its life",
        move |row| or_absent(fair(row), |fair: Fair| unsigned(fair.sum_exec_ns)),
    );
    to.add(format!("{side}_vlag_ns"), Signed, true, "`vlag`, weighted ns; its deadline relative to its vruntime while it is queued; absent before 6.6", move |row| {
        or_absent(fair(row).and_then(|fair| fair.vlag), Value::Signed)
    });
    to.add(
        format!("{side}_delayed"),
        Flag,
        true,
        "it sleeps and is still queued; absent before 6.12",
        move |row| or_absent(fair(row).and_then(|fair| fair.delayed), Value::Flag),
    );
    to.add(
        format!("{side}_depth"),
        Unsigned,
        true,
        "groups above it",
        move |row| or_absent(fair(row), |fair: Fair| unsigned(fair.depth)),
    );
    for level in 0..=MAX_PARENTS {
        let entity = move |row: &Row<'_>| {
            let fair = task(row.switch).fair.as_ref()?;
            match level.checked_sub(1) {
                None => Some(fair.own),
                Some(parent) => fair.parents.get(parent).copied(),
            }
        };
        let (prefix, of) = match level {
            0 => (side.to_owned(), "its own entity".to_owned()),
            _ => (
                format!("{side}_parent{level}"),
                format!("the group {level} above it"),
            ),
        };
        to.add(
            format!("{prefix}_vruntime_ns"),
            Unsigned,
            true,
            format!("weighted ns, of {of}; comparable only inside one `cfs_rq`"),
            move |row| or_absent(entity(row), |it: Entity| unsigned(it.vruntime)),
        );
        to.add(
            format!("{prefix}_deadline_ns"),
            Unsigned,
            true,
            format!("virtual deadline of {of}, weighted ns; absent before 6.6"),
            move |row| or_absent(entity(row).and_then(|it| it.deadline), unsigned),
        );
        to.add(
            format!("{prefix}_slice_ns"),
            Unsigned,
            true,
            format!("slice of {of}; absent before 6.6"),
            move |row| or_absent(entity(row).and_then(|it| it.slice), unsigned),
        );
        to.add(
            format!("{prefix}_weight"),
            Unsigned,
            true,
            format!("`load.weight` of {of}: 1048576 for nice 0"),
            move |row| or_absent(entity(row), |it: Entity| unsigned(it.weight)),
        );
        to.add(
            format!("{prefix}_cfs_rq"),
            Unsigned,
            true,
            format!("queue of {of}, a number in the order of first sight"),
            move |row| or_absent(entity(row), |it: Entity| unsigned(it.cfs_rq)),
        );
    }
}

fn lacks(origin: &Origin, field: &str) -> bool {
    origin.absent_fields.iter().any(|absent| absent == field)
}

/// The letter of `task_index_to_char` (include/linux/sched.h) for the highest bit that is reported.
fn letter(state: u32) -> String {
    // TASK_UNINTERRUPTIBLE and TASK_NOLOAD together are TASK_IDLE.
    if state & 0x402 == 0x402 {
        return "I".to_owned();
    }
    // TASK_DEAD is what a task leaves with that ends.
    let reported = state & 0xff;
    match reported.checked_ilog2() {
        None if state == 0 => "R".to_owned(),
        None => format!("0x{state:x}"),
        Some(bit) => ["S", "D", "T", "t", "X", "Z", "P", "X"][bit as usize].to_owned(),
    }
}

const INTRODUCTION: &str = "\
# Columns of an export

Made by `kernoracle export --columns`; a test compares.

`kernoracle export FILE --to csv|parquet -o OUT` writes one row a switch, in the order of the file. CSV has a
header line; what is absent (the kernel or the imported text does not say, or the task is not of the fair
class) is empty there and null in Parquet. Numbers are never made up: an imported `perf sched map` has no
priorities, so their columns are empty.

Events other than switches have no rows. Gaps do show: `lost_before` counts the events that were lost on the
row's CPU since its last switch, and `diff_ns` is empty behind a gap. What was lost after the last switch of a
CPU no row can show; `export` prints the sum, as it prints all gaps. A file that was cut is exported up to the cut,
and the exit status is 2.

The Parquet file holds `kernoracle.origin` in its metadata: the trace file's origin, JSON
([trace-format.md](trace-format.md)).

```
polars.read_parquet(\"a.parquet\").filter(pl.col(\"lost_before\") == 0)
pandas.read_csv(\"a.csv\", dtype_backend=\"numpy_nullable\")
```

";

/// `docs/export.md`.
pub fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("| column | type | may be empty | what |\n|---|---|---|---|\n");
    for Column {
        name,
        kind,
        optional,
        about,
        get: _,
    } in columns(&Origin::default())
    {
        let optional = if optional { "yes" } else { "" };
        let kind = kind.name();
        writeln!(page, "| `{name}` | {kind} | {optional} | {about} |")
            .expect("a string takes everything");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_the_tree_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/export.md");
        let page = std::fs::read_to_string(path).expect("docs/export.md is in the tree");
        assert!(
            page == markdown(),
            "docs/export.md is not up to date: cargo run -- export --columns > docs/export.md"
        );
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = columns(&Origin::default())
            .into_iter()
            .map(|it| it.name)
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn states_have_perfs_letters() {
        let letters = [0, 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x402, 0x102, 0x1000].map(letter);
        assert_eq!(
            letters,
            [
                "R", "S", "D", "T", "t", "X", "Z", "P", "X", "I", "D", "0x1000"
            ]
        );
    }
}
