//! docs/ablation.md

use std::{ffi::OsString, fmt::Write as _};

use super::{
    figures::{BITS, REFINED, Results, TOP1},
    loads::LOADS,
    machine::About,
    markdown::{markdown, or_dash},
    page::command_line,
    paired::Paired,
};

/// Results without one part.
pub struct Ablated {
    pub name: &'static str,
    pub results: Results,
}

impl Ablated {
    fn title(&self) -> String {
        self.name.replace('-', " ")
    }
}

pub struct Page<'a> {
    /// Of the recordings that were evaluated.
    pub about: Option<About>,
    pub commit: String,
    /// The full model was trained like the others; else it is the default model.
    pub trained_full: bool,
    pub train_args: &'a [OsString],
    pub full: Ablated,
    pub ablated: Vec<Ablated>,
}

impl Page<'_> {
    /// Loads that no recording was there of.
    pub fn missing_loads(&self) -> Vec<&'static str> {
        LOADS
            .iter()
            .filter(|load| self.full.results.get(load).is_none())
            .map(|load| load.name)
            .collect()
    }

    pub fn tables(&self) -> String {
        let mut out = String::from(
            "## Macro mean\n\nIn brackets: less (-) or more (+) than the full model.\n\n",
        );
        out.push_str(&self.macro_means());
        out.push_str(
            "\n## Is it more than chance?\n\nWhat the full model gains by each part, on the same recordings, as a mean over loads. Behind it two standard errors: \
             *recorded again*, were the same loads recorded again (what varies is a load's recordings); *other loads*, were the loads others of \
             their kind (what varies is the load). Then the mean without the load that gains or loses most, and, for other loads too, the \
             exact one-sided p of Wilcoxon's signed-rank test. Each model was trained once: how much another seed would change is in neither.\n\n",
        );
        out.push_str(&self.worth());
        for (title, path, scale, digits) in [
            ("Top-1 of each load, %, at-switch", TOP1, 100.0, 1),
            ("Bits per switch of each load, at-switch", BITS, 1.0, 3),
        ] {
            _ = write!(out, "\n## {title}\n\n");
            out.push_str(&self.per_load(path, scale, digits));
        }
        out
    }

    pub fn markdown(&self) -> String {
        let mut out =
            String::from("# Ablation\n\nMade by `cargo xtask bench ablate`: do not edit.\n\n");
        let mut line = |what: &str, value: &str| {
            _ = writeln!(out, "- {what}: {value}");
        };
        line("run it again", &format!("`{}`", command_line()));
        line("commit", &self.commit);
        if let Some(about) = &self.about {
            line(
                "evaluated on recordings of",
                &format!(
                    "{}, kernel {}, {}",
                    about.date, about.kernel, about.processor
                ),
            );
        }
        let full = if self.trained_full {
            "trained in the same way as those without a part"
        } else {
            "the default model"
        };
        line("full model", full);
        if !self.train_args.is_empty() {
            let args: Vec<_> = self
                .train_args
                .iter()
                .map(|arg| arg.to_string_lossy())
                .collect();
            line("options of training", &format!("`{}`", args.join(" ")));
        }
        out.push_str(
            "\nModels without a part were trained without it on the training half of the loads, and learn \
             online like the full model. Without online learning: the full model, its weights kept as they are.\n\n",
        );
        out.push_str(&self.tables());
        out
    }

    fn macro_means(&self) -> String {
        let columns = [
            ("top-1 %", TOP1, 100.0, 1),
            ("refined top-1 %", REFINED, 100.0, 1),
            ("bits/switch", BITS, 1.0, 3),
        ];
        let mut headings = vec!["model".to_owned()];
        headings.extend(columns.iter().map(|(name, ..)| (*name).to_owned()));
        let rows = [&self.full]
            .into_iter()
            .chain(&self.ablated)
            .map(|ablated| {
                let mut row = vec![ablated.title()];
                row.extend(columns.iter().map(|(_, path, scale, digits)| {
                    let full = self.full.results.macro_mean(path);
                    let this = ablated.results.macro_mean(path);
                    let beside = full.filter(|_| ablated.name != self.full.name);
                    difference(this, beside, *scale, *digits)
                }));
                row
            })
            .collect();
        markdown(&headings, rows)
    }

    fn worth(&self) -> String {
        let headings = [
            "model without",
            "top-1, points",
            "± recorded again",
            "± other loads",
            "without the most",
            "p",
            "bits/switch saved",
            "± recorded again",
            "± other loads",
            "without the most",
            "p",
        ];
        let rows = self
            .ablated
            .iter()
            .map(|ablated| {
                let (full, this) = (&self.full.results, &ablated.results);
                let mut row = vec![ablated.title().replace("without ", "")];
                for (paired, scale) in [
                    (Paired::of(full, this, TOP1), 100.0),
                    (Paired::of(this, full, BITS), 1.0),
                ] {
                    row.extend(cells(paired, scale));
                }
                row
            })
            .collect();
        markdown(&headings.map(str::to_owned), rows)
    }

    fn per_load(&self, path: &str, scale: f64, digits: usize) -> String {
        let mut headings = vec!["load".to_owned(), self.full.title()];
        headings.extend(self.ablated.iter().map(Ablated::title));
        let rows = self
            .full
            .results
            .0
            .iter()
            .map(|result| {
                let full = result.median(path);
                let mut row = vec![
                    result.load.name.to_owned(),
                    difference(full, None, scale, digits),
                ];
                row.extend(self.ablated.iter().map(|ablated| {
                    let this = ablated
                        .results
                        .get(result.load)
                        .and_then(|result| result.median(path));
                    difference(this, full, scale, digits)
                }));
                row
            })
            .collect();
        markdown(&headings, rows)
    }
}

/// Mean, its two standard errors, `mean of the others (load left out)`, and p.
fn cells(paired: Option<Paired>, scale: f64) -> [String; 5] {
    let number = |value: f64| format!("{:+.3}", scale * value);
    let Some(paired) = paired else {
        return ["-"; 5].map(str::to_owned);
    };
    let error = |error| or_dash(error, |error: f64| format!("{:.3}", scale * error));
    let others = or_dash(paired.mean_of_others, number);
    [
        number(paired.mean),
        error(paired.of_recordings),
        error(paired.of_loads),
        format!("{others} ({})", paired.most),
        format!("{:.4}", paired.p),
    ]
}

/// `this (this - full)`.
fn difference(this: Option<f64>, full: Option<f64>, scale: f64, digits: usize) -> String {
    let Some(this) = this else {
        return "-".to_owned();
    };
    match full {
        None => format!("{:.digits$}", scale * this),
        Some(full) => format!(
            "{:.digits$} ({:+.digits$})",
            scale * this,
            scale * (this - full)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::tests::results;

    fn page() -> Page<'static> {
        // Two recordings, apart by twice as much.
        let of = |name, redis: f64, cpu: f64, apart: f64| Ablated {
            name,
            results: results(
                &[
                    ("redis", &[redis + apart, redis - apart]),
                    ("cpu-4", &[cpu + apart, cpu - apart]),
                ],
                [0.1; 4],
            ),
        };
        Page {
            about: None,
            commit: "abcdef".to_owned(),
            trained_full: false,
            train_args: &[],
            full: of("full", 0.9, 0.8, 0.01),
            ablated: vec![
                of("without-lstm", 0.85, 0.81, 0.0),
                of("without-online-learning", 0.9, 0.7, 0.0),
            ],
        }
    }

    #[test]
    fn each_removal_stands_beside_the_full_model() {
        let tables = page().tables();
        for cell in [
            "85.0",
            "83.0 (-2.0)",
            "0.340 (+0.040)",
            "85.0 (-5.0)",
            "81.0 (+1.0)",
            "90.0 (+0.0)",
            "70.0 (-10.0)",
            "+2.000 |            0.707 |         3.000",
            "-1.000 (redis)",
            "+0.000 (cpu-4)",
            "0.5000",
        ] {
            assert!(tables.contains(cell), "no {cell} in:\n{tables}");
        }
    }

    #[test]
    fn the_page_says_what_the_full_model_is_and_which_loads_are_missing() {
        let page = page();
        assert!(page.markdown().contains("- full model: the default model"));
        assert_eq!(page.missing_loads().len(), LOADS.len() - 2);
        assert!(!page.missing_loads().contains(&"redis"));
    }
}
