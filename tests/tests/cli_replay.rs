//! `replay` on trace files that the test makes; and which files it and `eval` refuse.

use kernoracle_tests::{
    figures::{assert_scores_add_up, count},
    kernoracle, made, one_line_with,
};
use predicates::prelude::*;
use serde_json::Value;
use std::fs;

fn json_lines(text: &[u8]) -> Vec<Value> {
    String::from_utf8(text.to_vec())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[test]
fn twice_the_same_gives_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("a.kot");
    let switches = made::in_turn(&trace, 600);
    let replay = |name: &str, seed: &str| {
        let predictions = directory.path().join(name);
        let output = kernoracle()
            .arg("replay")
            .arg(&trace)
            .args([
                "--seed",
                seed,
                "--learn-every",
                "64",
                "--log-format",
                "json",
                "--predictions",
            ])
            .arg(&predictions)
            .assert()
            .success();
        (
            fs::read(predictions).unwrap(),
            output.get_output().stdout.clone(),
        )
    };
    let (first, log) = replay("first.jsonl", "7");
    let (second, again) = replay("second.jsonl", "7");
    assert!(first == second, "predictions differ");
    assert!(log == again, "logs differ");
    let (other, _) = replay("other.jsonl", "8");
    assert!(first != other, "another seed must give other probabilities");

    let records = json_lines(&first);
    let lines = json_lines(&log);
    let end = lines.last().unwrap();
    assert_eq!(end["type"], "final");
    assert_eq!(count(end, "/switches"), switches);
    assert_eq!(count(end, "/scores/seen"), switches);
    assert_scores_add_up(&end["scores"]);
    assert_eq!(count(end, "/scores/scored"), records.len() as u64);
    assert_eq!(
        count(end, "/output/predictions_written"),
        records.len() as u64
    );
    assert_eq!(count(end, "/output/predictions_shed"), 0);
    assert_eq!(count(end, "/output/lines_shed"), 0);
    assert_eq!(count(end, "/output/lines_written"), lines.len() as u64 - 1);
    assert_eq!(count(end, "/scores/lost_events"), 7);
    assert!(count(end, "/scores/unscored/gap") >= 1, "{end}");

    // The figures are those of the records.
    let hits = records
        .iter()
        .filter(|record| record["at_switch"]["rank"] == 1)
        .count();
    let top1 = hits as f64 / records.len() as f64;
    // serde_json reads floats to within a last bit.
    let said = end["scores"]["at_switch"]["all"]["top1"].as_f64().unwrap();
    assert!((said - top1).abs() < 1e-12, "{said} {top1}");
    for record in &records {
        assert_eq!(record["at_switch"]["lead_ns"], Value::Null);
        assert_eq!(record["at_switch"]["inference_ns"], Value::Null);
    }
    // A gap is told where it was, and summaries add up to the whole.
    assert_eq!(lines.iter().filter(|line| line["type"] == "gap").count(), 1);
    assert_eq!(lines[0]["type"], "start");
}

#[test]
fn every_switch_is_logged_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("a.kot");
    made::in_turn(&trace, 300);
    let log = |arguments: &[&str]| {
        let output = kernoracle()
            .arg("replay")
            .arg(&trace)
            .args(["--log-format", "json"])
            .args(arguments)
            .assert()
            .success();
        json_lines(&output.get_output().stdout)
    };
    let predictions = |lines: &[Value]| {
        lines
            .iter()
            .filter(|line| line["type"] == "prediction")
            .count() as u64
    };
    let all = log(&["--every-switch"]);
    let scored = count(all.last().unwrap(), "/scores/scored");
    assert_eq!(predictions(&all), scored);
    // The trace is .3 s long: five a second give at most three slots, begun or whole.
    let sampled = log(&[]);
    assert!(
        (1..=3).contains(&predictions(&sampled)),
        "{}",
        predictions(&sampled)
    );
    assert_eq!(predictions(&log(&["--samples-per-second", "0"])), 0);
    let narrowed = log(&["--every-switch", "--task", "^task-3/3$"]);
    assert!(predictions(&narrowed) > 0);
    for line in narrowed.iter().filter(|line| line["type"] == "prediction") {
        let pids = [
            &line["ran_pid"],
            &line["actual_pid"],
            &line["predicted_pid"],
        ];
        assert!(pids.iter().any(|pid| **pid == 3), "{line}");
    }
    assert_eq!(
        count(narrowed.last().unwrap(), "/scores/scored"),
        scored,
        "scores are of all"
    );
}

#[test]
fn text_is_for_a_person() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("a.kot");
    made::in_turn(&trace, 1500);
    kernoracle()
        .arg("replay")
        .arg(&trace)
        .assert()
        .success()
        .stdout(
            predicate::str::contains("task that ran")
                .and(predicate::str::contains("default model (trained on "))
                .and(predicate::str::contains("sw/s  top-1"))
                .and(predicate::str::contains("7 events lost"))
                .and(predicate::str::contains("= scored"))
                .and(predicate::str::contains("busiest tasks"))
                .and(predicate::str::contains("ECE"))
                .and(predicate::str::contains("PPM").not())
                .and(predicate::str::contains("\u{1b}").not()),
        );
}

#[test]
fn the_log_goes_to_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("a.kot");
    let log = directory.path().join("log");
    made::in_turn(&trace, 100);
    kernoracle()
        .arg("replay")
        .arg(&trace)
        .arg("--log-file")
        .arg(&log)
        .assert()
        .success()
        .stdout("");
    assert!(fs::read_to_string(&log).unwrap().contains("= scored"));
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("a.kot");
    made::in_turn(&trace, 5000);
    let mut replay = std::process::Command::new(kernoracle_tests::binary())
        .arg("replay")
        .arg(&trace)
        .arg("--every-switch")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(replay.stdout.take());
    let output = replay.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn files_that_are_no_traces_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.kot");
    let empty = directory.path().join("empty.kot");
    let foreign = directory.path().join("foreign.kot");
    fs::write(&empty, "").unwrap();
    fs::write(
        &foreign,
        "this is no trace file, but it is long enough for a header\n".repeat(9),
    )
    .unwrap();
    let predictions = directory.path().join("predictions.jsonl");
    for file in [&missing, &empty, &foreign, &directory.path().to_owned()] {
        for command in ["replay", "eval"] {
            kernoracle()
                .arg(command)
                .arg(file)
                .assert()
                .code(2)
                .stdout("")
                .stderr(one_line_with(&file.display().to_string()));
        }
        kernoracle()
            .arg("replay")
            .arg(file)
            .arg("--predictions")
            .arg(&predictions)
            .assert()
            .code(2);
        assert!(!predictions.exists(), "nothing is left behind");
    }
}

#[test]
fn a_cut_file_is_played_as_far_as_it_goes_and_reported() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("a.kot");
    let switches = made::in_turn(&trace, 20_000);
    let bytes = fs::read(&trace).unwrap();
    fs::write(&trace, &bytes[..bytes.len() / 2]).unwrap();
    let output = kernoracle()
        .arg("replay")
        .arg(&trace)
        .args([
            "--no-learn",
            "--log-format",
            "json",
            "--samples-per-second",
            "0",
        ])
        .assert()
        .code(2)
        .stderr(one_line_with(&trace.display().to_string()));
    let lines = json_lines(&output.get_output().stdout);
    let end = lines.last().unwrap();
    assert_scores_add_up(&end["scores"]);
    assert!(count(end, "/scores/seen") < switches);
    assert!(count(end, "/trace_lost/bytes") > 0);
    kernoracle()
        .args(["eval", "--no-learn"])
        .arg(&trace)
        .assert()
        .code(2)
        .stdout(predicate::str::contains("macro mean"))
        .stderr(one_line_with("offset"));
}

#[test]
fn a_model_that_is_none_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("a.kot");
    let model = directory.path().join("a.safetensors");
    made::in_turn(&trace, 10);
    for content in [None, Some("not safetensors")] {
        if let Some(content) = content {
            fs::write(&model, content).unwrap();
        }
        kernoracle()
            .arg("replay")
            .arg(&trace)
            .arg("--model")
            .arg(&model)
            .assert()
            .code(2)
            .stdout("")
            .stderr(one_line_with(&model.display().to_string()));
    }
}

#[test]
fn a_model_that_was_saved_is_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("a.kot");
    let model = directory.path().join("a.safetensors");
    made::in_turn(&trace, 300);
    kernoracle()
        .arg("replay")
        .arg(&trace)
        .args(["--learn-every", "64", "--save-model"])
        .arg(&model)
        .assert()
        .success();
    kernoracle()
        .arg("replay")
        .arg(&trace)
        .arg("--no-learn")
        .arg("--model")
        .arg(&model)
        .assert()
        .success()
        .stdout(predicate::str::contains("a.safetensors (trained on "));
    kernoracle()
        .arg("replay")
        .arg(&trace)
        .args(["--no-learn", "--model", "untrained"])
        .assert()
        .success()
        .stdout(predicate::str::contains("linear, untrained, "));
}
