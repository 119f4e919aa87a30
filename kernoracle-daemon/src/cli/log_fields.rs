//! `kernoracle log-fields`.

use crate::report::docs;
use std::{io::Write, process::ExitCode};

/// Print the fields of the JSON log, with their meaning and units
#[derive(Debug, clap::Args)]
pub struct Args {}

pub(super) fn execute(_args: &Args) -> anyhow::Result<ExitCode> {
    std::io::stdout().write_all(docs::markdown().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
