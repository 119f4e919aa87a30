//! A reader that is stopped, or killed, under load.

use kernoracle::trace::event::Body;
use kernoracle_tests::{
    daemon::Daemon,
    figures::{assert_adds_up, count},
    kernoracle, live_or_skip,
    load::Load,
    one_line_with,
    trace::Trace,
};
use nix::sys::signal::Signal;
use std::{os::unix::process::ExitStatusExt, thread, time::Duration};

const STOPPED: Duration = Duration::from_secs(10);
/// Full within that time also on a slow machine, which the default is not.
const RING: &str = "2M";

#[test]
fn run_counts_what_it_loses_while_stopped_and_recovers() {
    let _alone = live_or_skip!("hackbench");
    let mut load = Load::hackbench(0);
    let mut daemon = Daemon::start(
        None,
        &[
            "run",
            // With a budget, the programs would pause before the ring is full.
            "--cpu-budget",
            "off",
            "--ring-size",
            RING,
            // The test ends it; where the CPU is emulated, the test gets as little of it as the others.
            "--duration",
            "600s",
            "--log-format",
            "json",
        ],
    );
    daemon.until("summary", |line| count(line, "/scored") > 0);
    daemon.stop_for(STOPPED);
    let gap = daemon.until("gap", |line| count(line, "/cpu") == 0);
    assert!(count(&gap, "/lost_events") > 0, "{gap}");
    let told = daemon.until("summary", |line| count(line, "/total_lost_events") > 0);
    // All of a summary's second lies behind the stop and nothing was lost in it.
    let after = daemon.until("summary", |line| {
        count(line, "/scored") > 100 && count(line, "/lost_events") == 0
    });
    assert!(
        count(&after, "/total_lost_events") >= count(&told, "/total_lost_events"),
        "{told} {after}"
    );
    load.assert_running();
    daemon.signal(Signal::SIGINT);
    let ended = daemon.end();
    drop(load);

    let last = ended.last();
    assert_adds_up(last);
    let lost = count(last, "/kernel/lost_events");
    println!(
        "lost {lost} of {} events, {} of {} switches, at {} places; {} switches not scored for it, {} scored",
        count(last, "/kernel/produced"),
        count(last, "/kernel/dropped_switches"),
        count(last, "/kernel/switches"),
        count(last, "/scores/gaps"),
        count(last, "/scores/unscored/gap"),
        count(last, "/scores/scored"),
    );
    assert!(count(last, "/kernel/dropped_switches") > 0, "{last}");
    assert!(count(last, "/scores/gaps") > 0, "{last}");
    assert!(count(last, "/scores/unscored/gap") > 0, "{last}");
    let told: u64 = ended
        .of_type("gap")
        .map(|line| count(line, "/lost_events"))
        .sum();
    assert_eq!(told, lost, "the gap lines tell all losses");
    assert!(
        ended.stderr.contains("the ring is full"),
        "the programs report the first drop: {}",
        ended.stderr
    );
}

#[test]
fn record_marks_what_it_loses_while_stopped() {
    let _alone = live_or_skip!("hackbench");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.kot");
    let mut load = Load::hackbench(0);
    let mut daemon = Daemon::start(
        None,
        &[
            "record",
            "-o",
            &file.display().to_string(),
            "--ring-size",
            RING,
            "--duration",
            "60s",
        ],
    );
    // Header and some blocks.
    daemon.until_written(&file, 64 << 10);
    daemon.stop_for(STOPPED);
    // What it still writes comes from the full ring first, then from behind the loss.
    thread::sleep(Duration::from_secs(3));
    load.assert_running();
    daemon.signal(Signal::SIGTERM);
    let ended = daemon.end();
    drop(load);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    print!("{}", ended.stderr);

    let trace = Trace::read(&file);
    assert_eq!(trace.lost, None, "the file itself is whole");
    let lost = trace.assert_continuous();
    let arrived = trace
        .events
        .iter()
        .filter(|event| !matches!(event.body, Body::Gap { .. }))
        .count();
    let switches = trace
        .events
        .iter()
        .filter(|event| matches!(event.body, Body::Switch(_)))
        .count() as u64;
    let gap = trace
        .events
        .iter()
        .rposition(|event| event.cpu == 0 && matches!(event.body, Body::Gap { .. }))
        .expect("a gap on the busy CPU");
    let behind = trace.events[gap..]
        .iter()
        .filter(|event| event.cpu == 0 && matches!(event.body, Body::Switch(_)))
        .count();
    assert!(lost > 0);
    assert!(behind > 100, "{behind} switches behind the last gap");
    // The kernel side's own counts.
    let says = |what: &str| {
        assert!(ended.stderr.contains(what), "no `{what}`: {}", ended.stderr);
    };
    says(&format!(
        "arrived {arrived} + lost {lost} = produced {} (dropped {lost});",
        arrived as u64 + lost
    ));
    let kernel = |before: &str| -> u64 {
        let (_, rest) = ended.stderr.rsplit_once(before).expect(before);
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect(before)
    };
    assert_eq!(
        switches + kernel(", of them dropped "),
        kernel("; switches "),
        "seen + dropped = the kernel side's count: {}",
        ended.stderr
    );
}

#[test]
fn a_killed_recording_is_read_up_to_its_last_whole_block() {
    let _alone = live_or_skip!("hackbench");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.kot");
    let mut load = Load::hackbench(0);
    let mut daemon = Daemon::start(
        None,
        &[
            "record",
            "-o",
            &file.display().to_string(),
            "--duration",
            "60s",
        ],
    );
    daemon.until_written(&file, 64 << 10);
    daemon.signal(Signal::SIGKILL);
    load.assert_running();
    drop(load);
    let ended = daemon.end();
    assert_eq!(ended.status.signal(), Some(Signal::SIGKILL as i32));

    let trace = Trace::read(&file);
    let lost = trace.lost.as_deref().expect("it has no end mark");
    println!("{} events read, {lost}", trace.events.len());
    assert!(trace.events.len() > 1000, "{lost}");
    for command in ["replay", "eval"] {
        kernoracle()
            .arg(command)
            .arg(&file)
            .arg("--no-learn")
            .assert()
            .code(2)
            .stdout(predicates::str::contains("back-off-8"))
            .stderr(one_line_with(&file.display().to_string()));
    }
}
