//! A forecast's figures as text.

use super::score::{AtStep, Each, Engine, Report};
use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Write as _;

impl Report {
    /// The tables.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let head = &self.one_step;
        _ = writeln!(
            out,
            "{}: CPU {}, {} switches of {} tasks; {} forecasts of {} steps from switch {} on\nmodel: {}",
            self.file,
            self.cpu,
            self.switches,
            self.tasks,
            self.starts,
            self.steps,
            self.test_from,
            self.model
        );
        let bits = head
            .bits
            .map_or(String::new(), |bits| format!(", {bits:.3} bits"));
        let mse = (head.train_mse.zip(head.test_mse)).map_or(String::new(), |(train, test)| {
            format!(", MSE {train:.5} in training, {test:.5} in test")
        });
        let error = head.run_time_error.map_or(String::new(), |error| {
            format!(", median error of the run time {:.1} %", error * 100.0)
        });
        _ = writeln!(
            out,
            "one step ahead over the test part: top-1 {:.1} %{bits}{mse}{error}",
            head.top1 * 100.0
        );
        let engine = |name: &str, engine: Engine| {
            format!("{name} p50 {:.1} p99 {:.1} µs", engine.p50, engine.p99)
        };
        let mut latency = engine("plain", self.latency_us.plain);
        if let Some(candle) = self.latency_us.candle {
            _ = write!(latency, ", {}", engine("candle", candle));
        }
        _ = writeln!(out, "time of a step: {latency}\n");

        self.table(&mut out, "top-1 of step", |at| {
            at.top1.iter().map(|(name, x)| (*name, Some(*x))).collect()
        });
        self.table(&mut out, "error of the interval, step", |at| {
            at.interval_error.clone()
        });
        self.table(&mut out, "error of the elapsed time, step", |at| {
            at.elapsed_error.clone()
        });

        let mut table = new_table([
            "steps right from the first on",
            "mean",
            "median",
            "most",
            "mean top-1",
        ]);
        for name in &self.forecasters {
            let horizon = &self.horizon[name];
            table.add_row([
                label(name).to_owned(),
                format!("{:.1}", horizon.exact_mean),
                format!("{:.0}", horizon.exact_median),
                horizon.exact_max.to_string(),
                percent(Some(self.mean_top1[name])),
            ]);
        }
        push(&mut out, table);
        _ = writeln!(
            out,
            "the forecast's mean top-1 over steps 1 to k is above every baseline's up to k = {}",
            self.beats_until
        );
        out
    }

    fn table(&self, out: &mut String, title: &str, of: impl Fn(&AtStep) -> Each<Option<f64>>) {
        let head =
            std::iter::once(title.to_owned()).chain(self.at_step.iter().map(|at| at.k.to_string()));
        let mut table = new_table(head);
        for name in &self.forecasters {
            let cells = self
                .at_step
                .iter()
                .map(|at| percent(of(at).get(name).copied().flatten()));
            table.add_row(std::iter::once(label(name).to_owned()).chain(cells));
        }
        push(out, table);
    }
}

fn new_table<T: Into<comfy_table::Row>>(head: T) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(head);
    table
}

fn push(out: &mut String, mut table: Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for line in table.to_string().lines() {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out.push('\n');
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.1}%", share * 100.0))
}

/// As the other reports name it.
fn label(name: &str) -> &str {
    match name {
        "order1" => "order-1",
        "backoff8" => "back-off-8",
        "repeat_cycle" => "repeat the cycle",
        "most_frequent" => "most frequent",
        "path" => "likeliest path",
        "drawn" => "one simulation",
        other => other,
    }
}
