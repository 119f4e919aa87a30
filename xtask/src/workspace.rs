//! Where the sources are, where cargo builds, and how cargo is called.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

pub struct Workspace {
    pub root: PathBuf,
    /// As cargo resolves it: `CARGO_TARGET_DIR` and configuration files have their say.
    pub target: PathBuf,
}

impl Workspace {
    pub fn find() -> Result<Self> {
        let output = Command::new("cargo")
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .stderr(Stdio::inherit())
            .output()
            .context("cargo metadata: is cargo in PATH?")?;
        ensure!(
            output.status.success(),
            "cargo metadata: {}: run it inside the kernoracle workspace",
            output.status
        );
        let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
        let path = |key: &str| {
            metadata[key]
                .as_str()
                .map(PathBuf::from)
                .with_context(|| format!("cargo metadata: no {key}"))
        };
        Ok(Self {
            root: path("workspace_root")?,
            target: path("target_directory")?,
        })
    }

    /// `cargo`, run at the root of the workspace.
    pub fn cargo(&self, subcommand: &str) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.arg(subcommand).current_dir(&self.root);
        cargo
    }
}
