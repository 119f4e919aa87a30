//! `kernoracle man`.

use super::Cli;
use anyhow::Context;
use clap::CommandFactory;
use std::{fs, path::PathBuf, process::ExitCode};

/// Write the man pages, one for each command
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub struct Args {
    /// The directory; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let out = &args.out;
    fs::create_dir_all(out)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), out))
        .with_context(|| format!("{}: cannot write man pages", out.display()))?;
    Ok(ExitCode::SUCCESS)
}
