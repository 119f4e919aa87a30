//! The goals against what was reached, computed.

use super::{
    figures::{
        BITS, Baseline, ECE, END, FIRST, LoadResult, REFINED, RUN_TIME, RUNNING_MEDIAN, Results,
        TOP1, mean,
    },
    loads::Load,
    markdown::{bits, percent},
};

const MACRO_TOP1: f64 = 0.93;
const LOAD_TOP1: f64 = 0.80;
const MACRO_REFINED: f64 = 0.985;
/// Of top-1: how far a load left out of training, and a fresh start, may stay behind.
const BEHIND: f64 = 0.03;
const MOST_ECE: f64 = 0.02;
/// Below the running median's error.
const RUN_TIME_GAIN: f64 = 0.30;

/// One line of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Goal {
    pub figure: String,
    pub wanted: String,
    /// "-" if it was not measured.
    pub reached: String,
    /// `None` if it was not measured.
    pub holds: Option<bool>,
}

impl Goal {
    fn new(figure: &str, wanted: &str, measured: Option<(String, bool)>) -> Self {
        let (reached, holds) = measured.unzip();
        Self {
            figure: figure.to_owned(),
            wanted: wanted.to_owned(),
            reached: reached.unwrap_or_else(|| "-".to_owned()),
            holds,
        }
    }
}

/// Evaluations that the goals are about.
#[derive(Clone, Copy)]
pub struct Measured<'a> {
    /// Learning as it goes, from the default model.
    pub online: &'a Results,
    /// The default model, kept as it is.
    pub frozen: Option<&'a Results>,
    /// A model trained on the left-out loads too, kept as it is.
    pub frozen_on_all: Option<&'a Results>,
}

pub fn goals(measured: Measured<'_>) -> Vec<Goal> {
    let online = measured.online;
    let mut goals = vec![
        at_least("macro mean top-1", online.macro_mean(TOP1), MACRO_TOP1),
        above_baselines(online),
        no_load_below(online),
        at_least(
            "macro mean refined top-1",
            online.macro_mean(REFINED),
            MACRO_REFINED,
        ),
        bits_below_macro(online),
        bits_below_ppm(online),
    ];
    goals.extend(zero_shot(measured));
    goals.extend(start(online));
    goals.extend(calibration(online));
    goals.push(run_time(online));
    goals
}

fn at_least(figure: &str, value: Option<f64>, least: f64) -> Goal {
    Goal::new(
        figure,
        &format!(">= {}", percent(least)),
        value.map(|value| (percent(value), value >= least)),
    )
}

fn above_baselines(online: &Results) -> Goal {
    // Worst first.
    let mut margins: Vec<(f64, String)> = online
        .0
        .iter()
        .filter_map(|result| {
            let (best, theirs) = result.best_baseline()?;
            let margin = result.median(TOP1)? - theirs;
            let text = format!(
                "{} {:+.1} points on {}",
                result.load.name,
                100.0 * margin,
                best.name
            );
            Some((margin, text))
        })
        .collect();
    margins.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let above = margins.iter().filter(|(margin, _)| *margin > 0.0).count();
    let measured = margins.first().map(|(margin, least)| {
        (
            format!("{above} of {} loads; least: {least}", margins.len()),
            *margin > 0.0,
        )
    });
    Goal::new("top-1 of each load", "above its best baseline", measured)
}

fn no_load_below(online: &Results) -> Goal {
    let worst = extreme(online, |result| result.median(TOP1), f64::lt);
    Goal::new(
        "top-1 of each load",
        &format!(">= {}", percent(LOAD_TOP1)),
        worst.map(|(load, top1)| {
            (
                format!("lowest {} ({})", percent(top1), load.name),
                top1 >= LOAD_TOP1,
            )
        }),
    )
}

fn bits_below_macro(online: &Results) -> Goal {
    let best = online
        .baselines(|baseline| baseline.bits)
        .into_iter()
        .filter_map(|baseline| Some((baseline, online.macro_mean(baseline.bits)?)))
        .min_by(|(_, a), (_, b)| a.total_cmp(b));
    let measured = online
        .macro_mean(BITS)
        .zip(best)
        .map(|(ours, (baseline, theirs))| {
            (
                format!("{}; {} {}", bits(ours), baseline.name, bits(theirs)),
                ours < theirs,
            )
        });
    Goal::new("bits/switch, macro mean", "below every baseline", measured)
}

/// The exact PPM where there is one; back-off-8 is a PPM too, of bounded memory.
fn bits_below_ppm(online: &Results) -> Goal {
    let of_order_8 = |baseline: &&&Baseline| ["back-off-8", "PPM-8"].contains(&baseline.name);
    let baselines = online.baselines(|baseline| baseline.bits);
    let ppm = baselines.iter().rfind(of_order_8);
    let measured = ppm.and_then(|ppm| {
        let margin = |result: &LoadResult| Some(result.median(ppm.bits)? - result.median(BITS)?);
        let (load, least) = extreme(online, margin, f64::lt)?;
        let text = if least > 0.0 {
            format!("on every load; least: {} {least:.3} below", load.name)
        } else {
            format!("{} is {:.3} above", load.name, -least)
        };
        Some((format!("{text} ({})", ppm.name), least > 0.0))
    });
    Goal::new(
        "bits/switch of each load",
        "below a PPM of order 8",
        measured,
    )
}

fn zero_shot(measured: Measured<'_>) -> [Goal; 2] {
    let behind: Vec<(&Load, f64)> = measured
        .frozen
        .zip(measured.frozen_on_all)
        .map(|(unseen, seen)| behind(unseen, seen))
        .unwrap_or_default();
    points_behind(
        "zero-shot (left out of training, frozen) behind trained on it",
        &behind,
    )
}

/// Points of top-1 by which each load left out of training stays behind a model trained on it.
pub fn behind(unseen: &Results, seen: &Results) -> Vec<(&'static Load, f64)> {
    unseen
        .0
        .iter()
        .filter(|result| !result.load.trained)
        .filter_map(|result| {
            let seen = seen.get(result.load)?.median(TOP1)?;
            Some((result.load, seen - result.median(TOP1)?))
        })
        .collect()
}

fn start(online: &Results) -> [Goal; 2] {
    let behind: Vec<(&Load, f64)> = online
        .0
        .iter()
        .filter_map(|result| Some((result.load, result.median(END)? - result.median(FIRST)?)))
        .collect();
    points_behind("first 1,000 switches behind the last half", &behind)
}

fn points_behind(figure: &str, behind: &[(&Load, f64)]) -> [Goal; 2] {
    let goal = format!("<= {:.0} points", 100.0 * BEHIND);
    let worst = behind.iter().max_by(|(_, a), (_, b)| a.total_cmp(b));
    let points = |behind: f64| format!("{:.1} points", 100.0 * behind);
    [
        Goal::new(
            &format!("{figure}, mean"),
            &goal,
            mean(behind.iter().map(|(_, behind)| *behind))
                .map(|behind| (points(behind), behind <= BEHIND)),
        ),
        Goal::new(
            &format!("{figure}, each load"),
            &goal,
            worst.map(|(load, behind)| {
                (
                    format!("most: {} ({})", points(*behind), load.name),
                    *behind <= BEHIND,
                )
            }),
        ),
    ]
}

fn calibration(online: &Results) -> [Goal; 2] {
    let goal = format!("<= {MOST_ECE:.2}");
    let worst = extreme(online, |result| result.median(ECE), f64::gt);
    [
        Goal::new(
            "calibration error (ECE) of the top probability, macro mean",
            &goal,
            online
                .macro_mean(ECE)
                .map(|ece| (format!("{ece:.3}"), ece <= MOST_ECE)),
        ),
        Goal::new(
            "calibration error of each load",
            &goal,
            worst.map(|(load, ece)| (format!("highest {ece:.3} ({})", load.name), ece <= MOST_ECE)),
        ),
    ]
}

fn run_time(online: &Results) -> Goal {
    let measured = online
        .macro_mean(RUN_TIME)
        .zip(online.macro_mean(RUNNING_MEDIAN))
        .map(|(ours, theirs)| {
            let gain = 1.0 - ours / theirs;
            let side = if gain < 0.0 { "above" } else { "below" };
            (
                format!(
                    "{} against {}: {} {side}",
                    percent(ours),
                    percent(theirs),
                    percent(gain.abs())
                ),
                gain >= RUN_TIME_GAIN,
            )
        });
    Goal::new(
        "run time, median relative error, macro mean",
        &format!("{:.0} % below the running median's", 100.0 * RUN_TIME_GAIN),
        measured,
    )
}

/// The load whose figure beats all others by `beats`.
fn extreme(
    results: &Results,
    figure: impl Fn(&LoadResult) -> Option<f64>,
    beats: fn(&f64, &f64) -> bool,
) -> Option<(&'static Load, f64)> {
    let mut extreme: Option<(&'static Load, f64)> = None;
    for result in &results.0 {
        if let Some(value) = figure(result)
            && extreme.is_none_or(|(_, so_far)| beats(&value, &so_far))
        {
            extreme = Some((result.load, value));
        }
    }
    extreme
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::tests::results;

    fn find<'a>(goals: &'a [Goal], figure: &str, wanted: &str) -> &'a Goal {
        goals
            .iter()
            .find(|one| one.figure.starts_with(figure) && one.wanted.starts_with(wanted))
            .unwrap_or_else(|| panic!("no goal {figure} {wanted}: {goals:#?}"))
    }

    #[test]
    fn goals_that_are_reached_hold() {
        let online = results(&[("redis", &[0.94]), ("desktop", &[0.98])], [0.5; 4]);
        let on_all = results(&[("redis", &[0.94]), ("desktop", &[0.99])], [0.5; 4]);
        let goals = goals(Measured {
            online: &online,
            frozen: Some(&online),
            frozen_on_all: Some(&on_all),
        });
        for goal in &goals {
            // .97 and .99 refined; the rest is in the sample.
            let expected = goal.figure != "macro mean refined top-1";
            assert_eq!(goal.holds, Some(expected), "{goal:?}");
        }
        assert_eq!(find(&goals, "macro mean top-1", "").reached, "96.0 %");
        let zero_shot = find(&goals, "zero-shot", "").reached.clone();
        assert_eq!(zero_shot, "1.0 points");
    }

    #[test]
    fn one_bad_load_fails_the_goals_that_are_about_each_load() {
        let online = results(
            &[("redis", &[0.99]), ("compile", &[0.7])],
            [0.1, 0.2, 0.75, 0.3],
        );
        let goals = goals(Measured {
            online: &online,
            frozen: None,
            frozen_on_all: None,
        });
        let above = find(&goals, "top-1 of each load", "above");
        assert_eq!(above.holds, Some(false));
        assert_eq!(
            above.reached,
            "1 of 2 loads; least: compile -5.0 points on PPM-8"
        );
        let low = find(&goals, "top-1 of each load", ">=");
        assert_eq!(low.reached, "lowest 70.0 % (compile)");
        assert_eq!(low.holds, Some(false));
        assert_eq!(find(&goals, "macro mean top-1", "").holds, Some(false));
    }

    #[test]
    fn what_was_not_measured_neither_holds_nor_fails() {
        let online = results(&[("redis", &[0.99])], [0.1; 4]);
        let goals = goals(Measured {
            online: &online,
            frozen: Some(&online),
            frozen_on_all: None,
        });
        let zero_shot = find(&goals, "zero-shot", "");
        assert_eq!((zero_shot.reached.as_str(), zero_shot.holds), ("-", None));
    }

    #[test]
    fn bits_have_to_be_below_the_ppm_on_every_load() {
        // .3 of misses cost the model .6 bits, .1 of misses the PPM .3.
        let online = results(&[("redis", &[0.99]), ("compile", &[0.7])], [0.9; 4]);
        let goals = goals(Measured {
            online: &online,
            frozen: None,
            frozen_on_all: None,
        });
        let bits = find(&goals, "bits/switch of each load", "");
        assert_eq!(bits.reached, "compile is 0.300 above (PPM-8)");
        assert_eq!(bits.holds, Some(false));
    }
}
