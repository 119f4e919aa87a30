//! `eval` on trace files that the test makes.

use kernoracle_tests::{
    figures::{assert_scores_add_up, count, share},
    kernoracle, made,
};
use predicates::prelude::*;
use serde_json::Value;

#[test]
fn eval_adds_up() {
    let directory = tempfile::tempdir().unwrap();
    let (short, long) = (
        directory.path().join("short.kot"),
        directory.path().join("long.kot"),
    );
    let counts = [made::in_turn(&short, 50), made::in_turn(&long, 400)];
    let output = kernoracle()
        .args(["eval", "--json"])
        .args([&short, &long])
        .assert()
        .success();
    let json: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let loads = json["loads"].as_array().unwrap();
    assert_eq!(loads.len(), 2);
    for (load, switches) in loads.iter().zip(counts) {
        assert_scores_add_up(&load["all"]);
        assert_scores_add_up(&load["after_warm_up"]);
        for part in [
            "first_1000",
            "first_1000_again",
            "after_first_1000",
            "last_half",
        ] {
            assert_scores_add_up(&load[part]);
        }
        let seen = |part: &str| count(load, &format!("/{part}/seen"));
        assert_eq!(seen("first_1000") + seen("after_first_1000"), switches);
        // What was learned of them is still known when they come again.
        assert_eq!(seen("first_1000_again"), seen("first_1000"));
        assert_eq!(count(load, "/first_1000_again/unscored/budget"), 0);
        let top1 = |part: &str| share(load, &format!("/{part}/at_switch/all/top1"));
        assert!(top1("first_1000_again") > top1("first_1000"));
        assert_eq!(seen("last_half"), switches - switches / 2);
        let scored = count(load, "/all/scored");
        assert_eq!(count(load, "/first_1000/scored"), scored.min(1000));
        assert_eq!(count(load, "/all/ppm8/all/decisions"), scored);
        let binned: u64 = load["all"]["calibration"]["bins"]
            .as_array()
            .unwrap()
            .iter()
            .map(|bin| count(bin, "/decisions"))
            .sum();
        assert_eq!(binned, scored);
        let misses = load["all"]["misses"].as_object().unwrap();
        let misses: u64 = misses.values().map(|count| count.as_u64().unwrap()).sum();
        let top1 = load["all"]["at_switch"]["all"]["top1"].as_f64().unwrap();
        let missed = (1.0 - top1) * scored as f64;
        assert!(
            (misses as f64 - missed).abs() < 1e-6,
            "{misses} of {missed}"
        );
        assert_eq!(count(load, "/all/seen"), switches);
        let warm_up = (switches as f64 * 0.7).floor() as u64;
        assert_eq!(count(load, "/after_warm_up/seen"), switches - warm_up);
    }
    for (mean, part) in [
        ("macro_mean", "all"),
        ("macro_mean_after_warm_up", "after_warm_up"),
    ] {
        let ece = ["ece", "refined_ece"].map(|name| {
            let pointer = format!("/{part}/calibration/{name}");
            let expected = f64::midpoint(share(&loads[0], &pointer), share(&loads[1], &pointer));
            (share(&json[mean], &format!("/{name}")) - expected).abs()
        });
        assert!(ece.iter().all(|apart| *apart < 1e-12), "{mean} {ece:?}");
        for predictor in [
            "at_switch",
            "refined",
            "order1",
            "backoff8",
            "ppm8",
            "scheduler",
        ] {
            for set in ["all", "without_idle"] {
                let pointer = format!("/{predictor}/{set}/top1");
                let expected = f64::midpoint(
                    share(&loads[0][part], &pointer),
                    share(&loads[1][part], &pointer),
                );
                assert!(
                    (share(&json[mean], &pointer) - expected).abs() < 1e-12,
                    "{mean}{pointer}"
                );
            }
        }
    }
    kernoracle()
        .arg("eval")
        .args([&short, &long])
        .assert()
        .success()
        .stdout(
            predicate::str::contains("macro mean")
                .and(predicate::str::contains("back-off-8"))
                .and(predicate::str::contains("PPM-8")),
        );
}
