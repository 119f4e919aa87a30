//! The arithmetic of the scores: decisions made by hand, figures worked out by hand.

use kernoracle::{
    oracle::outcome::{BaselineScored, Decision, RunTime, Scored, Sink, TaskName, Unscored},
    report::{
        Both, Figures,
        evaluation::{Evaluation, Load, LoadScore},
        score::Score,
    },
    trace::event::Comm,
};

fn task(pid: u32, comm: &str) -> TaskName {
    TaskName {
        pid,
        comm: Comm::new(comm),
    }
}

fn scored(guess: TaskName, rank: Option<u32>, bits: f32) -> Scored {
    Scored {
        top: [(guess, 0.5)].into_iter().collect(),
        rank,
        bits,
        candidates: 9,
        lead_ns: None,
        inference_ns: None,
    }
}

fn decision(number: u64, actual: TaskName, at_switch: Scored) -> Decision {
    let baseline = |rank, bits| BaselineScored {
        predicted: Some(task(9, "x")),
        rank,
        bits,
    };
    Decision {
        number,
        ts_ns: number * 1000,
        cpu: 0,
        ran: task(7, "ran"),
        actual,
        at_switch,
        refined: None,
        cause: None,
        baselines: [
            baseline(Some(1), Some(0.5)),
            baseline(Some(5), Some(4.5)),
            BaselineScored::default(),
        ],
        run_time: None,
    }
}

fn figures(decisions: u64, top1: f64, top5: f64, bits: Option<f64>) -> Figures {
    Figures {
        decisions,
        top1: Some(top1),
        top5: Some(top5),
        bits,
    }
}

/// Four decisions: hit (not idle), rank 5 (idle), rank 6 (not idle), not a candidate (not idle).
fn four() -> Vec<Decision> {
    let (ab, nginx, idle) = (task(1, "ab"), task(2, "nginx"), task(0, "swapper/0"));
    let mut decisions = vec![
        decision(2, ab, scored(ab, Some(1), 0.25)),
        decision(3, idle, scored(ab, Some(5), 3.0)),
        decision(4, ab, scored(nginx, Some(6), 5.0)),
        decision(6, nginx, scored(ab, None, 9.75)),
    ];
    decisions[0].at_switch.lead_ns = Some(31_000);
    decisions[0].at_switch.inference_ns = Some(1000);
    decisions[1].at_switch.lead_ns = Some(-5000);
    decisions[1].at_switch.inference_ns = Some(2000);
    decisions[2].refined = Some(scored(ab, Some(1), 1.0));
    decisions[0].run_time = Some(RunTime {
        actual_ns: 10_000,
        predicted_ns: [5000, 8000, 20_000],
        median_ns: None,
    });
    decisions[1].run_time = Some(RunTime {
        actual_ns: 4000,
        predicted_ns: [5000, 8000, 20_000],
        median_ns: Some(5000),
    });
    decisions
}

fn score() -> Score {
    let mut score = Score::new(true);
    score.unscored(0, 0, Unscored::First);
    for decision in four() {
        score.decision(&decision);
    }
    score.gap(5000, 0, 42);
    score.unscored(5000, 0, Unscored::Gap);
    score.gap(7000, 1, 8);
    score.unscored(7000, 1, Unscored::Overload);
    score.unscored(8000, 1, Unscored::Overload);
    score.unscored(9000, 1, Unscored::Broken);
    score
}

#[test]
fn seen_is_scored_plus_unscored() {
    let scores = score().scores();
    assert_eq!(scores.seen, 9);
    assert_eq!(scores.scored, 4);
    let reasons = scores.unscored;
    assert_eq!(
        [reasons.first, reasons.gap, reasons.broken, reasons.overload],
        [1, 1, 1, 2]
    );
    assert_eq!(scores.seen, scores.scored + reasons.total());
    assert_eq!((scores.lost_events, scores.gaps), (50, 2));
}

#[test]
fn hits_and_bits() {
    let scores = score().scores();
    assert_eq!(
        scores.at_switch,
        Both {
            all: figures(4, 0.25, 0.5, Some(4.5)),
            without_idle: figures(3, 1.0 / 3.0, 1.0 / 3.0, Some(5.0)),
        }
    );
    // The third decision was refined into a hit of 1 bit; the others stand.
    assert_eq!(
        scores.refined,
        Both {
            all: figures(4, 0.5, 0.75, Some(3.5)),
            without_idle: figures(3, 2.0 / 3.0, 2.0 / 3.0, Some(11.0 / 3.0)),
        }
    );
    assert_eq!(scores.refined_made, 1);
    assert_eq!(scores.order1.all, figures(4, 1.0, 1.0, Some(0.5)));
    assert_eq!(scores.backoff8.all, figures(4, 0.0, 1.0, Some(4.5)));
    assert_eq!(scores.scheduler.all, figures(4, 0.0, 0.0, None));
}

#[test]
fn run_times() {
    let run = score().scores().run_time;
    assert_eq!((run.runs, run.compared), (2, 1));
    // |8 - 10| / 10 = .2 and |8 - 4| / 4 = 1: the lower of the two in the middle.
    assert_eq!(run.median_relative_error, Some(f64::from(0.2_f32)));
    assert_eq!(run.compared_median_relative_error, Some(1.0));
    assert_eq!(run.running_median_relative_error, Some(0.25));
    let close = |value: Option<f64>, expected: f64| {
        let value = value.unwrap();
        assert!(
            (value - expected).abs() < 1e-12,
            "{value} is not {expected}"
        );
    };
    // .1: 10 over 5 us costs .1 * 5, 4 under 5 us costs .9 * 1.
    close(run.pinball_p10_us, f64::midpoint(0.5, 0.9));
    // .5: 10 over 8 us costs .5 * 2, 4 under 8 us costs .5 * 4.
    close(run.pinball_p50_us, f64::midpoint(1.0, 2.0));
    // .9: 10 under 20 us costs .1 * 10, 4 under 20 us costs .1 * 16.
    close(run.pinball_p90_us, f64::midpoint(1.0, 1.6));
    close(run.pinball_us, (0.7 + 1.5 + 1.3) / 3.0);
    assert_eq!((run.below_p10, run.below_p90), (Some(0.5), Some(1.0)));
}

#[test]
fn lead_and_inference() {
    let scores = score().scores();
    assert_eq!(scores.lead.decisions, 2);
    assert_eq!(scores.lead.ahead, Some(0.5));
    let near = |value: Option<f64>, expected: f64| {
        let value = value.unwrap();
        assert!(
            (value - expected).abs() <= expected.abs() / 1000.0,
            "{value}, not {expected}"
        );
    };
    near(scores.lead.p10_us, -5.0);
    near(scores.lead.p90_us, 31.0);
    assert_eq!(scores.inference.predictions, 2);
    near(scores.inference.p50_us, 1.0);
    near(scores.inference.p99_us, 2.0);
}

#[test]
fn busiest_tasks_and_their_wrong_guesses() {
    let busiest = score().busiest(2);
    let rows: Vec<_> = busiest
        .iter()
        .map(|task| {
            (
                task.pid,
                task.decisions,
                task.top1,
                task.wrong_pid,
                task.wrong_decisions,
            )
        })
        .collect();
    // idle and nginx have one decision each: the smaller pid comes first.
    assert_eq!(rows, [(1, 2, 0.5, Some(2), 1), (0, 1, 0.0, Some(1), 1)]);
}

#[test]
fn nothing_scored_gives_no_figures() {
    let scores = Score::new(false).scores();
    assert_eq!(scores.seen, 0);
    assert_eq!(scores.at_switch.all, Figures::default());
    assert_eq!(scores.run_time.median_relative_error, None);
    assert_eq!(scores.lead.p50_us, None);
}

fn load(name: &str, decisions: &[Decision], warm_up: u64) -> Load {
    let mut score = LoadScore::new(warm_up);
    score.unscored(0, 0, Unscored::First);
    for decision in decisions {
        score.decision(decision);
    }
    let (all, after_warm_up) = score.scores();
    Load {
        file: name.to_owned(),
        kernel: String::new(),
        scheduler: String::new(),
        command: String::new(),
        all,
        after_warm_up,
        trace_lost: None,
    }
}

#[test]
fn each_load_counts_the_same() {
    let ab = task(1, "ab");
    let easy: Vec<_> = (2..1002)
        .map(|n| decision(n, ab, scored(ab, Some(1), 0.0)))
        .collect();
    let hard = four();
    // Three of the five switches (the first is unscored) are warm-up: two decisions are left.
    let evaluation = Evaluation::new(0.7, vec![load("easy", &easy, 701), load("hard", &hard, 3)]);
    let mean = &evaluation.macro_mean;
    assert_eq!(mean.loads, 2);
    assert_eq!(mean.at_switch.all, figures(1004, 0.625, 0.75, Some(2.25)));
    let late = &evaluation.macro_mean_after_warm_up;
    assert_eq!(
        late.at_switch.all,
        figures(302, 0.5, 0.5, Some(7.375 / 2.0))
    );
    assert_eq!(evaluation.loads[1].after_warm_up.seen, 2);
    assert_eq!(evaluation.loads[1].after_warm_up.unscored.total(), 0);
    // No load has bits for the scheduler's pick.
    assert_eq!(mean.scheduler.all.bits, None);
    let text = evaluation.text();
    assert!(
        text.contains("switches seen 5 = scored 4 + unscored 1 (first 1,"),
        "{text}"
    );
    assert!(text.contains("macro mean"), "{text}");
}
