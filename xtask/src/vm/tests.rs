//! The live tests' programs, taken into the guest.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::share::Share;
use crate::{build, command, test, workspace::Workspace};

/// Builds them, puts those that are `wanted` (all if none is named) beside each other as cargo does, so that they find the
/// binary; their names.
pub fn put(share: &Share, workspace: &Workspace, wanted: &[String]) -> Result<Vec<String>> {
    build::for_tests(workspace)?;
    let programs = programs(workspace)?;
    share.program(&workspace.target.join("debug/kernoracle"), "bin/kernoracle")?;
    let mut names = Vec::new();
    for program in programs {
        let name = name(&program).with_context(|| program.display().to_string())?;
        if wanted.is_empty() || wanted.contains(&name) {
            share.program(&program, &format!("bin/deps/{name}"))?;
            names.push(name);
        }
    }
    for name in wanted {
        ensure!(
            names.contains(name),
            "--tests {name}: there is no such program"
        );
    }
    names.sort();
    Ok(names)
}

fn programs(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let mut cargo = workspace.cargo("test");
    cargo
        .args(["--no-run", "--test", &format!("{}*", test::LIVE)])
        .args(["--message-format", "json"]);
    let output = command::output(&mut cargo)?;
    ensure!(
        output.status.success(),
        "cargo test --no-run: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let found: Vec<PathBuf> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .collect();
    ensure!(!found.is_empty(), "cargo names no live test");
    Ok(found)
}

/// `live_cli` of `…/live_cli-b07100986bdce5ae`.
fn name(program: &Path) -> Option<String> {
    let (name, _) = program.file_name()?.to_str()?.rsplit_once('-')?;
    Some(name.to_owned())
}
