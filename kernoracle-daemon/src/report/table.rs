//! Tables: the one at the end of a run, and the one of `eval`.

use super::{
    evaluation::MacroMean,
    lines::{CostFigures, Final, KernelFigures},
    run_time::RunTimeFigures,
    score::Scores,
    tally::{Both, Figures, share},
    text::{duration, name, percent},
};
use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Write;

/// An aligned table without lines; columns after the first are numbers.
pub fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// `-` where there is nothing.
pub fn or_dash<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

pub(super) fn figures(figures: &Figures) -> [String; 3] {
    [
        or_dash(figures.top1, percent),
        or_dash(figures.top5, percent),
        or_dash(figures.bits, |bits| format!("{bits:.3}")),
    ]
}

const PPM8: &str = "PPM-8, exact";

/// A predictor, as tables name it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub name: &'static str,
    pub both: &'a Both,
    /// Expected calibration error, of the model only.
    pub ece: Option<f64>,
}

impl Scores {
    pub(super) fn rows(&self) -> [Row<'_>; 6] {
        let Self {
            at_switch,
            refined,
            order1,
            backoff8,
            ppm8,
            scheduler,
            calibration,
            ..
        } = self;
        let baselines = [order1, backoff8, ppm8, scheduler];
        rows(
            (at_switch, calibration.ece),
            (refined, calibration.refined_ece),
            baselines,
        )
    }
}

impl MacroMean {
    pub(super) fn rows(&self) -> [Row<'_>; 6] {
        let Self {
            at_switch,
            refined,
            order1,
            backoff8,
            ppm8,
            scheduler,
            ece,
            refined_ece,
            ..
        } = self;
        let baselines = [order1, backoff8, ppm8, scheduler];
        rows((at_switch, *ece), (refined, *refined_ece), baselines)
    }
}

fn rows<'a>(
    at_switch: (&'a Both, Option<f64>),
    refined: (&'a Both, Option<f64>),
    [order1, backoff8, ppm8, scheduler]: [&'a Both; 4],
) -> [Row<'a>; 6] {
    let baseline = |name, both| Row {
        name,
        both,
        ece: None,
    };
    let model = |name, (both, ece)| Row { name, both, ece };
    [
        model("model, at-switch", at_switch),
        model("model, refined", refined),
        baseline("order-1", order1),
        baseline("back-off-8", backoff8),
        baseline(PPM8, ppm8),
        baseline("scheduler", scheduler),
    ]
}

/// Scores of all predictors, with and without idle, and what belongs to them.
pub fn scores(out: &mut String, scores: &Scores) {
    let unscored = &scores.unscored;
    _ = writeln!(
        out,
        "switches seen {} = scored {} + unscored {} (first {}, gap {}, broken {}, overload {}, budget {})",
        scores.seen,
        scores.scored,
        unscored.total(),
        unscored.first,
        unscored.gap,
        unscored.broken,
        unscored.overload,
        unscored.budget
    );
    _ = writeln!(
        out,
        "lost events {} in {} places",
        scores.lost_events, scores.gaps
    );
    let mut table = plain(&[
        "",
        "top-1",
        "top-5",
        "bits/switch",
        "ECE",
        "| without idle: top-1",
        "top-5",
        "bits/switch",
    ]);
    for Row { name, both, ece } in scores.rows() {
        if name == PPM8 && both.all.decisions == 0 {
            // Not asked for.
            continue;
        }
        let mut cells = vec![name.to_owned()];
        cells.extend(figures(&both.all));
        cells.push(or_dash(ece, percent));
        cells.extend(figures(&both.without_idle));
        table.add_row(cells);
    }
    _ = writeln!(out, "\n{}", trimmed(&table));
    _ = writeln!(
        out,
        "\nrefined predictions made for {} switches; {} switches were not to idle",
        scores.refined_made, scores.at_switch.without_idle.decisions
    );
    let causes: Vec<_> = scores
        .misses
        .named()
        .iter()
        .map(|(cause, count)| format!("{cause} {count}"))
        .collect();
    _ = writeln!(
        out,
        "misses by cause, at-switch: {} = {}",
        scores.misses.total(),
        causes.join(" + ")
    );
    run_time(out, &scores.run_time);
    let lead = &scores.lead;
    if lead.decisions > 0 {
        let signed = |us: f64| format!("{us:+.1}µs");
        _ = writeln!(
            out,
            "lead: {} ahead of the switch; p10 {}, p50 {}, p90 {}",
            or_dash(lead.ahead, percent),
            or_dash(lead.p10_us, signed),
            or_dash(lead.p50_us, signed),
            or_dash(lead.p90_us, signed),
        );
    }
    let inference = &scores.inference;
    if inference.predictions > 0 {
        let us = |us: f64| format!("{us:.1}µs");
        _ = writeln!(
            out,
            "inference: {} predictions; p50 {}, p99 {}",
            inference.predictions,
            or_dash(inference.p50_us, us),
            or_dash(inference.p99_us, us)
        );
    }
}

fn run_time(out: &mut String, run: &RunTimeFigures) {
    _ = writeln!(
        out,
        "run time of {} runs: median relative error {}; of the {} with a running median: model {}, running median {}",
        run.runs,
        or_dash(run.median_relative_error, percent),
        run.compared,
        or_dash(run.compared_median_relative_error, percent),
        or_dash(run.running_median_relative_error, percent),
    );
    _ = writeln!(
        out,
        "run time pinball loss {} (.1 {}, .5 {}, .9 {}); {} of runs under the .1 quantile, {} under the .9",
        or_dash(run.pinball_us, duration),
        or_dash(run.pinball_p10_us, duration),
        or_dash(run.pinball_p50_us, duration),
        or_dash(run.pinball_p90_us, duration),
        or_dash(run.below_p10, percent),
        or_dash(run.below_p90, percent),
    );
}

/// The end of a run.
pub(super) fn closing(out: &mut String, end: &Final) {
    _ = writeln!(out, "\n{:.1} s", end.elapsed_s);
    scores(out, &end.scores);
    if end.switches != end.scores.seen {
        _ = writeln!(
            out,
            "DEFECT: {} switches were handed to the oracle, {} came back",
            end.switches, end.scores.seen
        );
    }
    if let Some(kernel) = &end.kernel {
        kernel_side(out, kernel);
    }
    if let Some(cost) = &end.cost {
        self::cost(out, cost, &end.scores);
    }
    if let Some(lost) = &end.trace_lost {
        _ = writeln!(
            out,
            "trace file: {}; {} bytes from offset {} lost",
            lost.why, lost.bytes, lost.offset
        );
    }
    let learner = &end.learner;
    _ = writeln!(
        out,
        "learner: {} steps, {} refused, {} fallbacks, {} swaps of weights, {:.2} s of CPU, last loss {}",
        learner.steps,
        learner.refused,
        learner.fallbacks,
        learner.swaps,
        learner.cpu_s,
        or_dash(learner.loss_bits, |bits| format!("{bits:.3} bits")),
    );
    let output = &end.output;
    _ = writeln!(
        out,
        "output: {} lines written, {} shed; {} predictions written, {} shed",
        output.lines_written,
        output.lines_shed,
        output.predictions_written,
        output.predictions_shed
    );
    let mut table = plain(&[
        "busiest tasks",
        "switches to it",
        "foreseen",
        "wrong guess in its place",
        "times",
    ]);
    for task in &end.tasks {
        let wrong = task
            .wrong_pid
            .map(|pid| name(Some(pid), task.wrong_comm.as_deref()));
        table.add_row([
            name(Some(task.pid), Some(&task.comm)),
            task.decisions.to_string(),
            percent(task.top1),
            or_dash(wrong, |wrong| wrong),
            task.wrong_decisions.to_string(),
        ]);
    }
    if !end.tasks.is_empty() {
        _ = writeln!(out, "\n{}", trimmed(&table));
    }
}

/// What the run has cost.
fn cost(out: &mut String, cost: &CostFigures, scores: &Scores) {
    let CostFigures {
        budget,
        busy_budget,
        pauses,
        paused_s,
        reader_cpu_s,
        cpu_s,
        cpu,
        resident_bytes,
        ring_bytes,
        first_prediction_s,
    } = cost;
    let mib = |bytes: u64| format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20));
    let limit = match (budget, busy_budget) {
        (Some(budget), Some(busy)) => format!(
            "CPU budget {} of one CPU, {} of a busy one",
            percent(*budget),
            percent(*busy)
        ),
        _ => "CPU budget off".to_owned(),
    };
    _ = writeln!(
        out,
        "coverage {}: {limit}, {pauses} pauses, {paused_s:.1} s",
        or_dash(share(scores.scored, scores.seen), percent)
    );
    _ = writeln!(
        out,
        "cost: {} of one CPU ({cpu_s:.2} s with start-up, reader {reader_cpu_s:.2} s); resident {} at most, {} of it the ring; first prediction {} after the start",
        percent(*cpu),
        or_dash(*resident_bytes, mib),
        mib(*ring_bytes),
        or_dash(*first_prediction_s, |s| format!("{s:.2} s")),
    );
}

/// The kernel side's counters.
pub fn kernel_side(out: &mut String, kernel: &KernelFigures) {
    let KernelFigures {
        produced,
        dropped,
        arrived_events,
        lost_events,
        switches,
        dropped_switches,
        own_switches,
        passed_by,
        recursion_misses,
    } = kernel;
    let sum = arrived_events + lost_events;
    let relation = if sum == *produced { "=" } else { "DEFECT: not" };
    _ = writeln!(
        out,
        "kernel side: arrived {arrived_events} + lost {lost_events} {relation} produced {produced} (dropped {dropped}); switches {switches}, of them dropped {dropped_switches}; passed by {passed_by}; own left out {own_switches}; recursion misses {recursion_misses}"
    );
}

/// A table without the spaces that fill its last column.
pub fn trimmed(table: &Table) -> String {
    table
        .to_string()
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}
