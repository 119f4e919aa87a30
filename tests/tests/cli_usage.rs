//! The command line as a person meets it: help, completions, man pages, and mistakes.

use assert_cmd::Command;
use predicates::prelude::*;

fn kernoracle() -> Command {
    kernoracle_tests::kernoracle()
}

/// Exit status 2, nothing on standard output, one line on standard error that says what and where.
fn refuses(arguments: &[&str], says: &str) {
    kernoracle()
        .args(arguments)
        .assert()
        .code(2)
        .stdout("")
        .stderr(kernoracle_tests::one_line_with(says));
}

#[test]
fn help_teaches() {
    let commands = ["run", "record", "replay", "eval", "doctor", "completions"];
    let help = kernoracle().arg("--help").assert().success();
    let help = String::from_utf8(help.get_output().stdout.clone()).unwrap();
    for command in commands {
        assert!(
            help.contains(&format!("\n  {command} ")),
            "{command} is missing in: {help}"
        );
        kernoracle()
            .args([command, "--help"])
            .assert()
            .success()
            .stdout(predicate::str::contains("Example"));
    }
    assert!(!help.contains("\n  man "), "man is hidden: {help}");
}

#[test]
fn the_columns_are_explained() {
    for column in [
        "time s",
        "task that ran",
        "predicted next",
        "actual next",
        "rank",
        "lead",
    ] {
        kernoracle()
            .args(["run", "--help"])
            .assert()
            .success()
            .stdout(predicate::str::contains(column));
    }
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        kernoracle()
            .args(["completions", shell])
            .assert()
            .success()
            .stdout(
                predicate::str::contains("replay").and(predicate::str::contains("predictions")),
            );
    }
    refuses(&["completions", "csh"], "'csh'");
}

#[test]
fn the_man_pages_that_are_kept_are_current() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("man");
    kernoracle()
        .args(["man", "--out"])
        .arg(&out)
        .assert()
        .success();
    let pages = |directory: &std::path::Path| -> std::collections::BTreeMap<_, _> {
        std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                (
                    entry.file_name(),
                    std::fs::read_to_string(entry.path()).unwrap(),
                )
            })
            .collect()
    };
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/man");
    assert!(
        pages(&out) == pages(kept.as_ref()),
        "docs/man is not up to date: cargo xtask docs"
    );
}

#[test]
fn the_fields_of_the_log_are_printed() {
    kernoracle().arg("log-fields").assert().success().stdout(
        predicate::str::contains("| `p_predicted` | number or null |")
            .and(predicate::str::contains("| `lead_us` | number or null |")),
    );
}

#[test]
fn mistakes_get_one_line() {
    refuses(&["run", "--durtion", "1s"], "--durtion");
    refuses(&["run", "--duration", "10"], "--duration");
    refuses(&["run", "--duration", "0s"], "longer than nothing");
    refuses(&["run", "--ring-size", "12M"], "power of two");
    refuses(&["run", "--ring-size", "8G"], "at most 2G");
    refuses(&["run", "--cpu", "3-1"], "runs backwards");
    refuses(&["run", "--task", "("], "unclosed group");
    refuses(&["run", "--learn-cpu", "101%"], "at most 100%");
    refuses(&["run", "--cpu-budget", "0%"], "above 0%");
    refuses(&["run", "--cpu-budget", "never"], "or off");
    refuses(&["run", "--window", "0"], "--window");
    refuses(
        &["run", "--every-switch", "--samples-per-second", "1"],
        "cannot be used with",
    );
    refuses(&["run", "--log-rotation", "daily"], "--log-file");
    refuses(&["record"], "--output");
    refuses(&["replay"], "<FILE>");
    refuses(&["eval", "--warm-up", "100%", "a.kot"], "below 100%");
    refuses(&["frobnicate"], "'frobnicate'");
}

#[test]
fn places_that_cannot_be_written_are_refused_before_the_start() {
    refuses(
        &["run", "--predictions", "/nowhere/at/all.jsonl"],
        "no directory /nowhere/at",
    );
    refuses(
        &["run", "--save-model", "/nowhere/at/all"],
        "no directory /nowhere/at",
    );
    refuses(&["run", "--log-file", "/tmp"], "is a directory");
    refuses(
        &["record", "-o", "/nowhere/at/all.kot"],
        "no directory /nowhere/at",
    );
    refuses(
        &["run", "--log-file", "a", "--predictions", "a"],
        "two files",
    );
}

#[test]
fn recordings_that_are_none_are_refused() {
    for command in ["replay", "eval"] {
        refuses(&[command, "/nowhere/at/all.kot"], "No such file");
        refuses(&[command, "/tmp"], "/tmp: is a directory");
    }
}

#[test]
fn a_filter_of_diagnostics_that_cannot_be_read_is_refused() {
    kernoracle()
        .env("RUST_LOG", "kernoracle=loud")
        .args(["replay", "none.kot"])
        .assert()
        .code(2)
        .stderr(kernoracle_tests::one_line_with("RUST_LOG"));
}

#[test]
fn doctor_says_each_thing_and_whether_run_can_work() {
    let output = kernoracle().arg("doctor").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (checks, verdict) = text
        .trim_end()
        .rsplit_once('\n')
        .expect("checks and a verdict");
    assert!(
        checks
            .lines()
            .filter(|line| line.starts_with("ok") || line.starts_with("MISSING"))
            .count()
            > 3,
        "{text}"
    );
    let required_missing = checks
        .lines()
        .any(|line| line.starts_with("MISSING") && !line.ends_with("(optional)"));
    if required_missing {
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(verdict.contains("cannot work here"), "{text}");
    } else {
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(verdict.ends_with("can work here"), "{text}");
    }
}
