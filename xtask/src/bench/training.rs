//! `cargo xtask bench record-training`

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;

use super::{
    keep_off::Programs,
    loads::{self, Load},
    machine::Plan,
    quiet::Noise,
    series::Series,
};
use crate::workspace::Workspace;

/// Record the loads that the default model is trained on
///
/// The training half of the loads in the same way as `bench accuracy`, but longer, and other runs: a
/// model is never evaluated on what it was trained on; and some that are there for training alone:
/// two or three of these at once, timers, pipelines, monitors, threads of an interpreter. Then: `kernoracle train DIR/*.kot -o model.safetensors`.
#[derive(clap::Args)]
pub struct Args {
    /// Directory of the recordings, NAME.ROUND.kot; made if it is not there
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,

    /// Record the loads that are left out of training too, for `--trained-on-all` of `bench accuracy`
    #[arg(long)]
    all: bool,

    /// Record these loads only
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        conflicts_with = "all"
    )]
    loads: Vec<String>,

    /// Recordings of each load
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// CPU that the loads run on
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    cpu: usize,

    /// Go on with recordings that were interrupted
    #[arg(long)]
    resume: bool,

    /// Build kernoracle with the dev profile instead
    #[arg(long)]
    debug: bool,

    #[command(flatten)]
    programs: Programs,
}

pub fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let loads: Vec<&'static Load> = if args.all || !args.loads.is_empty() {
        loads::chosen_of_every(&args.loads)?
    } else {
        loads::every().filter(|load| load.trained).collect()
    };
    let packages = loads::packages(&workspace.root, &loads)?;
    let kernoracle = super::prepare(&workspace, &packages, args.debug)?;
    let series = Series {
        workspace: &workspace,
        kernoracle: &kernoracle,
        loads: &loads,
        plan: Plan {
            cpu: args.cpu,
            switches: 150_000,
            seconds: 90,
            rounds: args.rounds,
        },
        directory: args.output.clone(),
        logs: workspace.target.join("bench/training/logs"),
        resume: args.resume,
        noise: Noise::Refuse,
        programs: &args.programs,
    };
    let (_, recordings) = series.record()?;
    eprintln!(
        "bench: {} recordings in {}",
        recordings.len(),
        args.output.display()
    );
    Ok(ExitCode::SUCCESS)
}
