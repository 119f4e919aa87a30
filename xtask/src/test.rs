//! `cargo xtask test`

use std::{ffi::OsString, fs, path::Path, process::ExitCode};

use anyhow::{Context as _, Result};

use crate::{
    bench, command,
    setup::{self, Purpose},
    vm,
    workspace::Workspace,
};

/// Test files of this name need the live kernel, and root.
pub const LIVE: &str = "live_";

/// Set up what is missing and run every test, those on the live kernel included
///
/// At the end a few seconds of a few loads are recorded and evaluated (`bench accuracy --quick`): the model has to be ahead of every
/// baseline, and the counts have to add up. Then the live tests run once more in a virtual machine with one CPU and an older
/// kernel (`vm matrix --kernel 6.1`).
///
/// Everything is built as the caller; only the test programs of the live tests run as root. A live test
/// that this kernel cannot run says why it is skipped.
#[derive(clap::Args)]
pub struct Args {
    /// Passed on to the test programs, after `--`: part of a test's name, `--exact`, ...
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

pub fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    setup::ensure(&workspace, Purpose::Test)?;

    // One build of all that the steps below need, the daemon's binary included. They select the same
    // packages, so that cargo unifies the same features and builds nothing twice.
    let mut cargo = workspace.cargo("build");
    if !command::status(cargo.args(["--lib", "--bins", "--tests"]))?.success() {
        return Ok(ExitCode::FAILURE);
    }

    let mut failed = Vec::new();
    let mut step = |what, cargo: &mut _| -> Result<()> {
        if !command::status(cargo)?.success() {
            failed.push(what);
        }
        Ok(())
    };

    let mut cargo = workspace.cargo("test");
    cargo.args(["--no-fail-fast", "--lib", "--bins"]);
    for name in integration_tests(&workspace.root)? {
        if !name.starts_with(LIVE) {
            cargo.args(["--test", &name]);
        }
    }
    step("tests without root", cargo.arg("--").args(&args.args))?;

    let mut cargo = workspace.cargo("test");
    cargo.args(["--no-fail-fast", "--doc", "--"]);
    step("documentation examples", cargo.args(&args.args))?;

    if integration_tests(&workspace.root)?
        .iter()
        .any(|name| name.starts_with(LIVE))
    {
        let mut cargo = workspace.cargo("test");
        cargo.args(["--no-fail-fast", "--test", &format!("{LIVE}*"), "--"]);
        // Skips and their reasons have to be seen. One at a time: each wants a CPU to itself.
        for (flag, spellings) in [
            ("--nocapture", &["--nocapture", "--no-capture"][..]),
            ("--test-threads=1", &["--test-threads"][..]),
        ] {
            let given = |arg: &OsString| {
                let arg = arg.to_string_lossy();
                spellings.iter().any(|spelling| arg.starts_with(spelling))
            };
            if !args.args.iter().any(given) {
                cargo.arg(flag);
            }
        }
        if !command::is_root() {
            cargo.env(runner_variable()?, "sudo -E");
        }
        step("live kernel tests", cargo.args(&args.args))?;
    }

    // Only with everything: part of the tests' names was not asked for.
    if args.args.is_empty() {
        if bench::quick_accuracy()? {
            println!("bench: 1 passed, 0 failed");
        } else {
            println!("bench: 0 passed, 1 failed");
            failed.push("bench accuracy --quick");
        }
        if vm::quick_matrix()? {
            println!("vm: 1 passed, 0 failed");
        } else {
            println!("vm: 0 passed, 1 failed");
            failed.push("vm matrix");
        }
    }

    if failed.is_empty() {
        eprintln!("test: all passed");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("test: FAILED: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// Names of the test programs of the crates that have some, sorted.
fn integration_tests(root: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for dir in ["tests/tests", "kernoracle-daemon/tests"] {
        let dir = root.join(dir);
        for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "rs")
                && let Some(name) = path.file_stem()
            {
                names.push(name.to_string_lossy().into_owned());
            }
        }
    }
    names.sort();
    Ok(names)
}

/// The variable by which cargo is told to start test programs through another program.
fn runner_variable() -> Result<String> {
    let version = command::ask("rustc", &["-vV"]).context("rustc -vV failed")?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc -vV: no host")?;
    Ok(format!(
        "CARGO_TARGET_{}_RUNNER",
        host.to_uppercase().replace('-', "_")
    ))
}
