//! `docs/log-fields.md`, from the structs that are written.

use super::{
    calibration::{CalibrationBin, CalibrationFigures},
    evaluation::{Evaluation, Load, MacroMean},
    fields::Object,
    lines::{
        CostFigures, Final, GapLine, KernelFigures, LearnerFigures, OutputFigures, Prediction,
        Start, Summary, TraceLost,
    },
    misses::MissCounts,
    prediction::{BaselineOutcome, Choice, Outcome, Record, RunTimeOutcome, TaskRef},
    run_time::RunTimeFigures,
    score::{InferenceFigures, LeadFigures, Scores, UnscoredCounts},
    tally::{Both, Figures},
    tasks::TaskFigures,
};
use std::fmt::Write;

const INTRODUCTION: &str = "\
# Fields of the log

Made by `kernoracle log-fields`; a test compares.

`kernoracle run` and `kernoracle replay` write their log to standard output, or with `--log-file FILE` to that
file. With `--log-format json` each line is one JSON object, and its `type` says which. Names end in their
unit; new fields may be added, and those that are here keep their name and meaning. Shares are 0 to 1. Times
named `ts_ns` are the traced kernel's `CLOCK_MONOTONIC`.

Diagnostics (what the program says about itself) are not part of the log: they are `tracing` events, go to
standard error, and are filtered by `RUST_LOG` (default `info`). Under systemd, when standard error is the
journal, they are sent to it with their fields; the log lines reach it as the unit's standard output.

When the queue to the writer is full, `run` leaves lines out rather than hold up the reader of events; what
was left out is counted in every summary and at the end. `replay` waits and leaves out nothing.
";

/// A line or file, and the object that it is.
const TOP: [(&str, &Object); 6] = [
    ("`\"type\":\"start\"`", &Start::OBJECT),
    ("`\"type\":\"prediction\"`", &Prediction::OBJECT),
    ("`\"type\":\"gap\"`", &GapLine::OBJECT),
    ("`\"type\":\"summary\"`", &Summary::OBJECT),
    ("`\"type\":\"final\"`", &Final::OBJECT),
    ("A line of `--predictions FILE`", &Record::OBJECT),
];

/// Objects inside those.
const PARTS: [&Object; 23] = [
    &Load::OBJECT,
    &MacroMean::OBJECT,
    &Scores::OBJECT,
    &UnscoredCounts::OBJECT,
    &Both::OBJECT,
    &Figures::OBJECT,
    &MissCounts::OBJECT,
    &CalibrationFigures::OBJECT,
    &CalibrationBin::OBJECT,
    &RunTimeFigures::OBJECT,
    &LeadFigures::OBJECT,
    &InferenceFigures::OBJECT,
    &TaskFigures::OBJECT,
    &LearnerFigures::OBJECT,
    &KernelFigures::OBJECT,
    &CostFigures::OBJECT,
    &OutputFigures::OBJECT,
    &TraceLost::OBJECT,
    &TaskRef::OBJECT,
    &Outcome::OBJECT,
    &Choice::OBJECT,
    &BaselineOutcome::OBJECT,
    &RunTimeOutcome::OBJECT,
];

/// The whole page.
pub fn markdown() -> String {
    let mut out = INTRODUCTION.to_owned();
    for (title, object) in TOP {
        section(&mut out, title, object);
    }
    section(&mut out, "`kernoracle eval --json`", &Evaluation::OBJECT);
    for object in PARTS {
        section(&mut out, object.name, object);
    }
    out
}

fn section(out: &mut String, title: &str, object: &Object) {
    _ = writeln!(out, "\n## {title}\n\n{}\n", object.about.trim());
    _ = writeln!(out, "| field | type | what |\n|---|---|---|");
    for field in object.fields {
        let about = field.about.trim().replace('|', "\\|");
        _ = writeln!(
            out,
            "| `{}` | {} | {about} |",
            field.name,
            field.json_type()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_page_in_the_tree_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/log-fields.md");
        let page = std::fs::read_to_string(path).expect("docs/log-fields.md is in the tree");
        assert!(
            page == markdown(),
            "docs/log-fields.md is not up to date: cargo run -- log-fields > docs/log-fields.md"
        );
    }

    #[test]
    fn every_object_that_is_named_is_described() {
        let page = markdown();
        let anchors: BTreeSet<_> = page
            .lines()
            .filter_map(|line| line.strip_prefix("## "))
            .map(str::to_lowercase)
            .collect();
        for link in page.split("](#").skip(1) {
            let target = link.split(')').next().unwrap();
            assert!(anchors.contains(target), "{target} is not described");
        }
    }
}
