//! Tables of `eval`, for a person.

use super::{Evaluation, Load, MacroMean};
use crate::report::{
    misses::MissCounts,
    score::Scores,
    table::{Row, figures, or_dash, plain, trimmed},
    tally::share,
    text::percent,
};
use comfy_table::{CellAlignment, Table};
use std::fmt::Write;

/// What one table is over, and its mean.
struct Part<'a> {
    of: fn(&Load) -> &Scores,
    mean: &'a MacroMean,
}

impl Evaluation {
    /// Tables for a person.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for load in &self.loads {
            let scores = &load.all;
            let unscored = &scores.unscored;
            _ = writeln!(
                out,
                "{}: switches seen {} = scored {} + unscored {} (first {}, gap {}, broken {}, overload {}); lost events {} in {} places",
                load.file,
                scores.seen,
                scores.scored,
                unscored.total(),
                unscored.first,
                unscored.gap,
                unscored.broken,
                unscored.overload,
                scores.lost_events,
                scores.gaps,
            );
        }
        let all = Part {
            of: |load| &load.all,
            mean: &self.macro_mean,
        };
        let late = Part {
            of: |load| &load.after_warm_up,
            mean: &self.macro_mean_after_warm_up,
        };
        let title = format!("behind the first {} of the switches", percent(self.warm_up));
        for (title, part) in [("all switches", all), (&title, late)] {
            _ = writeln!(out, "\n{title}:\n{}\n", trimmed(&self.accuracy(&part)));
            _ = writeln!(out, "{}\n", trimmed(&self.misses(&part)));
            _ = writeln!(out, "{}", trimmed(&self.run_time(&part)));
        }
        _ = writeln!(
            out,
            "\nfrom the start: the first 1,000 scored switches, those behind them, the last half:\n{}",
            trimmed(&self.start())
        );
        out
    }

    /// The rows of each load, then of the mean.
    fn rows<'a>(&'a self, part: &Part<'a>) -> impl Iterator<Item = (&'a str, [Row<'a>; 6])> {
        let of = part.of;
        self.loads
            .iter()
            .map(move |load| (load.file.as_str(), of(load).rows()))
            .chain([("macro mean", part.mean.rows())])
    }

    fn accuracy(&self, part: &Part) -> Table {
        let mut table = by_predictor(&[
            "load",
            "predictor",
            "decisions",
            "top-1",
            "top-5",
            "bits/switch",
            "ECE",
            "| without idle: top-1",
            "top-5",
            "bits/switch",
        ]);
        for (load, rows) in self.rows(part) {
            for (at, row) in rows.into_iter().enumerate() {
                let decisions = row.both.all.decisions.to_string();
                let mut cells = vec![once(at, load), row.name.to_owned(), decisions];
                cells.extend(figures(&row.both.all));
                cells.push(or_dash(row.ece, percent));
                cells.extend(figures(&row.both.without_idle));
                table.add_row(cells);
            }
        }
        table
    }

    /// At-switch misses by cause, with their share of all decisions: what each costs in top-1.
    fn misses(&self, part: &Part) -> Table {
        let causes = MissCounts::default().named().map(|(cause, _)| cause);
        let mut table = plain(&[&["misses by cause, at-switch", "all"], &causes[..]].concat());
        for load in &self.loads {
            let scores = (part.of)(load);
            let named = scores.misses.named();
            let counts = [scores.misses.total()]
                .into_iter()
                .chain(named.map(|(_, count)| count));
            let cells = counts.map(|count| {
                let lost = share(count, scores.scored);
                format!("{count} ({})", or_dash(lost, percent))
            });
            table.add_row([load.file.clone()].into_iter().chain(cells));
        }
        table
    }

    fn run_time(&self, part: &Part) -> Table {
        let mut table = plain(&[
            "run time",
            "runs",
            "median relative error: model",
            "running median",
            "pinball µs",
        ]);
        for load in &self.loads {
            let run = &(part.of)(load).run_time;
            table.add_row([
                load.file.clone(),
                run.compared.to_string(),
                or_dash(run.compared_median_relative_error, percent),
                or_dash(run.running_median_relative_error, percent),
                or_dash(run.pinball_us, |us| format!("{us:.1}")),
            ]);
        }
        let mean = part.mean;
        table.add_row([
            "macro mean".to_owned(),
            String::new(),
            or_dash(mean.run_time_median_relative_error, percent),
            or_dash(mean.running_median_relative_error, percent),
            or_dash(mean.pinball_us, |us| format!("{us:.1}")),
        ]);
        table
    }

    fn start(&self) -> Table {
        let mut table = by_predictor(&[
            "load",
            "predictor",
            "first 1,000: top-1",
            "top-5",
            "bits/switch",
            "| again: top-1",
            "top-5",
            "bits/switch",
            "| rest: top-1",
            "top-5",
            "bits/switch",
            "| last half: top-1",
            "top-5",
            "bits/switch",
        ]);
        let first = Part {
            of: |load| &load.first_1000,
            mean: &self.macro_mean_first_1000,
        };
        let again = Part {
            of: |load| &load.first_1000_again,
            mean: &self.macro_mean_first_1000_again,
        };
        let rest = Part {
            of: |load| &load.after_first_1000,
            mean: &self.macro_mean_after_first_1000,
        };
        let last = Part {
            of: |load| &load.last_half,
            mean: &self.macro_mean_last_half,
        };
        let parts = self
            .rows(&first)
            .zip(self.rows(&again))
            .zip(self.rows(&rest))
            .zip(self.rows(&last));
        for ((((load, first), (_, again)), (_, rest)), (_, last)) in parts {
            let rows = first.into_iter().zip(again).zip(rest).zip(last);
            for (at, (((first, again), rest), last)) in rows.enumerate() {
                let mut cells = vec![once(at, load), first.name.to_owned()];
                for row in [first, again, rest, last] {
                    cells.extend(figures(&row.both.all));
                }
                table.add_row(cells);
            }
        }
        table
    }
}

/// A table whose second column is words too.
fn by_predictor(header: &[&str]) -> Table {
    let mut table = plain(header);
    if let Some(predictor) = table.column_mut(1) {
        predictor.set_cell_alignment(CellAlignment::Left);
    }
    table
}

/// The name in the first of its rows only.
fn once(at: usize, name: &str) -> String {
    if at == 0 {
        name.to_owned()
    } else {
        String::new()
    }
}
