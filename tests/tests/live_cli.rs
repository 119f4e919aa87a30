//! `run` and `record` on the live kernel, as a person starts them.

use kernoracle::trace::{TraceReader, event::Body};
use kernoracle_tests::{kernoracle, live_or_skip};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{fs, io::Read, path::Path, process};

fn count(value: &Value, pointer: &str) -> u64 {
    value
        .pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("{pointer} in {value}"))
}

#[test]
fn the_counts_of_a_run_add_up() {
    let _alone = live_or_skip!();
    let directory = tempfile::tempdir().unwrap();
    let predictions = directory.path().join("predictions.jsonl");
    let output = kernoracle()
        .args([
            "run",
            "--duration",
            "2500ms",
            "--log-format",
            "json",
            "--predictions",
        ])
        .arg(&predictions)
        .assert()
        .success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let end = lines.last().expect("a run says something");
    assert_eq!(lines[0]["type"], "start");
    assert_eq!(end["type"], "final");
    let unscored: u64 = ["first", "gap", "broken", "overload", "budget"]
        .iter()
        .map(|reason| count(end, &format!("/scores/unscored/{reason}")))
        .sum();
    assert!(count(end, "/scores/scored") > 0, "{end}");
    assert_eq!(
        count(end, "/scores/seen"),
        count(end, "/scores/scored") + unscored,
        "{end}"
    );
    assert_eq!(count(end, "/scores/seen"), count(end, "/switches"), "{end}");
    assert_eq!(
        count(end, "/kernel/produced"),
        count(end, "/kernel/arrived_events") + count(end, "/kernel/lost_events"),
        "{end}"
    );
    assert_eq!(
        count(end, "/kernel/lost_events"),
        count(end, "/scores/lost_events"),
        "{end}"
    );
    let written = fs::read_to_string(&predictions).unwrap().lines().count() as u64;
    assert_eq!(written, count(end, "/output/predictions_written"), "{end}");
    assert_eq!(
        written + count(end, "/output/predictions_shed"),
        count(end, "/scores/scored"),
        "{end}"
    );
    let summaries = lines
        .iter()
        .filter(|line| line["type"] == "summary")
        .count();
    assert!(summaries >= 1, "{text}");
}

/// Events, switches and losses of a trace file that must be whole.
fn contents(trace: &Path) -> (u64, u64, u64) {
    let mut reader = TraceReader::open(trace).unwrap();
    let (mut events, mut switches, mut lost) = (0, 0, 0);
    while let Some(event) = reader.next_event().unwrap() {
        match &event.body {
            Body::Gap { lost: count } => lost += count,
            body => {
                events += 1;
                switches += u64::from(matches!(body, Body::Switch(_)));
            }
        }
    }
    assert_eq!(reader.lost(), None);
    (events, switches, lost)
}

#[test]
fn record_gives_back_the_status_of_its_command() {
    let _alone = live_or_skip!();
    for (script, status) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("kill -TERM $$", 128 + 15),
        ("kill -KILL $$", 128 + 9),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let trace = directory.path().join("a.kot");
        let output = kernoracle()
            .args(["record", "-o"])
            .arg(&trace)
            .args(["--", "sh", "-c", script])
            .assert()
            .code(status);
        let said = String::from_utf8(output.get_output().stderr.clone()).unwrap();
        let (events, switches, lost) = contents(&trace);
        assert!(switches > 0, "the command ran");
        let expected = format!("events {events} (switches {switches}), lost {lost} in ");
        assert!(said.contains(&expected), "{said}, not {expected}");
        assert!(!said.contains("DEFECT"), "{said}");
        let reader = TraceReader::open(&trace).unwrap();
        assert_eq!(reader.origin().command, format!("sh -c {script}"));
    }
}

#[test]
fn a_command_that_cannot_start_leaves_no_file() {
    let _alone = live_or_skip!();
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("a.kot");
    kernoracle()
        .args(["record", "-o"])
        .arg(&trace)
        .args(["--", "/no/such/program"])
        .assert()
        .code(2)
        .stderr(kernoracle_tests::one_line_with("/no/such/program"));
    assert!(!trace.exists());
}

#[test]
fn record_passes_signals_on() {
    let _alone = live_or_skip!();
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("a.kot");
    let mut record = process::Command::new(kernoracle_tests::binary())
        .args(["record", "-o"])
        .arg(&trace)
        .args([
            "--",
            "sh",
            "-c",
            "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done",
        ])
        .stdout(process::Stdio::piped())
        .stderr(process::Stdio::null())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    record
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut ready)
        .unwrap();
    kill(Pid::from_raw(record.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(record.wait().unwrap().code(), Some(5));
    let (_, switches, _) = contents(&trace);
    assert!(switches > 0);
}

#[test]
fn a_reader_that_leaves_ends_a_run_quietly() {
    let _alone = live_or_skip!();
    let mut run = process::Command::new(kernoracle_tests::binary())
        .args(["run", "--every-switch"])
        .env_remove("RUST_LOG")
        .stdout(process::Stdio::piped())
        .stderr(process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 1];
    run.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn what_cannot_be_traced_gets_one_line() {
    let _alone = live_or_skip!();
    for (arguments, says) in [
        (["--cpu", "1023"], "--cpu 1023"),
        (["--model", "/no/such/model"], "/no/such/model"),
    ] {
        kernoracle()
            .args(["run", "--duration", "1s"])
            .args(arguments)
            .assert()
            .code(2)
            .stdout("")
            .stderr(kernoracle_tests::one_line_with(says));
    }
}
