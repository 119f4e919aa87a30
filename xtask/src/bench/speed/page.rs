//! docs/performance.md

use std::fmt::Write as _;

use super::part::{Goal, Measured, Part, TableOf};
use crate::bench::{machine::About, markdown::markdown};

pub struct Page<'a> {
    pub about: &'a About,
    pub parts: &'a [Measured],
}

/// The goals of all parts, then the tables of each.
pub fn tables(parts: &[&Part]) -> String {
    let mut out = String::new();
    let goals: Vec<&Goal> = parts.iter().flat_map(|part| &part.goals).collect();
    if !goals.is_empty() {
        let header = ["", "goal", "got", "met"].map(str::to_owned);
        let rows = goals.into_iter().map(row).collect();
        _ = writeln!(out, "## Goals\n\n{}", markdown(&header, rows).trim_end());
    }
    for Part {
        title,
        about,
        tables,
        ..
    } in parts.iter().copied()
    {
        _ = write!(out, "\n## {title}\n\n{about}\n");
        for TableOf {
            caption,
            header,
            rows,
        } in tables
        {
            if !caption.is_empty() {
                _ = write!(out, "\n{caption}\n");
            }
            _ = writeln!(out, "\n{}", markdown(header, rows.clone()).trim_end());
        }
    }
    out
}

impl Page<'_> {
    pub fn markdown(&self) -> String {
        let About {
            kernel,
            processor,
            cpus,
            cpu,
            ..
        } = self.about;
        let mut out = format!(
            "# Performance\n\nMade by `cargo xtask bench speed`: do not edit.\n\n\
             - kernel: {kernel}\n- machine: {processor}, {cpus} CPUs; measured on CPU {cpu}\n\
             - figures are medians over the rounds, in brackets the least and the most. They are of this machine; \
             ratios are what to compare.\n\
             - effective clock: cycles a second of a chain of instructions that wait for each other, timed on that CPU before and after each \
             part. A virtual machine's share of its core comes and goes.\n"
        );
        for Measured {
            date,
            commit,
            command,
            rounds,
            clock_ghz,
            part,
        } in self.parts
        {
            _ = writeln!(
                out,
                "- {}: `{command}`, {rounds} rounds, commit {commit}, {date}, effective clock {clock_ghz} GHz",
                part.title
            );
        }
        let parts: Vec<&Part> = self.parts.iter().map(|measured| &measured.part).collect();
        _ = write!(
            out,
            "\n![What watching costs](performance.svg)\n\n{}",
            tables(&parts)
        );
        out
    }
}

fn row(goal: &Goal) -> Vec<String> {
    let Goal {
        what,
        goal,
        got,
        met,
    } = goal;
    let met = if *met { "yes" } else { "**no**" };
    vec![what.clone(), goal.clone(), got.clone(), met.to_owned()]
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::bench::{
        machine::tests::sample,
        speed::part::{Bars, Spread},
    };

    pub fn measured() -> Measured {
        Measured {
            date: "2026-01-02".to_owned(),
            commit: "0123456789ab".to_owned(),
            command: "cargo xtask bench speed".to_owned(),
            rounds: 5,
            clock_ghz: Spread::of(&[1.5, 2.5, 2.0]),
            part: part(),
        }
    }

    fn part() -> Part {
        let mut table = TableOf::new("Of one round.", &["watched by", "ns"]);
        table.rows.push(vec!["nothing".to_owned(), "1".to_owned()]);
        Part {
            title: "Ping-pong".to_owned(),
            about: "How.".to_owned(),
            tables: vec![table],
            goals: vec![Goal {
                what: "cost".to_owned(),
                goal: "<= 1".to_owned(),
                got: "2".to_owned(),
                met: false,
            }],
            bars: vec![Bars {
                title: "Cost".to_owned(),
                unit: "ns".to_owned(),
                bars: vec![("nothing".to_owned(), 1.0), ("record".to_owned(), 2.5)],
                reference: Some(1.0),
            }],
        }
    }

    #[test]
    fn the_page_has_its_origin_the_goals_and_every_table() {
        let page = Page {
            about: &sample(),
            parts: &[measured()],
        }
        .markdown();
        for text in [
            "- Ping-pong: `cargo xtask bench speed`, 5 rounds, commit 0123456789ab, 2026-01-02, \
             effective clock 2.000 (1.500 to 2.500) GHz",
            "(performance.svg)",
            "## Goals",
            "**no**",
            "## Ping-pong\n\nHow.\n\nOf one round.\n",
            "| nothing",
        ] {
            assert!(page.contains(text), "no {text:?} in:\n{page}");
        }
    }
}
