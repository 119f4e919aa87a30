//! `train`: on traces that the test makes.

use kernoracle::trace::event::WakeKind;
use kernoracle_tests::{
    binary, kernoracle,
    made::{Maker, switch, wake},
    one_line_with,
};
use predicates::prelude::*;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Rounds in which idle hands over to one of `tasks` in turn, and that one wakes another before idle comes back.
fn write_trace(path: &Path, rounds: u32, tasks: u32) {
    let mut trace = Maker::create(path, 1_000_000_000);
    for round in 0..rounds {
        let first = 1 + round % tasks;
        let second = 1 + (round * round + 1) % tasks;
        let mut chain = vec![0, first];
        if second != first {
            chain.push(second);
        }
        chain.push(0);
        for pair in chain.windows(2) {
            let (prev, next) = (pair[0], pair[1]);
            if next != 0 {
                trace.write(20_000, wake(WakeKind::Wakeup, prev, next));
            }
            trace.write(30_000 + u64::from(prev) * 5_000, switch(prev, next));
        }
    }
    trace.finish();
}

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        write_trace(&directory.path().join("a.kot"), 700, 5);
        write_trace(&directory.path().join("b.kot"), 500, 3);
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A training of both traces with small windows.
    fn train(&self, out: &str, options: &[&str]) -> Command {
        let mut command = self.command(out, options);
        command.args(["--length", "40", "--windows", "20", "--batch", "8"]);
        command
    }

    fn command(&self, out: &str, options: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .env_remove("RUST_LOG")
            .env_remove("JOURNAL_STREAM")
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .arg("train")
            .args([self.path("a.kot"), self.path("b.kot")])
            .arg("-o")
            .arg(self.path(out))
            .args(options);
        command
    }

    fn trained(&self, out: &str, options: &[&str]) -> Vec<u8> {
        let output = self.train(out, options).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert!(!self.path(&format!("{out}.state")).exists());
        fs::read(self.path(out)).unwrap()
    }
}

/// A column of a curve.
fn column(curve: &str, name: &str) -> Vec<f64> {
    let mut lines = curve.lines();
    let place = lines
        .next()
        .unwrap()
        .split(',')
        .position(|column| column == name)
        .unwrap();
    lines
        .map(|line| line.split(',').nth(place).unwrap().parse().unwrap())
        .collect()
}

#[test]
fn the_curve_falls_and_the_model_is_of_use() {
    let place = Place::new();
    let curve = place.path("curve.csv");
    place.trained("m", &["--epochs", "4", "--curve", curve.to_str().unwrap()]);
    let curve = fs::read_to_string(curve).unwrap();
    for name in ["training_bits", "validation_bits"] {
        let bits = column(&curve, name);
        assert_eq!(bits.len(), 4, "{curve}");
        assert!(bits[3] < bits[0], "{name} does not fall: {curve}");
    }
    let bits_of = |model: &str| {
        let output = kernoracle()
            .args(["eval", "--no-learn", "--json", "--model", model])
            .arg(place.path("a.kot"))
            .assert()
            .success();
        let json: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
        json.pointer("/macro_mean/at_switch/all/bits")
            .and_then(serde_json::Value::as_f64)
            .unwrap_or_else(|| panic!("{json}"))
    };
    let (trained, untrained) = (
        bits_of(place.path("m").to_str().unwrap()),
        bits_of("untrained"),
    );
    assert!(trained < untrained, "{trained} {untrained}");
}

#[test]
fn the_same_again_whatever_the_threads() {
    let place = Place::new();
    let first = place.trained("m", &["--epochs", "2", "--threads", "1"]);
    assert_eq!(
        first,
        place.trained("n", &["--epochs", "2", "--threads", "3"])
    );
    assert_ne!(first, place.trained("o", &["--epochs", "2", "--seed", "2"]));
}

#[test]
fn a_killed_training_goes_on_to_the_same_model() {
    let place = Place::new();
    let options = ["--epochs", "6", "--patience", "9"];
    let whole = place.trained("whole", &options);

    let mut child = place
        .train("killed", &options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let state = place.path("killed.state");
    let begun = Instant::now();
    while !state.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no state");
        assert!(child.try_wait().unwrap().is_none(), "ended too soon");
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(state.exists(), "killed before the end");
    assert!(!place.path("killed").exists(), "no partial output");

    // Other terms are refused, and change nothing.
    for (options, what) in [
        (
            &["--epochs", "6", "--patience", "9", "--seed", "3"][..],
            "another --seed",
        ),
        (
            &["--epochs", "7", "--patience", "9"][..],
            "another set of options",
        ),
    ] {
        let output = place.train("killed", options).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(one_line_with(what).eval(&stderr), "{stderr}");
    }
    let output = place.train("killed", &options).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.starts_with("goes on after epoch "), "{stdout}");
    assert_eq!(fs::read(place.path("killed")).unwrap(), whole);
    assert!(!state.exists());
}

#[test]
fn a_part_left_out_stays_out() {
    let place = Place::new();
    place.trained(
        "m",
        &["--epochs", "1", "--without", "lstm", "--without", "counts"],
    );
    kernoracle()
        .arg("replay")
        .arg("--model")
        .arg(place.path("m"))
        .arg(place.path("a.kot"))
        .assert()
        .success()
        .stdout(predicate::str::contains("without lstm and counts"));
    // Going on from it is going on without them.
    place.trained(
        "n",
        &["--epochs", "1", "--from", place.path("m").to_str().unwrap()],
    );
    let written = String::from_utf8_lossy(&fs::read(place.path("n")).unwrap()).into_owned();
    assert!(written.contains(r#"\"lstm\":true"#) && written.contains(r#"\"counts\":true"#));
}

#[test]
fn bad_input_gets_one_line() {
    let place = Place::new();
    let refused = |command: &mut Command, says: &str| {
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(one_line_with(says).eval(&stderr), "{stderr}");
        assert!(!place.path("m").exists() && !place.path("m.state").exists());
    };
    refused(&mut place.train("m", &["--epochs", "0"]), "--epochs");
    refused(&mut place.train("m", &["--rate", "nan"]), "above 0");
    refused(&mut place.train("m", &["--without", "legs"]), "legs");
    refused(&mut place.command("m", &["--length", "4096"]), "too short");
    refused(&mut place.train("m", &["--from", "/dev/null"]), "/dev/null");
    refused(&mut place.train("no/such/m", &[]), "there is no directory");
    refused(&mut place.train("a.kot", &[]), "overwrite a trace file");
    let a = place.path("a.kot");
    refused(place.train("m", &[]).arg(&a), "given twice");
    let foreign = place.path("foreign");
    fs::write(&foreign, "no trace").unwrap();
    refused(place.train("m", &[]).arg(&foreign), "foreign");
    refused(
        place.train("m", &[]).env("SOURCE_DATE_EPOCH", "yesterday"),
        "SOURCE_DATE_EPOCH",
    );
    // Something else stands where the state would be.
    fs::write(place.path("m.state"), "mine").unwrap();
    let output = place.train("m", &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(one_line_with("m.state").eval(&String::from_utf8(output.stderr).unwrap()));
    assert_eq!(fs::read(place.path("m.state")).unwrap(), b"mine");
}
