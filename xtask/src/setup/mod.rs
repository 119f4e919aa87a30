//! `cargo xtask setup`: finds out what is missing, installs it, says what it found and what it did.
//!
//! Runs at the start of `build`, `run`, `test` and `check` too. When nothing is missing it changes
//! nothing and needs no root.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use clap::ValueEnum;

use crate::{
    toolchain::{Choice, Toolchain},
    workspace::Workspace,
};

mod apt;
mod ebpf;
mod linker;
mod tools;

/// rustup retries for minutes when its server cannot be reached.
const RUSTUP_LIMIT: Duration = Duration::from_secs(90);

/// What the set-up is for: building needs less than testing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Build,
    Test,
    Check,
    All,
}

/// Install what is missing to build and test, and say what is there
#[derive(clap::Args)]
pub struct Args {
    /// Compiler for the eBPF target. Kept for later builds; `auto` takes the choice back
    #[arg(long, value_enum)]
    toolchain: Option<Wanted>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Wanted {
    /// The best that is there or can be had
    Auto,
    /// One that rustup manages
    Rustup,
    /// Debian's package rustc-web
    Debian,
}

impl From<Wanted> for Choice {
    fn from(wanted: Wanted) -> Self {
        match wanted {
            Wanted::Auto => Self::Auto,
            Wanted::Rustup => Self::Rustup,
            Wanted::Debian => Self::Debian,
        }
    }
}

pub fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let Some(wanted) = args.toolchain else {
        ensure(&workspace, Purpose::All)?;
        return Ok(ExitCode::SUCCESS);
    };
    // A choice that cannot be had must not spoil later builds.
    let former = Choice::read(&workspace.target).unwrap_or_default();
    ebpf::choose(&workspace.target, wanted.into())?;
    if let Err(error) = ensure(&workspace, Purpose::All) {
        ebpf::choose(&workspace.target, former)?;
        return Err(error);
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything that `purpose` needs is there when this returns.
pub fn ensure(workspace: &Workspace, purpose: Purpose) -> Result<Toolchain> {
    let mut apt = apt::Apt::default();
    tools::ensure_c_compiler(&mut apt)?;
    let toolchain = ebpf::ensure(&workspace.target, &mut apt)?;
    if matches!(purpose, Purpose::Test | Purpose::All) {
        tools::ensure_loads(&mut apt)?;
        tools::ensure_polars(&workspace.target, &mut apt)?;
    }
    if matches!(purpose, Purpose::Check | Purpose::All) {
        tools::ensure_lints(&mut apt)?;
    }
    Ok(toolchain)
}

/// Everything to build, and the packages of the bench's loads.
pub fn ensure_bench(workspace: &Workspace, packages: &[String]) -> Result<()> {
    ensure(workspace, Purpose::Build)?;
    if packages.is_empty() {
        return Ok(());
    }
    tools::ensure_packages(&mut apt::Apt::default(), packages)
}

/// One line about one piece.
fn say(piece: &str, what: impl std::fmt::Display) {
    eprintln!("set-up: {piece:<12} {what}");
}
