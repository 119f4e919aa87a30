//! What is recorded is what happened: switch for switch what perf sees on the same CPU.

use kernoracle_tests::{
    daemon::Daemon,
    live, live_or_skip,
    load::Load,
    perf::{Perf, Sample, Seen},
    sequence::{self, Switch, Who},
    trace::Trace,
};
use std::collections::HashSet;

const CPU: u32 = 0;

/// Both recordings of the same seconds.
struct Both {
    ours: Vec<Switch>,
    reference: Vec<Switch>,
    /// The recorder's threads, as perf saw them run.
    own: HashSet<u32>,
}

/// Records `CPU` under load, from `recorder_cpu`, beside perf.
fn record(recorder_cpu: u32, options: &[&str]) -> Both {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.kot");
    let name = file.display().to_string();
    let mut load = Load::messaging(CPU);
    let mut perf = Perf::start(CPU, other_cpu());
    let mut arguments = vec!["record", "-o", &name, "--cpu", "0", "--duration", "3s"];
    arguments.extend(options);
    let daemon = Daemon::start(Some(recorder_cpu), &arguments);
    let pid = daemon.pid();
    let ended = daemon.end();
    load.assert_running();
    perf.stop();
    drop(load);
    let Seen { switches, lost } = perf.seen();

    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    print!("{}", ended.stderr);
    assert!(
        lost.iter().all(|line| line.contains(" 0 ")),
        "perf lost events while we traced: {lost:?}"
    );
    let trace = Trace::read(&file);
    assert_eq!(trace.lost, None);
    assert_eq!(
        trace.assert_continuous(),
        0,
        "events lost: {}",
        ended.stderr
    );
    let own = switches
        .iter()
        .filter(|sample| sample.prev_tgid == pid)
        .map(|sample| sample.switch.prev.pid)
        .collect();
    let reference: Vec<Switch> = switches
        .into_iter()
        .map(|Sample { switch, .. }| switch)
        .collect();
    let ours = sequence::of_events(&trace.events, CPU);
    println!(
        "{} switches recorded, {} seen by perf, {} from or to the recorder",
        ours.len(),
        reference.len(),
        from_or_to(&reference, &own)
    );
    assert!(ours.len() > 5000, "the CPU was busy");
    Both {
        ours,
        reference,
        own,
    }
}

/// perf's, and the recorder's in the test that keeps both apart. The only one, if there is no other.
fn other_cpu() -> u32 {
    u32::from(live::cpus() > 1)
}

fn from_or_to(switches: &[Switch], own: &HashSet<u32>) -> usize {
    let is_own = |who: &Who| own.contains(&who.pid);
    switches
        .iter()
        .filter(|switch| is_own(&switch.prev) || is_own(&switch.next))
        .count()
}

#[test]
fn perf_sees_the_same_switches_with_the_recorder_on_another_cpu() {
    let _alone = live_or_skip!(two cpus; "perf");
    let Both {
        ours,
        reference,
        own,
    } = record(other_cpu(), &[]);
    let reference = sequence::without(reference, |who| own.contains(&who.pid));
    sequence::assert_same(&ours, &reference);
}

#[test]
fn perf_sees_the_same_switches_with_the_recorder_on_the_same_cpu() {
    let _alone = live_or_skip!("perf");
    let Both {
        ours,
        reference,
        own,
    } = record(CPU, &[]);
    assert!(
        from_or_to(&reference, &own) > 10,
        "the recorder ran among the load"
    );
    assert_eq!(from_or_to(&ours, &own), 0, "the recorder is left out");
    let reference = sequence::without(reference, |who| own.contains(&who.pid));
    sequence::assert_same(&ours, &reference);
}

#[test]
fn perf_sees_the_same_switches_with_the_recorder_kept() {
    let _alone = live_or_skip!("perf");
    let Both {
        ours,
        reference,
        own,
    } = record(CPU, &["--include-self"]);
    assert!(from_or_to(&ours, &own) > 10, "the recorder is kept");
    sequence::assert_same(&ours, &reference);
}
