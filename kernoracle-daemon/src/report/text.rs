//! The lines of the log, as a person reads them.

use super::lines::{GapLine, Prediction, Start, Summary};
use crate::oracle::outcome::NEW_CHILD;
use anstyle::{AnsiColor, Style};
use std::fmt::Write;

const HIT: Style = AnsiColor::Green.on_default().bold();
const MISS: Style = AnsiColor::Red.on_default();
const LOSS: Style = AnsiColor::Yellow.on_default().bold();
const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

/// Writes lines of text; the caller strips the styles where no terminal is.
#[derive(Debug)]
pub(super) struct Text {
    /// Times are shown since this one.
    start_ns: u64,
}

impl Text {
    pub fn new(start_ns: u64) -> Self {
        Self { start_ns }
    }

    pub fn start(out: &mut String, start: &Start) {
        for finding in &start.findings {
            _ = writeln!(out, "{finding}");
        }
        _ = writeln!(out, "model: {}", start.model);
    }

    pub fn header(out: &mut String) {
        _ = writeln!(
            out,
            "{DIM}{:>12} {:>5}  {:<23} {:>7} {:>11}  {:<23} {:>5}  {:<23} {:>4} {:>10}{DIM:#}",
            "time s",
            "cpu",
            "task that ran",
            "for",
            "(predicted)",
            "predicted next",
            "p",
            "actual next",
            "rank",
            "lead"
        );
    }

    pub fn prediction(&self, out: &mut String, line: &Prediction) {
        let verdict = |hit: bool| if hit { (HIT, "HIT") } else { (MISS, "miss") };
        let (style, word) = verdict(line.hit);
        let predicted = name(line.predicted_pid, line.predicted_comm.as_deref());
        _ = write!(
            out,
            "{:>12} {:>5}  {:<23} {:>7} {:>11}  {predicted:<23} {:>5}  {:<23} {:>4} {:>10}  {style}{word:<4}{style:#}",
            self.time(line.ts_ns),
            cpu_name(line.cpu),
            name(Some(line.ran_pid), Some(&line.ran_comm)),
            line.run_actual_us.map_or_else(dash, duration),
            line.run_predicted_us
                .map_or_else(dash, |us| format!("({})", duration(us))),
            line.p_predicted
                .map_or_else(dash, |p| probability(f64::from(p))),
            name(Some(line.actual_pid), Some(&line.actual_comm)),
            line.rank.map_or_else(dash, |rank| rank.to_string()),
            line.lead_us.map_or_else(dash, lead),
        );
        if let Some(hit) = line.refined_hit {
            let (style, word) = verdict(hit);
            let refined = name(
                line.refined_predicted_pid,
                line.refined_predicted_comm.as_deref(),
            );
            let p = line
                .refined_p_predicted
                .map_or_else(dash, |p| probability(f64::from(p)));
            _ = write!(
                out,
                "  {DIM}refined {refined} {p}{DIM:#} {style}{word}{style:#}"
            );
        }
        out.push('\n');
    }

    pub fn gap(&self, out: &mut String, line: &GapLine) {
        let GapLine {
            ts_ns,
            cpu,
            gaps,
            lost_events,
        } = line;
        let places = if *gaps == 1 {
            String::new()
        } else {
            format!(" in {gaps} places")
        };
        _ = writeln!(
            out,
            "{:>12} {:>5}  {LOSS}{lost_events} events lost{places}{LOSS:#}",
            self.time(*ts_ns),
            cpu_name(*cpu),
        );
    }

    pub fn summary(&self, out: &mut String, line: &Summary) {
        let percent = |share: Option<f64>| share.map_or_else(dash, percent);
        _ = write!(
            out,
            "{:>12} {BOLD}{:>8} sw/s  top-1 {} (since start {})  top-5 {}  {} bits{BOLD:#}",
            self.time(line.ts_ns),
            line.switches_per_s.round(),
            percent(line.top1),
            percent(line.total_top1),
            percent(line.top5),
            line.bits.map_or_else(dash, |bits| format!("{bits:.2}")),
        );
        _ = write!(
            out,
            " | order-1 {}  back-off-8 {} ({})  scheduler {} | refined {} | ahead {} | {} µs",
            percent(line.order1_top1),
            percent(line.backoff8_top1),
            percent(line.total_backoff8_top1),
            percent(line.scheduler_top1),
            percent(line.refined_top1),
            percent(line.ahead),
            match (line.inference_p50_us, line.inference_p99_us) {
                (Some(p50), Some(p99)) => format!("inference p50 {p50:.1} p99 {p99:.1}"),
                _ => "inference -".to_owned(),
            },
        );
        if let Some(cpu) = line.cpu {
            _ = write!(out, " | cpu {}", percent(Some(cpu)));
        }
        let unscored = line.unscored.total();
        if unscored > 0 {
            _ = write!(out, " | {LOSS}coverage {}{LOSS:#}", percent(line.coverage));
        }
        let style = if unscored + line.lost_events > 0 {
            LOSS
        } else {
            Style::new()
        };
        _ = write!(
            out,
            " | {style}unscored {unscored} of {}  lost {} (total {}){style:#}",
            line.seen, line.lost_events, line.total_lost_events
        );
        let style = if line.total_shed_lines + line.total_shed_predictions > 0 {
            LOSS
        } else {
            Style::new()
        };
        _ = write!(out, "  {style}shed {} lines", line.total_shed_lines);
        if line.total_shed_predictions > 0 {
            _ = write!(out, " {} predictions", line.total_shed_predictions);
        }
        _ = write!(out, "{style:#} | learner {} steps", line.learner_steps);
        if let Some(loss) = line.learner_loss_bits {
            _ = write!(out, " {loss:.2} bits");
        }
        out.push('\n');
    }

    fn time(&self, ts_ns: u64) -> String {
        let us = ts_ns.saturating_sub(self.start_ns) / 1000;
        format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
    }
}

fn cpu_name(cpu: u32) -> String {
    format!("cpu{cpu}")
}

fn dash() -> String {
    "-".to_owned()
}

/// `comm/pid`. A name may hold any byte: control characters must not reach the terminal.
pub(super) fn name(pid: Option<u32>, comm: Option<&str>) -> String {
    match (pid, comm) {
        (Some(0), _) => "idle".to_owned(),
        // Whoever forks it gives it its name.
        (Some(NEW_CHILD), Some(comm)) => format!("{}/new", printable(comm)),
        (Some(pid), Some(comm)) => {
            format!("{}/{pid}", printable(comm))
        }
        _ => dash(),
    }
}

fn printable(comm: &str) -> String {
    comm.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// A share as a percentage.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

/// `.93`; only a true one is `1.00`.
fn probability(p: f64) -> String {
    let text = format!("{:.2}", if p < 1.0 { p.min(0.99) } else { p });
    text.strip_prefix('0').map_or(text.clone(), str::to_owned)
}

/// At most six characters: `45µs`, `1.2ms`, `340ms`, `3.4s`.
pub(super) fn duration(us: f64) -> String {
    match us {
        us if us < 9.95 => format!("{us:.1}µs"),
        us if us < 999.5 => format!("{us:.0}µs"),
        us if us < 9_950.0 => format!("{:.1}ms", us / 1e3),
        us if us < 999_500.0 => format!("{:.0}ms", us / 1e3),
        us if us < 9_950_000.0 => format!("{:.1}s", us / 1e6),
        us => format!("{:.0}s", us / 1e6),
    }
}

/// A lead: always in µs, so that a column of them can be compared and cut out.
fn lead(us: f64) -> String {
    format!("{us:+.0}µs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let shown = [0.4, 45.4, 999.4, 999.6, 1234.0, 340_000.0, 3_400_000.0, 1e8].map(duration);
        assert_eq!(
            shown,
            [
                "0.4µs", "45µs", "999µs", "1.0ms", "1.2ms", "340ms", "3.4s", "100s"
            ]
        );
        assert_eq!(
            [-31.4, 12_345.0, 0.2].map(lead),
            ["-31µs", "+12345µs", "+0µs"]
        );
    }

    #[test]
    fn only_certainty_is_one() {
        assert_eq!(
            [0.0, 0.934, 0.9999, 1.0].map(probability),
            [".00", ".93", ".99", "1.00"]
        );
    }

    #[test]
    fn names_are_harmless() {
        assert_eq!(name(Some(7), Some("a\x1b[2J")), "a?[2J/7");
        assert_eq!(name(Some(0), Some("swapper/0")), "idle");
        assert_eq!(name(None, None), "-");
    }
}
