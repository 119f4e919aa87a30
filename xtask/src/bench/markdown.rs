//! Markdown tables, padded so that they can be read as text too, and how they print figures.

use super::figures::Spread;
use comfy_table::{CellAlignment, Table, presets};

/// A share.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

pub fn bits(bits: f64) -> String {
    format!("{bits:.3}")
}

/// How a column prints its figure; the unit is in its heading.
#[derive(Clone, Copy)]
pub enum Unit {
    /// In percent.
    Share,
    Plain,
}

impl Unit {
    pub fn one(self, value: f64) -> String {
        match self {
            Self::Share => format!("{:.1}", 100.0 * value),
            Self::Plain => format!("{value:.3}"),
        }
    }

    /// `median (min–max)`; of one round the median alone.
    pub fn spread(self, spread: Option<Spread>, rounds: usize) -> String {
        let Some(Spread { median, min, max }) = spread else {
            return dash();
        };
        if rounds < 2 {
            return self.one(median);
        }
        format!("{} ({}–{})", self.one(median), self.one(min), self.one(max))
    }
}

fn dash() -> String {
    "-".to_owned()
}

pub fn or_dash(value: Option<f64>, text: impl Fn(f64) -> String) -> String {
    value.map_or_else(dash, text)
}

/// Headings and rows as Markdown. The first column is text, the others are numbers.
pub fn markdown(headings: &[String], rows: Vec<Vec<String>>) -> String {
    aligned(headings, rows, CellAlignment::Right)
}

/// The same where all columns are text.
pub fn prose(headings: &[String], rows: Vec<Vec<String>>) -> String {
    aligned(headings, rows, CellAlignment::Left)
}

fn aligned(headings: &[String], rows: Vec<Vec<String>>, alignment: CellAlignment) -> String {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header(headings);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(alignment);
    }
    table.add_rows(rows);
    format!("{table}\n")
}

pub fn headings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
