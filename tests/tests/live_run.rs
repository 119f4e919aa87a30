//! `run` on the live kernel: predictions, filters, own switches, weights.

use assert_cmd::Command;
use kernoracle_tests::{
    daemon::Daemon,
    figures::{assert_adds_up, count, share},
    kernoracle, live_or_skip,
    load::Load,
    one_line_with,
};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;

/// A few seconds at most: each of these tests ends it when it has seen what it wants.
const JSON: [&str; 5] = ["run", "--duration", "60s", "--log-format", "json"];

#[test]
fn predictions_come_from_the_first_summary_on() {
    let _alone = live_or_skip!("hackbench");
    let load = Load::small(0);
    let mut daemon = Daemon::start(None, &JSON);
    let start = daemon.until("start", |_| true);
    daemon.until("summary", |_| true);
    daemon.signal(Signal::SIGINT);
    let ended = daemon.end();
    drop(load);

    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(start["kernel"], kernel.trim());
    assert!(
        start["model"].as_str().unwrap().contains("default model"),
        "{start}"
    );
    assert!(start["findings"].as_array().unwrap().len() >= 4, "{start}");
    let first_summary = ended
        .lines
        .iter()
        .position(|line| line["type"] == "summary")
        .unwrap();
    let predictions: Vec<&Value> = ended.lines[..first_summary]
        .iter()
        .filter(|line| line["type"] == "prediction")
        .collect();
    assert!(!predictions.is_empty(), "none before the first summary");
    for line in predictions {
        let p = share(line, "/p_predicted");
        assert!((0.0..=1.0).contains(&p), "{line}");
        let hit = line["predicted_pid"] == line["actual_pid"];
        assert_eq!(line["hit"], hit, "{line}");
        assert_eq!(line["rank"] == 1, hit, "{line}");
    }
    assert_adds_up(ended.last());
}

#[test]
fn text_has_predictions_a_summary_and_a_table() {
    let _alone = live_or_skip!("hackbench");
    let load = Load::small(0);
    let output = kernoracle()
        .args(["run", "--duration", "3s"])
        .output()
        .unwrap();
    drop(load);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let prediction = |line: &str| {
        line.contains("  cpu0  ")
            && line.contains("hackbench/")
            && (line.contains("  HIT") || line.contains("  miss"))
    };
    assert!(text.lines().any(prediction), "no prediction in: {text}");
    for said in [
        "default model",
        "sw/s",
        "back-off-8",
        "busiest tasks",
        "seen",
    ] {
        assert!(text.contains(said), "no {said} in: {text}");
    }
    assert!(!text.contains('\x1b'), "no colour in a pipe");
    assert!(!text.contains("DEFECT"), "{text}");
}

#[test]
fn only_the_named_cpu_is_predicted() {
    let _alone = live_or_skip!(two cpus; "hackbench");
    let load = (Load::small(0), Load::small(1));
    let mut arguments = JSON.to_vec();
    arguments.extend(["--cpu", "1", "--every-switch"]);
    let mut daemon = Daemon::start(Some(0), &arguments);
    daemon.until("summary", |line| count(line, "/scored") > 100);
    daemon.signal(Signal::SIGTERM);
    let ended = daemon.end();
    drop(load);
    let mut predictions = 0;
    for line in ended.of_type("prediction") {
        assert_eq!(count(line, "/cpu"), 1, "{line}");
        predictions += 1;
    }
    assert!(predictions > 100, "{predictions}");
}

#[test]
fn own_switches_are_scored_only_when_asked_for() {
    let _alone = live_or_skip!("hackbench");
    for (options, kept) in [(&[][..], false), (&["--include-self"][..], true)] {
        let load = Load::small(0);
        let mut arguments = JSON.to_vec();
        arguments.extend(["--cpu", "0", "--every-switch"]);
        // An emulated CPU predicts too few in a second under the default one.
        arguments.extend(["--cpu-budget", "off"]);
        arguments.extend(options);
        let mut daemon = Daemon::start(Some(0), &arguments);
        let pid = daemon.pid();
        daemon.until("summary", |line| count(line, "/scored") > 100);
        daemon.signal(Signal::SIGINT);
        let ended = daemon.end();
        drop(load);
        // Its main thread, which reads.
        let own = |line: &&Value| {
            count(line, "/ran_pid") == u64::from(pid)
                || count(line, "/actual_pid") == u64::from(pid)
        };
        assert_eq!(ended.of_type("prediction").any(|line| own(&line)), kept);
        let last = ended.last();
        assert_eq!(count(last, "/kernel/own_switches") == 0, kept, "{last}");
    }
}

/// A safetensors file: eight bytes of length, a JSON header, the numbers.
struct Weights {
    header: Value,
    data: Vec<u8>,
}

impl Weights {
    fn parse(bytes: &[u8]) -> Self {
        let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        Self {
            header: serde_json::from_slice(&bytes[8..8 + len]).unwrap(),
            data: bytes[8 + len..].to_vec(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let header = self.header.to_string();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&self.data);
        bytes
    }
}

#[test]
fn saved_weights_are_used_again_and_bad_ones_refused() {
    let _alone = live_or_skip!("hackbench");
    let directory = tempfile::tempdir().unwrap();
    let saved = directory.path().join("saved.safetensors");
    let load = Load::small(0);
    kernoracle()
        .args(["run", "--duration", "3s", "--samples-per-second", "0"])
        .args(["--learn-cpu", "50%", "--save-model"])
        .arg(&saved)
        .assert()
        .success();
    let with_model = |path: &std::path::Path| -> Command {
        let mut command = kernoracle();
        command
            .args(["run", "--duration", "1s", "--samples-per-second", "0"])
            .arg("--model")
            .arg(path);
        command
    };
    let output = with_model(&saved).output().unwrap();
    drop(load);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("saved.safetensors"), "{text}");

    let bytes = fs::read(&saved).unwrap();
    let weights = || Weights::parse(&bytes);
    let mut bad: Vec<(&str, Vec<u8>)> = vec![
        ("missing", Vec::new()),
        (
            "foreign",
            b"this is no file of weights, but it is long".to_vec(),
        ),
        ("cut", bytes[..bytes.len() / 2].to_vec()),
    ];
    let mut version = weights();
    let metadata = &mut version.header["__metadata__"]["kernoracle_model"];
    assert!(metadata.is_string(), "the version of the model: {metadata}");
    *metadata = Value::String("4711".to_owned());
    bad.push(("version", version.bytes()));
    let mut shape = weights();
    let tensor = shape
        .header
        .as_object_mut()
        .unwrap()
        .values_mut()
        .find(|tensor| tensor["shape"].as_array().is_some_and(|it| it.len() == 2))
        .unwrap();
    // As many numbers, otherwise arranged.
    tensor["shape"].as_array_mut().unwrap().reverse();
    bad.push(("shape", shape.bytes()));
    let mut not_a_number = weights();
    not_a_number.data[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    bad.push(("nan", not_a_number.bytes()));

    for (name, bytes) in bad {
        let path = directory.path().join(format!("{name}.safetensors"));
        if name != "missing" {
            fs::write(&path, bytes).unwrap();
        }
        let refused = with_model(&path)
            .assert()
            .code(2)
            .stdout("")
            .stderr(one_line_with(&path.display().to_string()));
        print!("{}", String::from_utf8_lossy(&refused.get_output().stderr));
    }
}
