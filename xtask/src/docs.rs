//! `cargo xtask docs`

use std::{
    fs,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    build, command,
    setup::{self, Purpose},
    workspace::Workspace,
};

/// What `kernoracle completions` takes, and the file name that the shell looks for.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "kernoracle.bash"),
    ("fish", "kernoracle.fish"),
    ("zsh", "_kernoracle"),
];

/// Write the man pages to docs/man and the shell completions to docs/completions
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
    let completions = aside.join("completions");
    fs::create_dir_all(&completions).with_context(|| completions.display().to_string())?;
    for (shell, file) in SHELLS {
        let output = Command::new(&kernoracle)
            .args(["completions", shell])
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| kernoracle.display().to_string())?;
        ensure!(
            output.status.success(),
            "kernoracle completions {shell}: {}",
            output.status
        );
        let file = completions.join(file);
        fs::write(&file, output.stdout).with_context(|| file.display().to_string())?;
    }

    for (from, name) in [(&man, "man"), (&completions, "completions")] {
        let to = workspace.root.join("docs").join(name);
        replace(from, &to).with_context(|| to.display().to_string())?;
        eprintln!("written: {}", to.display());
    }
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
