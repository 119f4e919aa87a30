//! `cargo xtask docs`

use std::{
    fs,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use crate::{
    build, command,
    setup::{self, Purpose},
    workspace::Workspace,
};

/// Write the man pages to docs/man
#[derive(clap::Args)]
pub struct Args {}

pub fn main(_: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    setup::ensure(&workspace, Purpose::Build)?;
    build::daemon(&workspace, false)?;
    let kernoracle = workspace.target.join("debug/kernoracle");

    // Written aside first: pages of commands that are gone must go, and a failure must leave the old.
    let aside = workspace.target.join("docs");
    if aside.exists() {
        fs::remove_dir_all(&aside).with_context(|| aside.display().to_string())?;
    }
    let man = aside.join("man");
    fs::create_dir_all(&man).with_context(|| man.display().to_string())?;
    command::run(Command::new(&kernoracle).args(["man", "--out"]).arg(&man))?;
    let to = workspace.root.join("docs/man");
    replace(&man, &to).with_context(|| to.display().to_string())?;
    eprintln!("written: {}", to.display());
    Ok(ExitCode::SUCCESS)
}

/// Makes `to` hold what `from` holds and nothing else. The target directory may be on another file
/// system, so files are copied.
fn replace(from: &Path, to: &Path) -> std::io::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
