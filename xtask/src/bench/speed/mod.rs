//! `cargo xtask bench speed`

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};

use super::{
    clock::effective_ghz,
    loads::{self, Load},
    machine::{self, About, Pinned, Plan},
    page::command_line,
    write_whole,
};
use crate::workspace::Workspace;
use page::Page;
use part::{Measured, Part, Setup, Spread};

mod ab;
mod brackets;
mod growth;
mod inference;
mod loss;
mod page;
mod part;
mod picture;
mod ping_pong;
mod replay;
mod undisturbed;
mod way;

/// Measure what watching and predicting costs
///
/// What the eBPF programs, `record` and `run` add to a switch, beside perf sched record; what they leave of a
/// web server's requests; events that are lost; what the parts of a prediction take, and how fast the recordings
/// of bench accuracy are played back. Everything is measured in rounds, all ways one after another in each, and
/// given as medians with their spread. Prints the tables. Each part is kept under target/bench/speed, with --quick
/// apart; when every part has been measured without --quick, docs/performance.md and docs/performance.svg are
/// written, so that parts can be measured one at a time.
///
/// The loads and what is timed run on CPU --cpu, which nothing else should use meanwhile.
#[derive(clap::Args)]
pub struct Args {
    /// Small enough to try: few rounds, short ones, no long runs
    #[arg(long)]
    quick: bool,

    /// Only these parts, separated by commas
    #[arg(long, value_name = "PARTS", value_delimiter = ',')]
    only: Vec<Item>,

    /// Times that each figure is measured [default: 5; 1 with --quick]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,

    /// The CPU of the loads and of what is timed
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    cpu: usize,

    /// Directory of performance.md and performance.svg
    #[arg(long, value_name = "DIR", default_value = "docs")]
    out: PathBuf,

    /// Take the kernoracle that the tests run (the dev profile) instead of a release build
    #[arg(long)]
    debug: bool,

    /// Take this binary, and neither build nor install anything
    #[arg(long, value_name = "FILE", conflicts_with = "debug")]
    kernoracle: Option<PathBuf>,
}

/// A part of the bench, in the order of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Item {
    PingPong,
    Ab,
    Inference,
    Replay,
    Loss,
}

const ITEMS: [Item; 5] = [
    Item::PingPong,
    Item::Ab,
    Item::Inference,
    Item::Replay,
    Item::Loss,
];

impl Item {
    /// Where it is kept.
    fn file(self, work: &Path, quick: bool) -> PathBuf {
        let quick = if quick { "quick-" } else { "" };
        work.join(format!("{quick}{self:?}.json"))
    }

    fn measure(self, setup: &Setup<'_>) -> Result<Part> {
        match self {
            Self::PingPong => ping_pong::measure(setup),
            Self::Ab => ab::measure(setup),
            Self::Inference => inference::measure(setup),
            Self::Replay => replay::measure(setup),
            Self::Loss => loss::measure(setup),
        }
    }
}

pub fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let items: Vec<Item> = ITEMS
        .into_iter()
        .filter(|item| args.only.is_empty() || args.only.contains(item))
        .collect();
    let loads: Vec<&Load> = if args.quick || !items.contains(&Item::Loss) {
        vec![Load::find("nginx-ab")?]
    } else {
        loads::LOADS.iter().collect()
    };
    let mut packages = loads::packages(&workspace.root, &loads)?;
    packages.push("linux-perf".to_owned());
    if items.contains(&Item::Inference) {
        packages.push("valgrind".to_owned());
    }
    let kernoracle = match &args.kernoracle {
        Some(binary) => binary
            .canonicalize()
            .with_context(|| binary.display().to_string())?,
        None => super::prepare(&workspace, &packages, args.debug)?,
    };
    let rounds = args
        .rounds
        .map_or(if args.quick { 1 } else { 5 }, usize::from);
    let about = About::now(
        &workspace,
        &[],
        Plan {
            cpu: args.cpu,
            switches: 0,
            seconds: 0,
            rounds: rounds as u32,
        },
    )?;
    let work = workspace.target.join("bench/speed");
    fs::create_dir_all(&work).with_context(|| work.display().to_string())?;
    let setup = Setup {
        workspace: &workspace,
        kernoracle,
        quick: args.quick,
        rounds,
        cpu: about.cpu,
        other_cpu: about.other_cpu,
        work,
    };
    let pinned = Pinned::to(about.other_cpu)?;
    for item in items {
        let (date, commit) = (machine::now(), machine::commit(&workspace.root));
        let mut clock = effective_ghz(setup.cpu)?;
        let part = item.measure(&setup)?;
        clock.extend(effective_ghz(setup.cpu)?);
        let measured = Measured {
            date,
            commit,
            command: command_line(),
            rounds,
            clock_ghz: Spread::of(&clock),
            part,
        };
        println!("{}", page::tables(&[&measured.part]));
        let text = serde_json::to_string_pretty(&measured)?;
        write_whole(&item.file(&setup.work, args.quick), &text)?;
    }
    drop(pinned);
    if args.quick {
        return Ok(ExitCode::SUCCESS);
    }
    let mut parts = Vec::new();
    for item in ITEMS {
        let file = item.file(&setup.work, false);
        if !file.exists() {
            eprintln!(
                "bench speed: {item:?} has not been measured: {} stays as it is",
                args.out.display()
            );
            return Ok(ExitCode::SUCCESS);
        }
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let measured: Measured = serde_json::from_str(&text)
            .with_context(|| format!("{}: damaged: measure it again", file.display()))?;
        parts.push(measured);
    }
    let page = Page {
        about: &about,
        parts: &parts,
    };
    write_whole(&args.out.join("performance.svg"), &picture::svg(&parts)?)?;
    write_whole(&args.out.join("performance.md"), &page.markdown())?;
    Ok(ExitCode::SUCCESS)
}
