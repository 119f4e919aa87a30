//! `train --recipe paper` and `forecast`: on traces that the test makes.

use kernoracle::trace::event::WakeKind;
use kernoracle_tests::{
    kernoracle,
    made::{Maker, switch, wake},
    one_line_with,
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A client that idle wakes hands over to one of two servers, and back; now and then a third one comes in between. From switch `changed` on
/// everything is different.
fn write_trace(path: &Path, switches: usize, changed: usize) {
    let mut trace = Maker::create(path, 1_000_000_000);
    let (mut current, mut random) = (0, 7_u32);
    for at in 0..switches {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let rare = random >> 24 < 16;
        let next = match (at >= changed, current) {
            (true, 90) => 91,
            (true, _) => 90,
            (false, 0) => 1,
            (false, 1) if rare => 4,
            (false, 1) => 2 + (at / 4 % 2) as u32,
            (false, 4) => 2,
            (false, _) if at % 8 == 0 => 0,
            (false, _) => 1,
        };
        if next != 0 {
            trace.write(7_000, wake(WakeKind::Wakeup, current, next));
        }
        let ran = if at >= changed {
            900_000
        } else {
            10_000 + 5_000 * u64::from(current)
        };
        trace.write(ran, switch(current, next));
        current = next;
    }
    trace.finish();
}

const SWITCHES: usize = 2_000;
/// Where the test part begins.
const TEST: usize = 1_400;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        write_trace(&place.path("a.kot"), SWITCHES, SWITCHES);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn train(&self, options: &[&str]) -> assert_cmd::assert::Assert {
        kernoracle()
            .current_dir(self.0.path())
            .args(["train", "--recipe", "paper", "-o", "paper.safetensors"])
            .args(["--sequence-length", "50"])
            .args(options)
            .assert()
    }

    fn forecast(&self, file: &str, options: &[&str]) -> assert_cmd::assert::Assert {
        kernoracle()
            .current_dir(self.0.path())
            .args(["forecast", file, "--steps", "40", "--draws", "2"])
            .args(options)
            .assert()
    }

    /// The figures without the times that it took.
    fn figures(&self, file: &str, options: &[&str]) -> Value {
        let all = [options, &["--json", "out.json"]].concat();
        self.forecast(file, &all).success();
        let text = fs::read_to_string(self.path("out.json")).unwrap();
        let mut json: Value = serde_json::from_str(&text).unwrap();
        let latency = json.as_object_mut().unwrap().remove("latency_us").unwrap();
        assert!(latency["plain"]["p50"].as_f64().unwrap() > 0.0, "{latency}");
        json
    }
}

const PAPER: [&str; 4] = ["--recipe", "paper", "--model", "paper.safetensors"];

#[test]
fn the_papers_recipe_is_trained_and_foretells() {
    let place = Place::new();
    let options = [
        "a.kot",
        "--epochs",
        "4",
        "--save-epochs",
        "1,3",
        "--loss-curve",
        "loss.csv",
    ];
    let out = place.train(&options).success();
    let stdout = String::from_utf8(out.get_output().stdout.clone()).unwrap();
    assert!(stdout.contains("28 sequences of 50"), "{stdout}");
    assert!(stdout.contains("epoch   4: training MSE"), "{stdout}");
    for file in [
        "paper.safetensors",
        "paper.epoch-1.safetensors",
        "paper.epoch-3.safetensors",
    ] {
        assert!(place.path(file).exists(), "{file}");
    }
    let curve = fs::read_to_string(place.path("loss.csv")).unwrap();
    let column = |line: &str, column: usize| -> f64 {
        line.split(',').nth(column).unwrap().parse().unwrap()
    };
    let lines: Vec<&str> = curve.lines().collect();
    assert_eq!(lines[0], "epoch,train_mse,test_mse,test_top1,evaluations");
    assert_eq!(lines.len(), 6, "{curve}");
    assert!(column(lines[5], 1) < 0.5 * column(lines[1], 1), "{curve}");
    let picture = fs::read_to_string(place.path("loss.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("test part"));

    let first = fs::read(place.path("paper.safetensors")).unwrap();
    place.train(&options).success();
    let second = fs::read(place.path("paper.safetensors")).unwrap();
    assert!(first == second, "twice the same gives the same model");

    let figures = place.figures("a.kot", &[&PAPER[..], &["-o", "paper.svg"]].concat());
    assert_eq!(figures["test_from"], TEST);
    assert_eq!(figures["one_step"]["switches"], SWITCHES - TEST);
    assert!(figures["one_step"]["bits"].is_null());
    let top1 = figures["one_step"]["top1"].as_f64().unwrap();
    assert!(top1 > 0.7, "a loop is learned: {top1}");
    let test_mse = figures["one_step"]["test_mse"].as_f64().unwrap();
    assert!((test_mse - column(lines[5], 2)).abs() < 1e-6);
    let picture = fs::read_to_string(place.path("paper.svg")).unwrap();
    assert!(picture.contains("task-2/2") && picture.contains("what came"));
}

#[test]
fn the_default_recipe_foretells_a_loop_better_than_the_papers() {
    let place = Place::new();
    place.train(&["a.kot", "--epochs", "3"]).success();
    let paper = place.figures("a.kot", &PAPER);
    let own = place.figures("a.kot", &["-o", "own.svg"]);
    assert_eq!(own["starts"], 100);
    let forecasters = "forecast path drawn order1 backoff8 repeat_cycle most_frequent";
    let names: Vec<&str> = forecasters.split(' ').collect();
    assert_eq!(own["forecasters"], serde_json::json!(names));
    let first = |figures: &Value| figures["at_step"][0]["top1"]["forecast"].as_f64().unwrap();
    assert!(first(&own) >= first(&paper), "{own} {paper}");
    assert!(first(&own) > 0.8, "{own}");
    let same = ["order1", "backoff8", "repeat_cycle", "most_frequent"];
    for name in same {
        assert_eq!(
            own["top1_by_step"][name], paper["top1_by_step"][name],
            "{name}"
        );
    }
    let listed: Vec<u64> = (own["at_step"].as_array().unwrap().iter())
        .map(|at| at["k"].as_u64().unwrap())
        .collect();
    assert_eq!(listed, [1, 2, 5, 10, 20]);
    assert_eq!(own["picture"]["foretold"].as_array().unwrap().len(), 40);
    assert!(place.path("own.svg").exists());

    let again = place.figures("a.kot", &["-o", "own.svg"]);
    assert_eq!(own, again, "twice the same gives the same figures");
}

#[test]
fn a_forecast_does_not_look_ahead() {
    let place = Place::new();
    place.train(&["a.kot", "--epochs", "1"]).success();
    write_trace(&place.path("b.kot"), SWITCHES, TEST);
    let from = TEST.to_string();
    let options = ["--from", &from, "--starts", "1"];
    for recipe in [&[][..], &PAPER[..]] {
        let options = [&options[..], recipe].concat();
        let [a, b] = ["a.kot", "b.kot"].map(|file| place.figures(file, &options));
        assert_eq!(a["picture"], b["picture"], "{recipe:?}");
        assert_ne!(a["one_step"], b["one_step"], "what follows is another");
    }
}

#[test]
fn bad_trainings_are_refused_in_one_line() {
    let place = Place::new();
    write_trace(&place.path("short.kot"), 60, 60);
    for (options, says) in [
        (
            &["a.kot", "short.kot"][..],
            "trains on one file, 2 are given",
        ),
        (&["short.kot"], "too short: 0 sequences of 50 switches"),
        (
            &["a.kot", "--epochs", "2", "--save-epochs", "1,3"],
            "--save-epochs 3: there are only 2",
        ),
        (
            &["a.kot", "--patience", "3"],
            "--patience belongs to --recipe default",
        ),
        (&["a.kot", "--cpu", "3"], "no switch of CPU 3"),
        (&["a.kot", "--test", "100%"], "must be below 100%"),
        (
            &["a.kot", "--loss-curve", "paper.safetensors"],
            "written twice",
        ),
        (
            &["a.kot", "--loss-curve", "nowhere/loss.csv"],
            "no directory nowhere",
        ),
        (&["none.kot"], "none.kot"),
    ] {
        place.train(options).code(2).stderr(one_line_with(says));
        assert!(!place.path("paper.safetensors").exists(), "{says}");
    }
    kernoracle()
        .current_dir(place.0.path())
        .args(["train", "a.kot", "-o", "m.safetensors", "--sequences", "4"])
        .assert()
        .code(2)
        .stderr(one_line_with("--sequences belongs to --recipe paper"));
}

#[test]
fn bad_forecasts_are_refused_in_one_line() {
    let place = Place::new();
    write_trace(&place.path("short.kot"), 60, 60);
    write_trace(&place.path("other.kot"), SWITCHES, 0);
    place.train(&["a.kot", "--epochs", "1"]).success();
    let whole = fs::read(place.path("paper.safetensors")).unwrap();
    let mut missing = whole.clone();
    let name = b"\"lstm2.bias\"";
    let at = missing.windows(name.len()).position(|w| w == name).unwrap();
    missing[at + 1] = b'x';
    fs::write(place.path("missing.safetensors"), missing).unwrap();
    fs::write(place.path("cut.safetensors"), &whole[..whole.len() / 2]).unwrap();
    let paper = |model| ["a.kot", "--recipe", "paper", "--model", model];
    for (options, says) in [
        (
            &["short.kot"][..],
            "too short: the test part has 18 switches",
        ),
        (&["a.kot", "--from", "5"], "a forecast from switch 5"),
        (&["a.kot", "--from", "1990"], "1400..2000"),
        (&["a.kot", "-o", "x.png"], "pictures are SVG"),
        (&["a.kot", "--json", "a.kot"], "would overwrite"),
        (&["a.kot", "--recipe", "paper"], "needs --model"),
        (
            &["a.kot", "--model", "paper.safetensors"],
            "forecast --recipe paper",
        ),
        (
            &paper("missing.safetensors"),
            "tensor lstm2.bias is missing",
        ),
        (&paper("cut.safetensors"), "not a safetensors file"),
        (&paper("a.kot"), "not a safetensors file"),
        (
            &[
                "other.kot",
                "--recipe",
                "paper",
                "--model",
                "paper.safetensors",
            ],
            "knows none of its tasks",
        ),
    ] {
        place
            .forecast(options[0], &options[1..])
            .code(2)
            .stdout("")
            .stderr(one_line_with(says));
    }
    kernoracle()
        .current_dir(place.0.path())
        .args(["replay", "a.kot", "--model", "paper.safetensors"])
        .assert()
        .code(2)
        .stderr(one_line_with("a model of the paper's recipe"));
}
