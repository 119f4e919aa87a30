//! docs/accuracy.md

use std::{collections::BTreeSet, env, fmt::Write as _};

use super::{
    ahead,
    goals::{Goal, Measured},
    machine::About,
    tables,
};
use crate::command;

/// Where the recordings come from.
pub enum Source {
    Recorded(About),
    /// By --recordings; with what is known of them.
    Given(Option<About>),
}

impl Source {
    fn about(&self) -> Option<&About> {
        match self {
            Self::Recorded(about) => Some(about),
            Self::Given(about) => about.as_ref(),
        }
    }
}

pub struct Page<'a> {
    pub source: &'a Source,
    /// That evaluated.
    pub commit: String,
    pub measured: Measured<'a>,
    pub goals: Vec<Goal>,
}

impl Page<'_> {
    /// All tables, each under its heading.
    pub fn tables(&self) -> String {
        let online = self.measured.online;
        let mut out = String::new();
        let mut section = |title: &str, text: &str, table: &str| {
            _ = write!(out, "## {title}\n\n{text}\n\n{table}\n");
        };
        section(
            "Goals",
            "Medians over the recordings of each load; at-switch unless said. A mean over loads counts each load the same.",
            &tables::goals(&self.goals),
        );
        section(
            "Which task is next",
            "Median over the recordings, in brackets the least and the most. At-switch: predicted right after the \
             previous switch. Refined: predicted again after the last wake-up before the switch.",
            &tables::next_task(online),
        );
        if let Some(ahead) = ahead::table(online) {
            section(
                "Against the best baseline",
                "By how many switches the model is ahead of the baseline that is best on the load, in each recording. Where next to \
                 all that the model misses was woken only after the prediction, nobody who predicts at the switch is ahead: both are \
                 right but for that.",
                &ahead,
            );
        }
        section(
            "Bits per switch",
            "Mean of -log2 of the probability given to the task that came. back-off-8 and PPM-8 are PPM-C of order 8: \
             the first keeps a bounded memory, the second, where it is there, exact counts.",
            &tables::bits_per_switch(online),
        );
        section(
            "For how long the current task runs",
            "Median of |predicted - actual| / actual, over the runs of tasks that had run before.",
            &tables::run_time(online),
        );
        if let Some(frozen) = self.measured.frozen {
            section(
                "Zero-shot",
                "The default model with its weights kept as they are, on loads that it was trained on (on other \
                 recordings) and on those that were left out.",
                &tables::zero_shot(self.measured, frozen),
            );
        }
        if let Some(start) = tables::start(online) {
            section(
                "The start",
                "The first 1,000 scored switches against the last half of the recording; and the same 1,000 played once \
                 more when the whole recording has been learned. What is better then was not yet learned; what is \
                 still behind the last half is harder to foretell. The second playing repeats the very same \
                 switches, which the counts may remember, so it flatters: where it is better than the last half, \
                 the last number is negative.",
                &start,
            );
        }
        if let Some(calibration) = tables::calibration(online) {
            section(
                "Calibration",
                "Expected calibration error of the first choice's probability: how far stated probability and \
                 share of hits are apart.",
                &calibration,
            );
        }
        if let Some(misses) = tables::misses(online) {
            section("Misses by cause", CAUSES, &misses);
        }
        section(
            "Every switch is accounted for",
            "Over all recordings: seen = scored + first + gap + broken + overload.",
            &tables::counts(online),
        );
        out.truncate(out.trim_end().len());
        out.push('\n');
        out
    }

    pub fn markdown(&self) -> String {
        let mut out =
            String::from("# Accuracy\n\nMade by `cargo xtask bench accuracy`: do not edit.\n\n");
        out.push_str(&self.provenance());
        _ = write!(
            out,
            "\n![Top-1 of the model and of the baselines on every load](accuracy.svg)\n\n{}",
            self.tables()
        );
        if let Some(about) = self.source.about() {
            out.push_str("\n## Versions of what the loads run\n\nThe loads are the scripts in xtask/loads.\n\n");
            for (load, versions) in &about.versions {
                _ = writeln!(out, "- {load}: {}", versions.join("; "));
            }
        }
        out
    }

    fn provenance(&self) -> String {
        let mut out = String::new();
        let mut line = |what: &str, value: &str| {
            _ = writeln!(out, "- {what}: {value}");
        };
        line("run it again", &format!("`{}`", command_line()));
        line("evaluated with commit", &self.commit);
        let recorded = match self.source {
            Source::Recorded(_) => "by this run",
            Source::Given(_) => "**before, handed over with --recordings**",
        };
        line("recordings", recorded);
        line("kernel", &self.kernels());
        match self.source.about() {
            Some(about) => {
                line(
                    "recorded",
                    &format!("{}, commit {}", about.date, about.commit),
                );
                line(
                    "machine",
                    &format!("{}, {} CPUs", about.processor, about.cpus),
                );
                line(
                    "each load",
                    &format!(
                        "{} times {} switches or {} s, on CPU {}; the recorder on CPU {}",
                        about.rounds, about.switches, about.seconds, about.cpu, about.other_cpu
                    ),
                );
            }
            None => line("recorded", "not known when, on what, of which versions"),
        }
        out
    }

    /// As the recordings say.
    fn kernels(&self) -> String {
        let kernels: BTreeSet<String> = self
            .measured
            .online
            .0
            .iter()
            .flat_map(|result| &result.rounds)
            .map(|round| {
                let of = |key: &str| round[key].as_str().unwrap_or("unknown").to_owned();
                format!("{} ({})", of("kernel"), of("scheduler"))
            })
            .collect();
        kernels.into_iter().collect::<Vec<_>>().join(", ")
    }
}

/// As this program was called.
pub fn command_line() -> String {
    let mut line = "cargo xtask".to_owned();
    for arg in env::args_os().skip(1) {
        line.push(' ');
        line.push_str(&command::quote(&arg));
    }
    line
}

/// Under the title of the misses.
const CAUSES: &str = "In percent of the scored switches, at-switch. `arrival`: an interrupt, a timer or another CPU woke the next task while the current one ran, or an expected wake-up did not come; nothing before the switch tells of it but habit. `woken by current`: the wake-up came from the current task's own run, which had only begun when the prediction was made; interrupts that hit while a task runs (the tick, RCU, a disk's completion) are recorded as its wake-ups too, so on loads that never wake anybody (cpu-*, sysbench-cpu, sysbench-memory) these are arrivals as well. `sleep or stay`: the current task left the other way, asleep or at the end of its slice. `order`: the next task waited, but the rules applied to what was known at the switch named another; wake-ups during the run move the mean that decides who is eligible. `state unknown`: the next task was not known. `model`: the rules named it and the model did not. The refined column above shows what is left once the wake-ups have been seen. A task that the current one has yet to fork can be foretold as such, and counts as a hit if the next task is one that it forked in that run; the baselines, which know past tasks only, cannot say this.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{figures::tests::results, goals::goals, machine::tests::sample as about};

    fn page(source: &Source) -> String {
        let online = results(&[("redis", &[0.9, 0.8, 0.85])], [0.1; 4]);
        let measured = Measured {
            online: &online,
            frozen: Some(&online),
            frozen_on_all: None,
        };
        Page {
            source,
            commit: "abcdef".to_owned(),
            measured,
            goals: goals(measured),
        }
        .markdown()
    }

    #[test]
    fn the_page_says_where_it_comes_from_and_has_every_table() {
        let page = page(&Source::Recorded(about()));
        for part in [
            "- run it again: `cargo xtask",
            "- evaluated with commit: abcdef",
            "- recordings: by this run",
            "- kernel: 6.18.1 (unknown)",
            "- recorded: 2026-01-02T03:04:05Z, commit 0123456789ab",
            "- machine: Some CPU, 2 CPUs",
            "(accuracy.svg)",
            "## Goals",
            "## Against the best baseline",
            "## Zero-shot",
            "## The start",
            "## Calibration",
            "## Misses by cause",
            "- redis: Redis 7",
        ] {
            assert!(page.contains(part), "no {part:?} in:\n{page}");
        }
    }

    #[test]
    fn recordings_that_were_handed_over_are_said_to_be() {
        let page = page(&Source::Given(None));
        assert!(page.contains("handed over with --recordings"), "{page}");
        assert!(page.contains("not known when"), "{page}");
        assert!(!page.contains("Versions of what"), "{page}");
    }
}
