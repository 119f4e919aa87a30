//! The CPU budget on the live kernel: what passes by is counted, nothing is lost, names stay right.

use kernoracle_tests::{
    daemon::{Daemon, Ended},
    figures::{assert_adds_up, count, share},
    live_or_skip,
    load::Load,
};
use nix::sys::signal::Signal;
use serde_json::Value;

const JSON: [&str; 5] = ["run", "--duration", "60s", "--log-format", "json"];

/// On the CPU of the load, until it has seen `enough`.
fn run_with(budget: &str, load: Load, options: &[&str], enough: impl FnOnce(&mut Daemon)) -> Ended {
    let mut arguments = JSON.to_vec();
    arguments.extend(["--cpu-budget", budget]);
    arguments.extend(options);
    let mut daemon = Daemon::start(Some(0), &arguments);
    enough(&mut daemon);
    daemon.signal(Signal::SIGINT);
    let ended = daemon.end();
    drop(load);
    ended
}

/// Until three bursts show in the summaries; twelve summaries are enough.
fn three_bursts(daemon: &mut Daemon) {
    let mut bursts = 0;
    let mut covered = false;
    daemon.until("summary", |_| true);
    for _ in 0..12 {
        let summary = daemon.until("summary", |_| true);
        let scored = count(&summary, "/scored") > 0;
        bursts += u32::from(scored && !covered);
        covered = scored;
        if bursts >= 3 {
            break;
        }
    }
}

fn assert_pauses_without_loss(ended: &Ended) {
    let last = ended.last();
    assert_adds_up(last);
    assert_eq!(count(last, "/kernel/lost_events"), 0, "{last}");
    assert!(count(last, "/cost/pauses") > 0, "{last}");
    let passed_by = count(last, "/kernel/passed_by");
    assert!(passed_by > 0, "{last}");
    assert!(
        count(last, "/scores/unscored/budget") >= passed_by,
        "those that passed by, and the first of each burst: {last}"
    );
    assert!(count(last, "/scores/scored") > 0, "{last}");
    let summaries = ended.of_type("summary");
    let paused = summaries.filter(|line| count(line, "/seen") > 0);
    assert!(
        paused
            .map(|line| share(line, "/coverage"))
            .any(|coverage| coverage < 1.0),
        "a summary says that not all was predicted"
    );
}

#[test]
fn a_tiny_budget_loses_nothing_and_counts_all() {
    let _alone = live_or_skip!("hackbench");
    assert_pauses_without_loss(&run_with("0.5%", Load::hackbench(0), &[], three_bursts));
}

#[test]
fn ping_pong_with_a_small_ring_loses_nothing() {
    let _alone = live_or_skip!("perf");
    let ping_pong = Load::start(0, &["perf", "bench", "sched", "pipe", "-l", "1000000000"]);
    assert_pauses_without_loss(&run_with(
        "10%",
        ping_pong,
        &["--ring-size", "1M"],
        three_bursts,
    ));
}

#[test]
fn without_a_budget_there_is_no_pause() {
    let _alone = live_or_skip!("hackbench");
    let mut arguments = JSON.to_vec();
    arguments.extend(["--cpu-budget", "off"]);
    let load = Load::small(0);
    let mut daemon = Daemon::start(Some(0), &arguments);
    daemon.until("summary", |line| count(line, "/scored") > 100);
    daemon.signal(Signal::SIGINT);
    let ended = daemon.end();
    drop(load);
    let last = ended.last();
    assert_adds_up(last);
    assert_eq!(count(last, "/cost/pauses"), 0, "{last}");
    assert_eq!(count(last, "/kernel/passed_by"), 0, "{last}");
    assert!(last.pointer("/cost/budget").unwrap().is_null(), "{last}");
}

/// Shells that rename themselves, run another program and end, all the time: pids come and go while
/// switches pass by. A name in a prediction must be one that the pid had.
#[test]
fn names_follow_exec_and_rename_while_switches_pass_by() {
    let _alone = live_or_skip!("hackbench");
    let script = "while :; do \
        sh -c 'printf before > /proc/self/comm; exec sleep 0.002'; \
        (printf renamed > /proc/$BASHPID/comm; sleep 0.002); done";
    let other = Load::start(0, &["bash", "-c", script]);
    let load = Load::small(0);
    let told = |line: &Value| {
        let comm = line["actual_comm"].as_str().unwrap();
        ["sleep", "sh", "bash", "before", "renamed"].contains(&comm)
    };
    // Where the CPU is never idle that is one percent: enough for bursts to go on on an emulated machine too, where to let switches pass
    // by takes half of it.
    let ended = run_with("5%", load, &["--every-switch"], |daemon| {
        three_bursts(daemon);
        // A burst that is short, on a slow machine, need not have one.
        daemon.until("prediction", told);
    });
    drop(other);
    assert_pauses_without_loss(&ended);
    let mut named = 0;
    for line in ended.of_type("prediction") {
        let comm = line["actual_comm"].as_str().unwrap();
        assert!(!comm.is_empty(), "{line}");
        named += u32::from(told(line));
        if line["hit"] == true && line["predicted_pid"] == line["actual_pid"] {
            assert_eq!(line["predicted_comm"], line["actual_comm"], "{line}");
        }
    }
    assert!(named > 0, "no switch to one that was renamed or executed");
}
