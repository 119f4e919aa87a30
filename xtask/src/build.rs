//! `cargo xtask build`

use std::process::ExitCode;

use anyhow::Result;

use crate::{
    command,
    setup::{self, Purpose},
    workspace::Workspace,
};

/// Set up what is missing and build the daemon, optimised
#[derive(clap::Args)]
pub struct Args {
    /// Build with the dev profile instead
    #[arg(long)]
    debug: bool,
}

pub fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    setup::ensure(&workspace, Purpose::Build)?;
    daemon(&workspace, !args.debug)?;
    let binary = workspace
        .target
        .join(if args.debug { "debug" } else { "release" })
        .join("kernoracle");
    eprintln!("built: {}", binary.display());
    Ok(ExitCode::SUCCESS)
}

pub fn daemon(workspace: &Workspace, release: bool) -> Result<()> {
    let mut cargo = workspace.cargo("build");
    cargo.args(["--package", "kernoracle-daemon", "--bin", "kernoracle"]);
    if release {
        cargo.arg("--release");
    }
    command::run(&mut cargo)
}

/// All that the tests need, the daemon's binary included.
pub fn for_tests(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo("build");
    command::run(cargo.args(["--lib", "--bins", "--tests"]))
}
