//! `record` on the live kernel: the command's exit status and life, filters, traces that are damaged.

use assert_cmd::Command;
use kernoracle::trace::event::{Body, Event};
use kernoracle_tests::{
    daemon::Daemon, kernoracle, live_or_skip, load::Load, one_line_with, trace::Trace,
};
use std::{fs, path::Path};

fn record(file: &Path, arguments: &[&str]) -> Command {
    let mut command = kernoracle();
    command.args(["record", "-o"]).arg(file).args(arguments);
    command
}

#[test]
fn the_commands_output_is_its_own() {
    let _alone = live_or_skip!();
    let directory = tempfile::tempdir().unwrap();
    record(
        &directory.path().join("a.kot"),
        &["--", "sh", "-c", "echo out; echo err >&2"],
    )
    .assert()
    .success()
    .stdout("out\n")
    .stderr(predicates::str::starts_with("err\n"));
}

#[test]
fn the_commands_life_is_in_the_file() {
    let _alone = live_or_skip!();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.kot");
    let pids = directory.path().join("pids");
    // The shell, and a child of it that becomes another program.
    let script = format!(
        "echo $$ >{0}; sleep 0.1 & echo $! >>{0}; wait",
        pids.display()
    );
    record(&file, &["--", "sh", "-c", &script])
        .assert()
        .success();
    let pids = fs::read_to_string(&pids).unwrap();
    let pids: Vec<u32> = pids.lines().map(|pid| pid.parse().unwrap()).collect();
    let [shell, child] = pids[..] else {
        panic!("two pids: {pids:?}")
    };
    let trace = Trace::read(&file);
    assert_eq!(trace.assert_continuous(), 0);
    let time_of = |what: &str, is: &dyn Fn(&Body) -> bool| {
        let found: Vec<&Event> = trace
            .events
            .iter()
            .filter(|event| is(&event.body))
            .collect();
        assert_eq!(found.len(), 1, "{what}: {found:?}");
        found[0].ts_ns
    };
    let mut last = 0;
    for (pid, parent, name) in [(shell, None, "sh"), (child, Some(shell), "sleep")] {
        let fork = time_of("fork", &|body| {
            matches!(body, Body::Fork { pid: new, parent_pid, .. }
                if *new == pid && parent.is_none_or(|parent| parent == *parent_pid))
        });
        let exec = time_of(
            "exec",
            &|body| matches!(body, Body::Exec { pid: by, comm, .. } if *by == pid && comm.bytes() == name.as_bytes()),
        );
        let exit = time_of(
            "exit",
            &|body| matches!(body, Body::Exit { pid: of, .. } if *of == pid),
        );
        assert!(last < fork && fork < exec && exec < exit, "{name}");
        last = fork;
        let switched_to = trace
            .events
            .iter()
            .any(|event| matches!(&event.body, Body::Switch(switch) if switch.next.pid == pid));
        assert!(switched_to, "{name} got a CPU");
    }
}

#[test]
fn only_the_named_cpu_is_recorded() {
    let _alone = live_or_skip!(two cpus; "hackbench");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.kot");
    let load = (Load::small(0), Load::small(1));
    record(&file, &["--cpu", "1", "--duration", "2s"])
        .assert()
        .success();
    drop(load);
    let trace = Trace::read(&file);
    assert_eq!(trace.origin.recorded_cpus, [1]);
    let mut switches = 0;
    for event in &trace.events {
        if let Body::Switch(_) = event.body {
            assert_eq!(event.cpu, 1, "{event:?}");
            switches += 1;
        }
    }
    assert!(switches > 1000, "{switches}");
}

#[test]
fn own_switches_are_recorded_only_when_asked_for() {
    let _alone = live_or_skip!("hackbench");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.kot");
    let name = file.display().to_string();
    for (options, kept) in [(&[][..], false), (&["--include-self"][..], true)] {
        let load = Load::small(0);
        let mut arguments = vec!["record", "-o", &name, "--duration", "2s"];
        arguments.extend(options);
        let daemon = Daemon::start(Some(0), &arguments);
        let pid = daemon.pid();
        let ended = daemon.end();
        drop(load);
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        let trace = Trace::read(&file);
        assert_eq!(trace.origin.includes_self, kept);
        let (mut own, mut merged) = (0, 0);
        for event in &trace.events {
            if let Body::Switch(switch) = &event.body {
                own += u32::from(switch.prev.tgid == pid || switch.next.tgid == pid);
                merged += u32::from(switch.merged);
            }
        }
        println!("{options:?}: {own} own switches, {merged} merged");
        assert_eq!(own > 0, kept, "{own} own switches");
        if kept {
            assert_eq!(merged, 0);
        }
    }
}

#[test]
fn a_recording_that_was_cut_is_used_as_far_as_it_goes() {
    let _alone = live_or_skip!("hackbench");
    let directory = tempfile::tempdir().unwrap();
    let whole = directory.path().join("whole.kot");
    let cut = directory.path().join("cut.kot");
    let load = Load::small(0);
    record(&whole, &["--duration", "3s"]).assert().success();
    drop(load);
    let bytes = fs::read(&whole).unwrap();
    let events = Trace::read(&whole).events;
    let mut before = 0;
    for share in 1..8 {
        fs::write(&cut, &bytes[..bytes.len() * share / 8]).unwrap();
        let trace = Trace::read(&cut);
        assert!(trace.lost.is_some());
        assert!(
            (before..events.len()).contains(&trace.events.len()),
            "{} events of {}/8",
            trace.events.len(),
            share
        );
        assert!(
            trace.events == events[..trace.events.len()],
            "the events before the cut are those of the whole file"
        );
        before = trace.events.len();
    }
    assert!(before > 0);
    let refused = kernoracle()
        .args(["replay", "--no-learn", "--log-format", "json"])
        .arg(&cut)
        .assert()
        .code(2)
        .stdout(predicates::str::contains("\"type\":\"prediction\""))
        .stderr(one_line_with(&cut.display().to_string()));
    print!("{}", String::from_utf8_lossy(&refused.get_output().stderr));
    kernoracle()
        .args(["replay", "--no-learn"])
        .arg(&whole)
        .assert()
        .success();
}
