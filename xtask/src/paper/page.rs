//! `docs/paper.md`: each figure beside the paper's, and the table.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Findings, Loss};

/// What the paper reports (arXiv 2505.15213).
mod published {
    pub const SAMPLES: u64 = 422_084;
    pub const TASKS: usize = 28;
    pub const SECONDS: u64 = 50;
    pub const MSE_FIRST: &str = "0.0325";
    pub const MSE_LAST: &str = "0.015";
}

pub fn markdown(found: &Findings) -> Result<String> {
    let mut page = String::new();
    head(&mut page, found)?;
    cost(&mut page, found)?;
    data(&mut page, found)?;
    loss(&mut page, &found.losses)?;
    forecasts(&mut page, found)?;
    Ok(page)
}

/// In what the default model is not ahead of the paper's recipe.
pub fn behind(found: &Findings) -> Vec<String> {
    let Some((_, paper)) = found.forecasts.last() else {
        return vec!["no forecast of the paper's model".to_owned()];
    };
    let ours = &found.default;
    let mut behind = Vec::new();
    let mut more = |what: &str, pointer: &str| {
        let (ours, paper) = (number(ours, pointer), number(paper, pointer));
        if ours <= paper || ours.is_nan() || paper.is_nan() {
            behind.push(format!("{what}: {ours:.4}, the paper's recipe {paper:.4}"));
        }
    };
    more("top-1", "/one_step/top1");
    more("forecast horizon", "/horizon/forecast/exact_mean");
    let (fast, slow) = (
        number(ours, "/latency_us/plain/p50"),
        number(paper, "/latency_us/candle/p50"),
    );
    if fast >= slow || fast.is_nan() || slow.is_nan() {
        behind.push(format!(
            "latency: {fast:.1} us, the paper's recipe in candle {slow:.1} us"
        ));
    }
    behind
}

fn head(page: &mut String, found: &Findings) -> Result<()> {
    let (_, paper) = found.forecasts.last().context("no forecasts")?;
    let ours = &found.default;
    let losses = &found.losses;
    let end = losses.last().context("no losses")?;
    writeln!(
        page,
        "# The paper, reproduced\n\n\
         *KernelOracle: Predicting the Linux Scheduler's Next Move with Deep Learning* (arXiv 2505.15213) records a web server under load on a\n\
         machine with one CPU and trains an LSTM on it. This page does the same, start to end, with one command, and puts the default model beside\n\
         it. Written by `cargo xtask paper`; do not edit.\n\n\
         The guest has one CPU ({}):\n\n```\n{}\n```\n",
        found.accel.trim(),
        found.versions.trim()
    )?;
    page.push_str("| | the paper | its recipe here | default model |\n|---|---|---|---|\n");
    let mut row = |what: &str, published: &str, recipe: String, default: String| {
        writeln!(page, "| {what} | {published} | {recipe} | {default} |")
    };
    // The greater of two figures that can be compared stands out.
    let best = |pointer: &str, show: fn(f64) -> String| {
        let (paper, ours) = (number(paper, pointer), number(ours, pointer));
        let strong = |of: f64, other: f64| {
            let shown = show(of);
            if of > other {
                format!("**{shown}**")
            } else {
                shown
            }
        };
        (strong(paper, ours), strong(ours, paper))
    };
    row(
        "test MSE after 30 epochs",
        published::MSE_LAST,
        format!("{:.4}", end.test),
        "-".to_owned(),
    )?;
    let percent = |share: f64| format!("{:.1} %", share * 100.);
    let (recipe, default) = best("/one_step/top1", percent);
    row("next task right (top-1)", "not given", recipe, default)?;
    row(
        "bits per switch",
        "not given",
        "no probabilities".to_owned(),
        format!("{:.2}", number(ours, "/one_step/bits")),
    )?;
    let (recipe, default) = best("/horizon/forecast/exact_mean", |steps| {
        format!("{steps:.1}")
    });
    row(
        "forecast horizon: leading steps that are all right, mean",
        "not given",
        recipe,
        default,
    )?;
    let (recipe, default) = best("/mean_top1/forecast", percent);
    row(
        "forecast: top-1 over all steps",
        "not given",
        recipe,
        default,
    )?;
    let fixed = |of: &Value, pointer: &str| format!("{:.1}", number(of, pointer));
    row(
        "latency of a prediction, p50, us",
        "an open problem",
        format!(
            "{} in the framework (candle), {} as plain code",
            fixed(paper, "/latency_us/candle/p50"),
            fixed(paper, "/latency_us/plain/p50")
        ),
        format!("{} as plain code", fixed(ours, "/latency_us/plain/p50")),
    )?;
    writeln!(
        page,
        "\nLatency is measured on the machine that runs the command, not in the guest. Of the paper's recipe it is a step of its network, one-hot vector in,\n\
         vector out; of the default model, everything from the switch that is applied to the prediction: run queues, counts, features, network and scores.\n\
         The paper's recipe is scored on the switches behind its training part; so is the default model, which was trained on other recordings and learns\n\
         from each switch after it has predicted it.\n"
    )?;
    Ok(())
}

fn cost(page: &mut String, found: &Findings) -> Result<()> {
    writeln!(
        page,
        "## What watching costs\n\n\
         Daemon and load share the only CPU: nothing hides what the one takes from the other. **{}**\n\n{}\n\n\
         One guest, the modes in turn, every second round in reverse; each ratio is taken within its round. `cargo xtask vm observer` measures this\n\
         alone. `run` keeps to its CPU budget, and of a CPU that is never idle that is a fifth of `--cpu-budget`: it predicts bursts of switches\n\
         and only counts those between. A range beyond 100 % means that chance is greater than the cost.\n",
        found.observed.headline(),
        found.observed.table()
    )?;
    Ok(())
}

fn data(page: &mut String, found: &Findings) -> Result<()> {
    let summary = &found.summary;
    writeln!(
        page,
        "## Data\n\n\
         nginx and `ab -n 1000000 -c 5` on one CPU, {:.0} s: **{} switches between {} tasks**; the paper has {} samples of {} tasks in {} s. An emulated CPU\n\
         is tens of times slower than a real one, so there are fewer switches in the same time.\n\n\
         Recorded by `kernoracle record`. A few seconds more of the same load were recorded beside perf and imported with `kernoracle import`:\n\
         {}.\n",
        found.seconds,
        summary.switches,
        summary.tasks.len(),
        published::SAMPLES,
        published::TASKS,
        published::SECONDS,
        found.agreement
    )?;
    let most: Vec<String> = summary
        .tasks
        .iter()
        .take(3)
        .map(|(name, count)| format!("`{name}` {count}"))
        .collect();
    writeln!(
        page,
        "### Schedules of each task (the paper's figure 4)\n\n![schedules of each task](paper/schedules.svg)\n\n\
         In the paper a few tasks have nearly all schedules and most have a handful. Here: {}; {} of {} tasks were scheduled fewer than ten times.\n\
         The scale is logarithmic.\n",
        most.join(", "),
        summary
            .tasks
            .iter()
            .filter(|(_, count)| *count < 10)
            .count(),
        summary.tasks.len()
    )?;
    Ok(())
}

fn loss(page: &mut String, losses: &[Loss]) -> Result<()> {
    let trained = || losses.iter().filter(|loss| loss.epoch > 0);
    let (Some(first), Some(last)) = (trained().next(), trained().next_back()) else {
        anyhow::bail!("the loss curve is empty");
    };
    writeln!(
        page,
        "## Loss (the paper's figure 6)\n\n![mean squared error after each epoch](paper/loss.svg)\n\n\
         The paper's test loss falls from {} to {} in 30 epochs. Here it goes from {:.4} after epoch {} to {:.4} after epoch {} (training part: {:.4} to {:.4}),\n\
         and the task that the model names is right at {:.1} %, then {:.1} % of the test part's switches.\n\
         The error is a mean over the vector's numbers, one for each task and one for the time: over the paper's 28 tasks the same mistakes weigh less.\n",
        published::MSE_FIRST,
        published::MSE_LAST,
        first.test,
        first.epoch,
        last.test,
        last.epoch,
        first.train,
        last.train,
        first.top1 * 100.,
        last.top1 * 100.
    )?;
    Ok(())
}

fn forecasts(page: &mut String, found: &Findings) -> Result<()> {
    page.push_str(
        "## Forecasts (the paper's figures 7 to 11)\n\n\
         The paper shows what its model says when it runs on its own output, and that it comes to look like the input. It does not show what came.\n\
         These pictures do.\n\n",
    );
    let mut header = String::from("| forecast, right at step |");
    let mut rule = String::from("|---|");
    let steps: Vec<u64> = found.default["at_step"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|step| step["k"].as_u64())
        .filter(|k| [1, 2, 5, 10, 100, 1000].contains(k))
        .collect();
    for k in &steps {
        write!(header, " {k} |")?;
        rule.push_str("---|");
    }
    writeln!(page, "{header} horizon |\n{rule}---|")?;
    let mut row = |name: &str, of: &Value, key: &str| -> Result<()> {
        write!(page, "| {name} |")?;
        for k in &steps {
            let step = of["at_step"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|step| step["k"].as_u64() == Some(*k))
                .with_context(|| format!("{name}: no step {k}"))?;
            write!(
                page,
                " {:.1} % |",
                number(step, &format!("/top1/{key}")) * 100.
            )?;
        }
        writeln!(
            page,
            " {:.1} |",
            number(of, &format!("/horizon/{key}/exact_mean"))
        )?;
        Ok(())
    };
    for (epoch, forecast) in &found.forecasts {
        row(
            &format!("paper's recipe, epoch {epoch}"),
            forecast,
            "forecast",
        )?;
    }
    row("**default model**", &found.default, "forecast")?;
    for (name, key) in [
        ("order-1", "order1"),
        ("back-off-8", "backoff8"),
        ("the last cycle repeated", "repeat_cycle"),
        ("the most frequent task", "most_frequent"),
    ] {
        row(name, &found.default, key)?;
    }
    writeln!(
        page,
        "\n{} forecasts of {} switches each, all from the same places in the test part. Horizon: leading steps that are all right, mean.\n",
        found.default["starts"], found.default["steps"]
    )?;
    for ((epoch, _), figure) in found.forecasts.iter().zip(7..) {
        writeln!(
            page,
            "### The paper's recipe after epoch {epoch} (figure {figure})\n\n![forecast after epoch {epoch}](paper/forecast-epoch-{epoch}.svg)\n"
        )?;
    }
    page.push_str(
        "### The default model\n\n![forecast of the default model](paper/forecast-default.svg)\n",
    );
    Ok(())
}

fn number(of: &Value, pointer: &str) -> f64 {
    of.pointer(pointer)
        .and_then(Value::as_f64)
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        paper::{agreement::Agreement, rows::Summary},
        vm::observer::Observed,
    };
    use serde_json::json;

    fn forecast(top1: f64, horizon: f64, latency: f64) -> Value {
        let keys = json!({"forecast": top1, "order1": 0.1, "backoff8": 0.1, "repeat_cycle": 0.1, "most_frequent": 0.1});
        let exact = json!({"exact_mean": horizon});
        json!({
            "one_step": {"top1": top1, "bits": 0.5}, "latency_us": {"plain": {"p50": latency}, "candle": {"p50": latency}}, "starts": 10, "steps": 100,
            "horizon": {"forecast": exact, "order1": exact, "backoff8": exact, "repeat_cycle": exact, "most_frequent": exact},
            "mean_top1": keys, "at_step": [{"k": 1, "top1": keys}, {"k": 100, "top1": keys}]
        })
    }

    fn findings(default: Value) -> Findings {
        let loss = |epoch, test| Loss {
            epoch,
            train: test,
            test,
            top1: 0.5,
        };
        Findings {
            seconds: 50.,
            summary: Summary {
                switches: 3,
                tasks: vec![("nginx/1".to_owned(), 3)],
            },
            agreement: Agreement {
                ours: 100,
                perfs: 100,
                differs: None,
            },
            versions: "6.1\n".to_owned(),
            accel: "emulated\n".to_owned(),
            observed: Observed::of(&[[100., 90., 50., 95.]], &[0.1, 1.]),
            losses: vec![loss(0, 0.9), loss(1, 0.03), loss(30, 0.01)],
            forecasts: vec![(30, forecast(0.4, 2., 20.))],
            default,
        }
    }

    #[test]
    fn the_page_has_a_cell_for_every_figure() {
        let page = markdown(&findings(forecast(0.9, 8., 9.))).unwrap();
        assert!(!page.contains("NaN"), "{page}");
        assert!(
            page.contains("the load keeps 90.0 % (90.0-90.0) of its requests"),
            "{page}"
        );
        assert!(
            page.contains("| test MSE after 30 epochs | 0.015 | 0.0100 |"),
            "{page}"
        );
        assert!(
            page.contains("| **default model** | 90.0 % | 90.0 % | 8.0 |"),
            "{page}"
        );
        assert!(
            page.contains("from 0.0300 after epoch 1 to 0.0100 after epoch 30"),
            "{page}"
        );
    }

    #[test]
    fn whoever_is_not_ahead_is_named() {
        assert!(behind(&findings(forecast(0.9, 8., 9.))).is_empty());
        let behind = behind(&findings(forecast(0.3, 8., 90.)));
        assert_eq!(behind.len(), 2, "{behind:?}");
    }
}
