//! The arithmetic of the scores: decisions made by hand, figures worked out by hand.

use kernoracle::{
    oracle::outcome::{BaselineScored, Cause, Decision, RunTime, Scored, Sink, TaskName, Unscored},
    report::{
        Both, CalibrationFigures, Figures, MissCounts,
        evaluation::{Evaluation, Load, LoadScore, Parts},
        score::{Score, Scores},
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
        ppm8: None,
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
    let mut passed_by = score();
    passed_by.passed_by(9_500, 0, 1_000_000);
    assert_eq!(passed_by.scores().unscored.budget, 1_000_000);
    assert_eq!(passed_by.scores().seen, 1_000_009);
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
fn misses_have_causes() {
    let mut decisions = four();
    // A cause beside a hit is none of a miss.
    decisions[0].cause = Some(Cause::Model);
    decisions[1].cause = Some(Cause::Arrival);
    decisions[2].cause = Some(Cause::SleepOrStay);
    let load = load("four", &decisions, 0.7);
    let misses = load.all.misses;
    let expected = MissCounts {
        arrival: 1,
        sleep_or_stay: 1,
        unnamed: 1,
        ..MissCounts::default()
    };
    assert_eq!(misses, expected);
    assert_eq!(misses.total(), 3);
    assert_eq!(load.after_warm_up.misses.total(), 2);
    let text = Evaluation::new(0.7, vec![load]).text();
    let row = "3 (75.0%) 1 (25.0%) 0 (0.0%) 1 (25.0%) 0 (0.0%) 0 (0.0%) 0 (0.0%) 1 (25.0%)";
    let single_spaced = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(single_spaced.contains(row), "{text}");
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

fn load(name: &str, decisions: &[Decision], warm_up: f64) -> Load {
    let mut score = LoadScore::new(decisions.len() as u64 + 1, warm_up);
    score.unscored(0, 0, Unscored::First);
    for decision in decisions {
        score.decision(decision);
    }
    let Parts {
        all,
        after_warm_up,
        first_1000,
        after_first_1000,
        last_half,
    } = score.scores();
    Load {
        file: name.to_owned(),
        kernel: String::new(),
        scheduler: String::new(),
        command: String::new(),
        all,
        after_warm_up,
        first_1000_again: first_1000.clone(),
        first_1000,
        after_first_1000,
        last_half,
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
    // 700 of 1,001 switches, and three of five (the first is unscored) are warm-up: two decisions are left.
    let evaluation = Evaluation::new(
        0.7,
        vec![load("easy", &easy, 0.7), load("hard", &hard, 0.7)],
    );
    let mean = &evaluation.macro_mean;
    assert_eq!(mean.loads, 2);
    assert_eq!(mean.at_switch.all, figures(1004, 0.625, 0.75, Some(2.25)));
    let late = &evaluation.macro_mean_after_warm_up;
    assert_eq!(
        late.at_switch.all,
        figures(303, 0.5, 0.5, Some(7.375 / 2.0))
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

#[test]
fn the_start_is_told_from_the_rest() {
    let ab = task(1, "ab");
    // One that is not scored, 1,000 misses, 500 hits.
    let decisions: Vec<_> = (2..1502)
        .map(|n| {
            let rank = if n < 1002 { 2 } else { 1 };
            let mut decision = decision(n, ab, scored(ab, Some(rank), rank as f32));
            decision.ppm8 = Some(BaselineScored {
                predicted: Some(ab),
                rank: Some(rank),
                bits: Some(2.0 * rank as f32),
            });
            decision
        })
        .collect();
    let long = load("long", &decisions, 0.7);
    let of = |part: &Scores| (part.seen, part.at_switch.all);
    assert_eq!(
        of(&long.first_1000),
        (1001, figures(1000, 0.0, 1.0, Some(2.0)))
    );
    assert_eq!(
        of(&long.after_first_1000),
        (500, figures(500, 1.0, 1.0, Some(1.0)))
    );
    // 750 of 1,501 switches are the first half: the unscored one and 749 of the misses.
    let (seen, last) = of(&long.last_half);
    assert_eq!(
        (seen, last.decisions, last.top1),
        (751, 751, Some(500.0 / 751.0))
    );
    assert_eq!(long.first_1000.ppm8.all, figures(1000, 0.0, 1.0, Some(4.0)));
    assert_eq!(long.after_first_1000.ppm8.all.bits, Some(2.0));

    // A load that ends before has no rest, and takes no part in the mean over it.
    let short = load("short", &four(), 0.7);
    assert_eq!(short.first_1000, short.all);
    assert_eq!(short.after_first_1000.seen, 0);
    let evaluation = Evaluation::new(0.7, vec![long, short]);
    let start = evaluation.macro_mean_first_1000.at_switch.all;
    assert_eq!(
        start,
        figures(1004, 0.125, 0.75, Some(f64::midpoint(2.0, 4.5)))
    );
    let rest = evaluation.macro_mean_after_first_1000.at_switch.all;
    assert_eq!(rest, figures(500, 1.0, 1.0, Some(1.0)));
    let text = evaluation.text();
    let (_, start) = text.split_once("from the start").expect("a table");
    let ppm: Vec<_> = start
        .lines()
        .filter(|line| line.contains("PPM-8"))
        .map(|line| {
            line.split_whitespace()
                .skip_while(|word| *word != "exact")
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(ppm.len(), 3, "two loads and the mean: {text}");
    let long = [
        "exact", "0.0%", "100.0%", "4.000", "0.0%", "100.0%", "4.000", "100.0%", "100.0%", "2.000",
    ];
    assert_eq!(ppm[0][..10], long, "{text}");
    assert_eq!(
        ppm[1],
        ["exact"; 1]
            .into_iter()
            .chain(["-"; 12])
            .collect::<Vec<_>>()
    );
}

fn believed(p: f32, hit: bool) -> Decision {
    let guess = task(1, "ab");
    let mut scored = scored(guess, Some(if hit { 1 } else { 2 }), 1.0);
    scored.top = [(guess, p)].into_iter().collect();
    decision(2, guess, scored)
}

fn calibration(decisions: &[Decision]) -> CalibrationFigures {
    let mut score = Score::new(true);
    for decision in decisions {
        score.decision(decision);
    }
    score.scores().calibration
}

#[test]
fn calibration_error_by_hand() {
    let mut decisions = vec![
        // In the bin above 9/15, up to 10/15: two of four right.
        believed(0.625, true),
        believed(0.625, false),
        believed(0.656_25, true),
        believed(0.625, false),
        // In the last, which holds 1: one of two right.
        believed(1.0, true),
        believed(0.96875, false),
    ];
    // Refined into a sure hit: nothing is wrong with the last bin then.
    decisions[5].refined = Some(believed(1.0, true).at_switch);
    // No candidate: a miss of probability 0, rightly.
    let mut none = believed(0.5, false);
    none.at_switch.top.clear();
    none.at_switch.rank = None;
    decisions.push(none);

    let figures = calibration(&decisions);
    let close = |value: Option<f64>, expected: f64| {
        let value = value.expect("a figure");
        assert!((value - expected).abs() < 1e-9, "{value}, not {expected}");
    };
    let four = (3.0 * 0.625 + 0.656_25) / 4.0;
    let two = f64::midpoint(1.0, 0.968_75);
    let ece = 4.0 / 7.0 * (four - 0.5) + 2.0 / 7.0 * (two - 0.5);
    close(figures.ece, ece);
    close(figures.refined_ece, 4.0 / 7.0 * (four - 0.5));
    let filled: Vec<_> = figures
        .bins
        .iter()
        .enumerate()
        .filter(|(_, bin)| bin.decisions > 0)
        .map(|(at, bin)| (at, bin.decisions, bin.accuracy))
        .collect();
    assert_eq!(
        filled,
        [(0, 1, Some(0.0)), (9, 4, Some(0.5)), (14, 2, Some(0.5))]
    );
    close(figures.bins[9].confidence, four);
    assert_eq!(figures.bins.len(), 15);
    assert_eq!(figures.bins[3].confidence, None);
    assert_eq!(calibration(&[]).ece, None);
}

/// Worked out another way: sorted by probability, and cut where the bins end.
fn ece_by_sorting(mut believed: Vec<(f32, bool)>) -> f64 {
    believed.sort_by(|a, b| a.0.total_cmp(&b.0));
    let all = believed.len() as f64;
    let mut sum = 0.0;
    for bin in 1..=15 {
        let end = believed.partition_point(|(p, _)| f64::from(*p) <= f64::from(bin) / 15.0);
        let rest = believed.split_off(end);
        let here = std::mem::replace(&mut believed, rest);
        if !here.is_empty() {
            let n = here.len() as f64;
            let confidence = here.iter().map(|(p, _)| f64::from(*p)).sum::<f64>() / n;
            let accuracy = here.iter().filter(|(_, hit)| *hit).count() as f64 / n;
            sum += n / all * (confidence - accuracy).abs();
        }
    }
    sum
}

#[test]
fn who_is_right_as_often_as_said_is_calibrated() {
    let ece = |stream: &[(f32, bool)]| {
        let decisions: Vec<_> = stream.iter().map(|&(p, hit)| believed(p, hit)).collect();
        calibration(&decisions).ece.expect("decisions")
    };
    // Of 64 times that k/64 is said, k are right.
    let honest: Vec<_> = (0..=64_u8)
        .flat_map(|k| (0..64).map(move |at| (f32::from(k) / 64.0, at < k)))
        .collect();
    assert!(ece(&honest) < 1e-12, "{}", ece(&honest));
    // Who is right as often and always sure is off by the misses: half.
    let sure: Vec<_> = honest.iter().map(|&(_, hit)| (1.0, hit)).collect();
    assert!((ece(&sure) - 0.5).abs() < 1e-12);
    // Who says half what is true is off by half of the mean.
    let shy: Vec<_> = honest.iter().map(|&(p, hit)| (p / 2.0, hit)).collect();
    assert!((ece(&shy) - 0.25).abs() < 1e-12);

    let any: Vec<_> = (0..5000_u16)
        .map(|at| (f32::from(at * 7 % 997) / 996.0, at % 3 == 0))
        .collect();
    assert!((ece(&any) - ece_by_sorting(any.clone())).abs() < 1e-12);
    // Bounds of bins fall to the bin below, in both.
    let bounds: Vec<_> = (0..=15_u8)
        .map(|at| (f32::from(at) / 15.0, at % 2 == 0))
        .collect();
    assert!((ece(&bounds) - ece_by_sorting(bounds.clone())).abs() < 1e-12);
}
