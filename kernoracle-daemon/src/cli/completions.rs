//! `kernoracle completions`.

use super::Cli;
use clap::CommandFactory;
use clap_complete::Shell;
use std::{io::Write, process::ExitCode};

/// Print the completions of a shell
///
/// Example:
///   kernoracle completions bash > /etc/bash_completion.d/kernoracle
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    shell: Shell,
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "kernoracle", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
