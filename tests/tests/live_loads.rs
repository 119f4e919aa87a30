//! Load and daemon on one CPU: nothing is lost, all adds up, and the model beats the contexts.

use kernoracle_tests::{
    daemon::{Daemon, Ended},
    figures::{assert_adds_up, count, share},
    live_or_skip,
    load::{Load, Web},
};

/// Predictions that a run must have to say something.
const ENOUGH: u64 = 5000;

/// Both on CPU 0; an emulated one needs longer for as many predictions.
fn run() -> Ended {
    let ended = run_for("20s");
    if count(ended.last(), "/scores/scored") > ENOUGH {
        return ended;
    }
    run_for("120s")
}

fn run_for(duration: &str) -> Ended {
    let daemon = Daemon::start(
        Some(0),
        &[
            "run",
            // Every switch, also where the CPU is emulated: with the budget a few hundred are predicted there.
            "--cpu-budget",
            "off",
            "--cpu",
            "0",
            "--duration",
            duration,
            "--log-format",
            "json",
        ],
    );
    daemon.end()
}

/// At-switch top-1 of the model and of back-off-8.
fn check(load: &str, ended: &Ended) -> (f64, f64) {
    let last = ended.last();
    let model = share(last, "/scores/at_switch/all/top1");
    let contexts = share(last, "/scores/backoff8/all/top1");
    println!(
        "{load}: {} switches, {} scored, {} lost events; top-1: model {model:.4}, refined {:.4}, order-1 {:.4}, \
         back-off-8 {contexts:.4}, scheduler {:.4}; {} learning steps",
        count(last, "/switches"),
        count(last, "/scores/scored"),
        count(last, "/kernel/lost_events"),
        share(last, "/scores/refined/all/top1"),
        share(last, "/scores/order1/all/top1"),
        share(last, "/scores/scheduler/all/top1"),
        count(last, "/learner/steps"),
    );
    assert_adds_up(last);
    assert_eq!(count(last, "/kernel/lost_events"), 0, "{last}");
    assert_eq!(ended.of_type("gap").count(), 0, "{last}");
    assert!(count(last, "/scores/scored") > ENOUGH, "{last}");
    (model, contexts)
}

#[test]
fn hackbench_and_daemon_on_one_cpu() {
    let _alone = live_or_skip!("hackbench");
    let mut load = Load::hackbench(0);
    let ended = run();
    load.assert_running();
    drop(load);
    let (model, contexts) = check("hackbench -p -g 8", &ended);
    assert!(model > contexts, "model {model}, back-off-8 {contexts}");
}

#[test]
fn nginx_and_daemon_on_one_cpu() {
    let _alone = live_or_skip!("nginx", "ab");
    let mut load = Web::start(0);
    let ended = run();
    load.assert_running();
    drop(load);
    let (model, contexts) = check("nginx + ab -c 5", &ended);
    assert!(model >= contexts, "model {model}, back-off-8 {contexts}");
}
