//! What each part of the bench gets and gives.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::workspace::Workspace;

/// What a part works with.
pub struct Setup<'a> {
    pub workspace: &'a Workspace,
    pub kernoracle: PathBuf,
    /// Small enough to try.
    pub quick: bool,
    /// Times that each figure is measured, interleaved with those that it is compared with.
    pub rounds: usize,
    /// The CPU of the loads, and of what is timed.
    pub cpu: usize,
    /// Another one; the same on a machine with one.
    pub other_cpu: usize,
    /// Scratch directory; it exists.
    pub work: PathBuf,
}

/// What a part has measured.
#[derive(Serialize, Deserialize)]
pub struct Part {
    pub title: String,
    /// What was measured and how, Markdown.
    pub about: String,
    pub tables: Vec<TableOf>,
    pub goals: Vec<Goal>,
    pub bars: Vec<Bars>,
}

/// The first column is to the left, the others to the right.
#[derive(Serialize, Deserialize)]
pub struct TableOf {
    pub caption: String,
    pub header: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl TableOf {
    pub fn new(caption: &str, header: &[&str]) -> Self {
        Self {
            caption: caption.to_owned(),
            header: header.iter().map(|&name| name.to_owned()).collect(),
            rows: Vec::new(),
        }
    }
}

/// What a figure must reach.
#[derive(Serialize, Deserialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the word is the right one for both"
)]
pub struct Goal {
    pub what: String,
    pub goal: String,
    pub got: String,
    pub met: bool,
}

/// A panel of the picture.
#[derive(Serialize, Deserialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the word is the right one for both"
)]
pub struct Bars {
    pub title: String,
    pub unit: String,
    pub bars: Vec<(String, f64)>,
    /// A dashed line.
    pub reference: Option<f64>,
}

/// A part as it is kept until the page is written.
#[derive(Serialize, Deserialize)]
pub struct Measured {
    /// UTC.
    pub date: String,
    pub commit: String,
    /// How the bench was called.
    pub command: String,
    pub rounds: usize,
    /// Of the CPU that was measured on, before and after: median, least and most, GHz.
    pub clock_ghz: Spread,
    pub part: Part,
}

/// A figure that was measured several times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The median, where it does not say otherwise.
    pub middle: f64,
    pub low: f64,
    pub high: f64,
}

impl Spread {
    /// # Panics
    ///
    /// Without values.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (sorted[0], sorted[sorted.len() - 1]);
        let half = sorted.len() / 2;
        let middle = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[half - 1], sorted[half])
        } else {
            sorted[half]
        };
        Self { middle, low, high }
    }

    /// Of each round, what `values` is to `base`, combined by `how`.
    pub fn against(values: &[f64], base: &[f64], how: fn(f64, f64) -> f64) -> Self {
        let each: Vec<f64> = values
            .iter()
            .zip(base)
            .map(|(&value, &base)| how(value, base))
            .collect();
        Self::of(&each)
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { middle, low, high } = self;
        let digits = match middle.abs() {
            size if size < 10.0 => 3,
            size if size < 100.0 => 1,
            _ => 0,
        };
        write!(f, "{middle:.digits$} ({low:.digits$} to {high:.digits$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_middle_and_both_ends() {
        let spread = Spread::of(&[300.0, 100.0, 200.0]);
        assert_eq!(spread.to_string(), "200 (100 to 300)");
        assert_eq!(
            Spread::of(&[1.0, 2.0]).to_string(),
            "1.500 (1.000 to 2.000)"
        );
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let ratio = Spread::against(&[2.0, 30.0], &[1.0, 10.0], |value, base| value / base);
        assert_eq!(ratio.to_string(), "2.500 (2.000 to 3.000)");
    }
}
