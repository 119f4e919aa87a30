//! `cargo xtask check`

use std::{env, process::Command, process::ExitCode};

use anyhow::Result;

use crate::{
    command,
    setup::{self, Purpose},
    toolchain::Toolchain,
    workspace::Workspace,
};

/// Set up what is missing; check format and lints, those of the eBPF programs included
#[derive(clap::Args)]
pub struct Args {}

pub fn main(_: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let toolchain = setup::ensure(&workspace, Purpose::Check)?;

    let mut fmt = workspace.cargo("fmt");
    fmt.args(["--all", "--check"]);
    let mut clippy = workspace.cargo("clippy");
    clippy.args(["--all-targets", "--locked", "--", "-D", "warnings"]);
    let mut ebpf = ebpf(&workspace, &toolchain);

    let mut failed = Vec::new();
    for (what, step) in [
        ("format", &mut fmt),
        ("lints", &mut clippy),
        ("lints of the eBPF programs", &mut ebpf),
    ] {
        if !command::status(step)?.success() {
            failed.push(what);
        }
    }
    if failed.is_empty() {
        eprintln!("check: all passed");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("check: FAILED: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// Clippy of the eBPF compiler's own version where it is installed, else the compiler's lints alone.
fn ebpf(workspace: &Workspace, toolchain: &Toolchain) -> Command {
    let clippy = toolchain.rustc.with_file_name("cargo-clippy");
    let mut step = if clippy.is_file() {
        let mut step = Command::new(clippy);
        step.arg("clippy").env("CARGO", &toolchain.cargo);
        step
    } else {
        let mut step = Command::new(&toolchain.cargo);
        step.arg("rustc");
        step
    };
    let target = if cfg!(target_endian = "big") {
        "bpfeb-unknown-none"
    } else {
        "bpfel-unknown-none"
    };
    step.current_dir(&workspace.root)
        .args(["--release", "--locked", "--package", "kernoracle-ebpf"])
        .args(["--bin", "kernoracle-ebpf", "--target", target])
        .args(["-Z", "build-std=core", "--target-dir"])
        .arg(workspace.target.join("check-ebpf"))
        .args(["--", "-D", "warnings"])
        .env("RUSTC", &toolchain.rustc)
        .env(
            "RUSTFLAGS",
            format!(
                "--cfg=bpf_target_arch=\"{}\" -Ctarget-cpu=v3 -Clinker={}",
                env::consts::ARCH,
                toolchain.linker.display()
            ),
        )
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        // rustup's choice for the workspace is not the one for this compiler.
        .env_remove("RUSTUP_TOOLCHAIN");
    if toolchain.bootstrap {
        step.env("RUSTC_BOOTSTRAP", "1");
    }
    step
}
