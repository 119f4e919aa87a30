//! Whole texts: what becomes of each line, and that nothing makes the import panic.

use super::{Format, ImportError, Imported, Options, import};
use crate::trace::{
    TraceReader,
    event::{Body, Comm, Event, Switch, Task, WakeKind},
    origin::Origin,
};
use proptest::prelude::*;
use std::fs;

/// Imports a text; the trace that it gives.
fn of(
    text: &[u8],
    format: Option<Format>,
    strict: bool,
) -> Result<(Imported, Origin, Vec<Event>), ImportError> {
    let directory = tempfile::tempdir().unwrap();
    let (input, output) = (
        directory.path().join("a.txt"),
        directory.path().join("a.kot"),
    );
    fs::write(&input, text).unwrap();
    let options = Options {
        input: &input,
        output: &output,
        format,
        strict,
    };
    let imported = import(&options, &|| false);
    let left: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 1 + usize::from(imported.is_ok()), "{left:?}");
    let imported = imported?;
    let mut reader = TraceReader::open(&output).unwrap();
    let origin = reader.origin().clone();
    let mut events = Vec::new();
    while let Some(event) = reader.next_event().unwrap() {
        events.push(event.clone());
    }
    assert_eq!(reader.lost(), None);
    Ok((imported, origin, events))
}

fn switches(events: &[Event]) -> Vec<(u32, u64, u32, u32)> {
    let switch = |event: &Event| match &event.body {
        Body::Switch(switch) => Some((event.cpu, event.ts_ns, switch.prev.pid, switch.next.pid)),
        _ => None,
    };
    events.iter().filter_map(switch).collect()
}

const PERF: &str = "\
# os release : 6.18.1
# arch : x86_64
# nrcpus avail : 4
# clockid: monotonic (1)
            perf 30681 [001] 26385.920087:       sched:sched_waking: comm=migration/0 pid=18 prio=0 target_cpu=001
            perf 30680/30681 [001] 26385.920091000:       sched:sched_switch: prev_comm=perf prev_pid=30681 prev_prio=120 prev_state=D ==> next_comm=migration/0 next_pid=18 next_prio=0
\tffffffff81 schedule+0x1 ([kernel.kallsyms])

     migration/0    18 [001] 26385.920100: PERF_RECORD_LOST lost 3
     migration/0    18 [001] 26385.920110: sched:sched_stat_runtime: comm=migration/0 pid=18 runtime=20230 [ns]
     migration/0    18 [001] 26385.920111:       sched:sched_switch: prev_comm=migration/0 prev_pid=18 prev_prio=0 prev_state=S ==> next_comm=perf next_pid=30681 next_prio=120
     migration/0    18 [001] 26385.92
";

#[test]
fn a_text_of_perf_script() {
    let (imported, origin, events) = of(PERF.as_bytes(), None, false).unwrap();
    assert_eq!(imported.format, Format::PerfScript);
    let counts = &imported.counts;
    assert_eq!(
        (
            counts.lines,
            counts.used,
            counts.blank,
            counts.other,
            counts.lost_lines,
            counts.wrong
        ),
        (12, 3, 6, 1, 1, 1)
    );
    assert_eq!(counts.first_wrong[0].number, 12);
    assert_eq!(
        (
            origin.kernel.as_str(),
            origin.machine.as_str(),
            origin.cpus,
            origin.clock.as_str()
        ),
        ("6.18.1", "x86_64", 4, "perf, monotonic (1)")
    );
    assert_eq!(
        switches(&events),
        [
            (1, 26_385_920_091_000, 30681, 18),
            (1, 26_385_920_111_000, 18, 30681)
        ]
    );
    // sched_waking stands for sched_wakeup too.
    let kinds: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.body {
            Body::Wake(wake) => Some((wake.kind, wake.waker_pid, wake.target_cpu)),
            _ => None,
        })
        .collect();
    assert_eq!(
        kinds,
        [(WakeKind::Waking, 30681, 1), (WakeKind::Wakeup, 30681, 1)]
    );
    assert!(
        origin
            .absent_fields
            .iter()
            .any(|name| name == "sched_wakeup")
    );
    let numbers: Vec<_> = events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 6]);
    assert_eq!(events[3].body, Body::Gap { lost: 3 });
    // The process is known from where it is told on.
    let Body::Switch(last) = &events[4].body else {
        panic!()
    };
    assert_eq!(
        (last.next.tgid, last.prev.tgid),
        (30680, Task::UNKNOWN_TGID)
    );
    assert_eq!(
        (last.next.policy, last.next.fair.is_none()),
        (Task::UNKNOWN_POLICY, true)
    );
}

#[test]
fn a_text_of_ftrace() {
    let text = b"# tracer: nop
# entries-in-buffer/entries-written: 129/129   #P:2\r
            bash-7750    (   7750) [001] d..2. 27722.292548: sched_switch: prev_comm=bash prev_pid=7750 prev_prio=120 prev_state=R+ ==> next_comm=my app next_pid=7765 next_prio=120\r
CPU:1 [LOST 12 EVENTS]
          <idle>-0     [000] dNs4. 27722.292981: sched_wakeup: comm=bash pid=7750 prio=120 target_cpu=001
buf:          my app-7765    [001] 27722.293000001: sched_switch: my app:7765 [120] S ==> bash:7750 [120]
CPU:0 [EVENTS DROPPED]
";
    let (imported, origin, events) = of(text, None, true).unwrap();
    assert_eq!((imported.format, origin.cpus), (Format::Ftrace, 2));
    assert_eq!(
        switches(&events),
        [
            (1, 27_722_292_548_000, 7750, 7765),
            (1, 27_722_293_000_001, 7765, 7750)
        ]
    );
    let Body::Switch(first) = &events[0].body else {
        panic!()
    };
    assert_eq!(
        (first.preempt, first.prev_state, first.prev.on_rq),
        (true, 0, true)
    );
    assert_eq!(
        (first.prev.tgid, first.next.comm),
        (7750, Comm::new("my app"))
    );
    let gaps: Vec<_> = events
        .iter()
        .filter(|event| matches!(event.body, Body::Gap { .. }))
        .map(|event| (event.cpu, event.seq, event.body.clone()))
        .collect();
    assert_eq!(
        gaps,
        [
            (1, 1, Body::Gap { lost: 12 }),
            (0, 1, Body::Gap { lost: 1 })
        ]
    );
    assert_eq!(imported.counts.lost_events, 13);
}

#[test]
fn a_text_of_perf_sched_map() {
    let text = b"  *A0       26385.920091 secs A0 => migration/0:18
   A0 *B0   26385.920225 secs B0 => my:app:30689
  *.   B0   26385.920300 secs .  => swapper:0
  *A0  B0   26385.920400 secs
   A0 *C0   26385.920500 secs C0 => nginx:123
   A0 *Z9   26385.920600 secs
   A0 *C0   26385.920700 secs C0 => renamed:123
  INFO: 1.000% lost events (5 out of 500, in 1 chunks)
";
    let (imported, origin, events) = of(text, None, false).unwrap();
    assert_eq!((imported.format, origin.cpus), (Format::PerfSchedMap, 2));
    assert_eq!(
        switches(&events)
            .iter()
            .map(|&(cpu, _, prev, next)| (cpu, prev, next))
            .collect::<Vec<_>>(),
        [(0, 18, 0), (0, 0, 18), (1, 30689, 123)]
    );
    assert_eq!(imported.counts.wrong, 1, "Z9 was never named");
    let unknown = events.iter().all(|event| match &event.body {
        Body::Switch(switch) => {
            switch.prev_state == Switch::UNKNOWN_STATE && switch.next.prio == Task::UNKNOWN_PRIO
        }
        _ => true,
    });
    assert!(unknown);
    // 123 came twice running: one switch at least is missing; then what perf lost.
    assert_eq!(imported.counts.lost_events, 1 + 5);

    let compact = b"  *A0   26385.920091 secs A0 => a:18 (CPU 3)
   A0 *B0   26385.920225 secs B0 => b:30689 (CPU 1)
  *B0  B0   26385.920300 secs
";
    let (_, origin, events) = of(compact, None, true).unwrap();
    assert_eq!(switches(&events), [(3, 26_385_920_300_000, 18, 30689)]);
    assert_eq!(origin.recorded_cpus, [1, 3]);
}

#[test]
fn a_strict_import_refuses_and_others_show_three() {
    let mut text = PERF.replace("     migration/0    18 [001] 26385.92\n", "");
    for line in [
        "x",
        "perf 1 [9999] 1.000000: sched:sched_switch: ",
        "\0\u{1}",
        "y",
    ] {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str(&"z".repeat(1 << 20));
    let (imported, ..) = of(text.as_bytes(), None, false).unwrap();
    assert_eq!(imported.counts.wrong, 5);
    assert_eq!(imported.counts.first_wrong.len(), 3);
    let refused = of(text.as_bytes(), None, true).unwrap_err().to_string();
    assert!(
        refused.contains("line 12: not a line of this format: x"),
        "{refused}"
    );
}

#[test]
fn what_is_no_text_of_these_is_refused() {
    let says = |text: &[u8], words: &str| {
        let error = of(text, None, false).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    says(b"", "is empty");
    says(b"PERFILE2\0\0\0", "perf script -i FILE");
    says(b"\x17\x08\x44tracing", "trace-cmd report -i FILE");
    says(&crate::trace::MAGIC, "trace file of kernoracle already");
    says(b"GET / HTTP/1.1\r\n", "no line at its beginning");
    says(
        b" a 1 [000] 1.000000: sched:sched_process_exit: comm=a pid=1 prio=120\n",
        "no task switch in 1 lines",
    );
}

/// Lines of the three formats, cut, mixed and bent.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "  *A0  .   26385.920091 secs A0 => a:18",
        "  *A0   1.5 secs A0 => a:18 (CPU 3)",
        "   .  *Z0 ",
        " a 1 [001] 1.000000: sched:sched_switch: prev_comm=a prev_pid=1 prev_prio=120 prev_state=S ==> next_comm=b next_pid=2 next_prio=0",
        " a-1 [001] d... 1.000000: sched_switch: a:1 [120] R ==> b:2 [0]",
        "sched:sched_waking: comm=a pid=1 prio=0 target_cpu=000",
        " a-1 [001] 1.5: sched_process_fork: comm=a pid=1 child_comm=b child_pid=2",
        "CPU:1 [LOST 12 EVENTS]",
        "LOST 18446744073709551615 events",
        "PERF_RECORD_LOST lost 281474976710655",
        "99999999999999999999",
        "[",
        "]",
        " ==> ",
        ":",
        "\n",
        "\r\n",
        "\0",
        " ",
        "-1",
        ".",
        " secs",
        "=>",
        "18446744073.709551615:",
        "[4095]",
        "4194303",
    ]);
    let part = prop_oneof![
        4 => pieces.prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec((part, 0..200_usize, any::<bool>()), 0..40).prop_map(|parts| {
        let mut text = Vec::new();
        for (part, cut, ends) in parts {
            text.extend_from_slice(&part[..part.len().min(cut)]);
            if ends {
                text.push(b'\n');
            }
        }
        text
    })
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in hostile(), format in prop::option::of(prop::sample::select(vec![Format::PerfSchedMap, Format::PerfScript, Format::Ftrace])), strict: bool) {
        if let Ok((imported, _, events)) = of(&text, format, strict) {
            let counts = imported.counts;
            prop_assert_eq!(
                counts.lines,
                counts.used + counts.blank + counts.other + counts.lost_lines + counts.wrong
            );
            prop_assert_eq!(switches(&events).len() as u64, counts.switches);
            prop_assert_eq!(events.len() as u64, imported.events);
        }
    }
}
