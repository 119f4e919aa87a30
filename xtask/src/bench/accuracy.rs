//! `cargo xtask bench accuracy`

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, ensure};

use super::{
    Common, chart,
    evaluate::{Evaluator, Variant},
    figures::{Results, TOP1},
    goals::{Measured, goals},
    keep_off::Programs,
    loads::{self, LOADS, Load},
    machine::{self, About, Plan},
    markdown::percent,
    miscounts::miscounts,
    page::{Page, Source},
    quiet::Noise,
    recordings::{self, Recording},
    series::{self, Series},
};
use crate::workspace::Workspace;

/// Recordings of each load that the goals ask for: they are about medians.
const ROUNDS: u32 = 3;

/// Run every load, record it, and say how often the model and the baselines are right
///
/// Each load runs on one CPU with all that it starts; the recorder is on another. Kernel threads are
/// kept off that CPU while it records, programs with --move-off. If something else is busy there, the bench
/// waits, then fails (with --quick it tells). Each load is recorded anew each
/// time for 50,000 switches or 60 s, three times. Then `kernoracle eval` scores the recordings: from the
/// default model with online learning, and with the weights kept as they are. The tables are printed, and
/// docs/accuracy.md and docs/accuracy.svg written if every load has three recordings.
///
/// With fewer loads or rounds it only prints. An interrupted bench goes on with --resume. Exit status 1
/// if the counts do not add up, and with --quick also if a baseline is ahead of the model.
#[derive(clap::Args)]
pub struct Args {
    /// Run these loads only, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    loads: Vec<String>,

    /// Recordings of each load [default: 3; with --quick 1]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,

    /// 5,000 switches or 5 s of each load, online learning only, and check that the model is ahead
    #[arg(long)]
    quick: bool,

    /// CPU that the loads run on
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    cpu: usize,

    /// Record into this directory instead of target/bench/accuracy/recordings
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,

    /// Record nothing, evaluate the recordings NAME.ROUND.kot of this directory
    #[arg(long, value_name = "DIR", conflicts_with_all = ["keep", "resume", "rounds", "cpu"])]
    recordings: Option<PathBuf>,

    /// Go on with a bench that was interrupted
    #[arg(long)]
    resume: bool,

    /// A model trained on all loads: zero-shot is compared with it
    #[arg(long, value_name = "FILE")]
    trained_on_all: Option<PathBuf>,

    /// Directory of accuracy.md and accuracy.svg
    #[arg(long, value_name = "DIR", default_value = "docs")]
    out: PathBuf,

    #[command(flatten)]
    programs: Programs,

    #[command(flatten)]
    common: Common,
}

/// Loads that tell every baseline from the model within seconds, of programs that the tests need anyway.
const QUICK_LOADS: [&str; 3] = ["nginx-ab", "hackbench-pipe", "cpu-4"];

impl Args {
    /// A few seconds each of a few loads, with the programs of the tests.
    pub fn for_tests() -> Self {
        Self {
            loads: QUICK_LOADS.map(str::to_owned).to_vec(),
            rounds: None,
            quick: true,
            cpu: 0,
            keep: None,
            recordings: None,
            resume: false,
            trained_on_all: None,
            out: PathBuf::from("docs"),
            programs: Programs::default(),
            common: Common {
                jobs: None,
                debug: true,
            },
        }
    }

    fn plan(&self) -> Plan {
        let (switches, seconds, rounds) = if self.quick {
            (5_000, 5, 1)
        } else {
            (50_000, 60, ROUNDS)
        };
        Plan {
            cpu: self.cpu,
            switches,
            seconds,
            rounds: self.rounds.unwrap_or(rounds),
        }
    }
}

pub fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    if let Some(model) = &args.trained_on_all {
        ensure!(
            model.is_file(),
            "--trained-on-all {}: there is no such file",
            model.display()
        );
    }
    let work = workspace.target.join(if args.quick {
        "bench/quick"
    } else {
        "bench/accuracy"
    });
    let (kernoracle, source, recordings) = recorded(args, &workspace, &work)?;

    let evaluator = Evaluator {
        kernoracle: &kernoracle,
        answers: &work.join("eval"),
        jobs: args.common.jobs(),
    };
    let variant = |name, model, frozen| Variant {
        name,
        model,
        frozen,
    };
    let online = evaluator.all(&recordings, &variant("online", None, false))?;
    let (mut frozen, mut frozen_on_all) = (None, None);
    if !args.quick {
        frozen = Some(evaluator.all(&recordings, &variant("frozen", None, true))?);
        frozen_on_all = args
            .trained_on_all
            .clone()
            .map(|model| evaluator.all(&recordings, &variant("frozen-on-all", Some(model), true)))
            .transpose()?;
    }
    let measured = Measured {
        online: &online,
        frozen: frozen.as_ref(),
        frozen_on_all: frozen_on_all.as_ref(),
    };

    let page = Page {
        source: &source,
        commit: machine::commit(&workspace.root),
        measured,
        goals: goals(measured),
    };
    println!("{}", page.tables());
    write_docs(args, &workspace, &page)?;
    Ok(verdict(args.quick, &online))
}

/// The binary, where the recordings come from, and the recordings.
fn recorded(
    args: &Args,
    workspace: &Workspace,
    work: &Path,
) -> Result<(PathBuf, Source, Vec<Recording>)> {
    if let Some(directory) = &args.recordings {
        let loads = if args.loads.is_empty() {
            recordings::loads(directory)?
        } else {
            loads::chosen(&args.loads)?
        };
        let recordings = recordings::of(directory, &loads)?;
        let about = About::read(directory)?;
        let kernoracle = super::prepare(workspace, &[], args.common.debug)?;
        return Ok((kernoracle, Source::Given(about), recordings));
    }
    let loads = loads::chosen(&args.loads)?;
    let packages = loads::packages(&workspace.root, &loads)?;
    let kernoracle = super::prepare(workspace, &packages, args.common.debug)?;
    let own = work.join("recordings");
    if args.keep.is_none() && !args.resume {
        series::clear(&own)?;
    }
    let series = Series {
        workspace,
        kernoracle: &kernoracle,
        loads: &loads,
        plan: args.plan(),
        directory: args.keep.clone().unwrap_or(own),
        logs: work.join("logs"),
        resume: args.resume,
        noise: if args.quick {
            Noise::Tell
        } else {
            Noise::Refuse
        },
        programs: &args.programs,
    };
    let (about, recordings) = series.record()?;
    Ok((kernoracle, Source::Recorded(about), recordings))
}

/// Says what it wrote, or why it did not.
fn write_docs(args: &Args, workspace: &Workspace, page: &Page<'_>) -> Result<()> {
    if let Some(why) = too_little(args.quick, page.measured.online) {
        eprintln!("bench: {why}: accuracy.md and accuracy.svg are left as they are");
        return Ok(());
    }
    let out = workspace.root.join(&args.out);
    std::fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    // The page shows the chart: the chart is there first.
    super::write_whole(
        &out.join("accuracy.svg"),
        &chart::svg(page.measured.online)?,
    )?;
    super::write_whole(&out.join("accuracy.md"), &page.markdown())?;
    eprintln!("written: {}/accuracy.md, accuracy.svg", out.display());
    Ok(())
}

/// Why these results are not worth a page.
fn too_little(quick: bool, online: &Results) -> Option<String> {
    if quick {
        return Some("--quick".to_owned());
    }
    let missing: Vec<&str> = LOADS
        .iter()
        .filter(|load| online.get(load).is_none())
        .map(|load: &Load| load.name)
        .collect();
    if !missing.is_empty() {
        return Some(format!(
            "not every load was run: without {}",
            missing.join(", ")
        ));
    }
    let few = online
        .0
        .iter()
        .find(|result| result.rounds.len() < ROUNDS as usize)?;
    Some(format!(
        "{}: recorded {} times, {ROUNDS} are wanted",
        few.load.name,
        few.rounds.len()
    ))
}

fn verdict(quick: bool, online: &Results) -> ExitCode {
    let mut wrong = miscounts(online);
    if quick {
        wrong.extend(baselines_ahead(online));
    }
    if wrong.is_empty() {
        eprintln!("bench: every switch is accounted for, none was lost");
        return ExitCode::SUCCESS;
    }
    eprintln!("bench: FAILED: {}", wrong.join("; "));
    ExitCode::FAILURE
}

/// Baselines whose macro mean the model does not reach, one line each.
fn baselines_ahead(online: &Results) -> Vec<String> {
    let Some(model) = online.macro_mean(TOP1) else {
        return vec!["no switch was scored".to_owned()];
    };
    online
        .baselines(|baseline| baseline.top1)
        .into_iter()
        .filter_map(|baseline| Some((baseline, online.macro_mean(baseline.top1)?)))
        .filter(|(_, theirs)| *theirs >= model)
        .map(|(baseline, theirs)| {
            format!(
                "{} has top-1 {}, the model {}",
                baseline.name,
                percent(theirs),
                percent(model)
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::tests::results;

    #[test]
    fn a_page_needs_every_load_three_times() {
        let some = results(&[("redis", &[0.9])], [0.1; 4]);
        assert_eq!(too_little(true, &some).unwrap(), "--quick");
        let why = too_little(false, &some).unwrap();
        assert!(
            why.starts_with("not every load was run: without nginx-ab,"),
            "{why}"
        );

        let three: &[f64] = &[0.9, 0.9, 0.9];
        let mut each: Vec<(&str, &[f64])> = LOADS.iter().map(|load| (load.name, three)).collect();
        assert_eq!(too_little(false, &results(&each, [0.1; 4])), None);
        each[4].1 = &[0.9];
        assert_eq!(
            too_little(false, &results(&each, [0.1; 4])).unwrap(),
            "sysbench-threads: recorded 1 times, 3 are wanted"
        );
    }

    #[test]
    fn a_baseline_that_is_ahead_is_told() {
        let online = results(&[("redis", &[0.5])], [0.1, 0.2, 0.3, 0.6]);
        assert_eq!(
            baselines_ahead(&online),
            ["scheduler has top-1 60.0 %, the model 50.0 %"]
        );
        assert_eq!(
            baselines_ahead(&results(&[("redis", &[0.7])], [0.6; 4])),
            [""; 0]
        );
        assert_eq!(
            baselines_ahead(&Results(Vec::new())),
            ["no switch was scored"]
        );
    }
}
