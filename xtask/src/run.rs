//! `cargo xtask run`

use std::{env, ffi::OsString, process::ExitCode};

use anyhow::Result;

use crate::{
    build, command,
    setup::{self, Purpose},
    workspace::Workspace,
};

/// What the daemon reads of the caller's environment; sudo would drop it.
const PASSED_ON: [&str; 5] = [
    "RUST_LOG",
    "RUST_BACKTRACE",
    "NO_COLOR",
    "CLICOLOR_FORCE",
    "TERM",
];

/// Set up what is missing, build the daemon and start it as root
///
/// The daemon takes this process's place: signals and exit status are its own, and standard output
/// carries nothing else.
#[derive(clap::Args)]
pub struct Args {
    /// Passed on to `kernoracle run`, after `--`; try `-- --help`
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

pub fn main(args: Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    setup::ensure(&workspace, Purpose::Build)?;
    build::daemon(&workspace, true)?;
    let binary = workspace.target.join("release/kernoracle");
    let passed_on: Vec<(&str, String)> = PASSED_ON
        .into_iter()
        .filter_map(|key| Some((key, env::var(key).ok()?)))
        .collect();
    let passed_on: Vec<(&str, &str)> = passed_on
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    let passed_on = if command::is_root() {
        &[]
    } else {
        &passed_on[..]
    };
    let mut daemon = command::as_root(&binary.to_string_lossy(), passed_on)?;
    daemon.arg("run").args(args.args);
    Err(command::exec(&mut daemon))
}
