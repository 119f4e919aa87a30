//! bpf-linker: reads the bitcode that rustc writes, so its LLVM must not be older than rustc's.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{
    apt::{Apt, Services},
    say,
};
use crate::{command, toolchain};

const VERSION: &str = "0.13.0";
/// The LLVM majors that this version builds with (its features `llvm-N`).
const MAJORS: std::ops::RangeInclusive<u32> = 21..=23;

/// The oldest LLVM that reads `rustc_major`'s bitcode and of which the development files are there or
/// can be had, installed ones first.
pub fn llvm_for(rustc_major: u32, apt: &mut Apt) -> Result<Option<u32>> {
    let fit = || MAJORS.filter(|major| *major >= rustc_major);
    if let Some(major) = fit().find(|major| installed(*major)) {
        return Ok(Some(major));
    }
    for major in fit() {
        if apt.candidate(&package(major))?.is_some() {
            return Ok(Some(major));
        }
    }
    Ok(None)
}

/// A linker for a compiler of LLVM `rustc_major`, built into the target directory unless there is one.
pub fn ensure(target: &Path, rustc_major: u32, apt: &mut Apt) -> Result<()> {
    if toolchain::linker_in(target, rustc_major).is_some() {
        return Ok(());
    }
    let major = llvm_for(rustc_major, apt)?
        .with_context(|| format!("bpf-linker: {}", no_llvm(rustc_major)))?;
    if !installed(major) {
        apt.install(&[&package(major)], Services::None, "LLVM")?;
    }
    if !installed(major) {
        bail!(
            "LLVM: {} is installed, but {} holds no libLLVM.so",
            package(major),
            prefix(major).display()
        );
    }
    say(
        "bpf-linker",
        format_args!("missing: building {VERSION} with LLVM {major}, once, about a minute"),
    );
    let mut cargo = Command::new("cargo");
    cargo
        .args(["install", "bpf-linker", "--version", VERSION, "--locked"])
        // What is in the way, if anything, has been found unfit.
        .arg("--force")
        .args(["--no-default-features", "--features"])
        .arg(format!("llvm-{major}"))
        .arg("--root")
        .arg(target.join("bpf-linker"))
        .env("LLVM_PREFIX", prefix(major));
    // Settings for the workspace are not meant for a tool that runs here.
    for key in [
        "CARGO_BUILD_TARGET",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "RUSTC",
        "RUSTC_BOOTSTRAP",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTFLAGS",
    ] {
        cargo.env_remove(key);
    }
    command::run(&mut cargo)
}

/// What to say where [`llvm_for`] finds none.
pub fn no_llvm(rustc_major: u32) -> String {
    let oldest = rustc_major.max(*MAJORS.start());
    let newest = MAJORS.end();
    format!(
        "no development files of an LLVM from {oldest} to {newest}, and no apt that has them \
         (Debian calls them llvm-{oldest}-dev)"
    )
}

fn package(major: u32) -> String {
    format!("llvm-{major}-dev")
}

/// Where Debian's packages, and those of apt.llvm.org, put it.
fn prefix(major: u32) -> PathBuf {
    PathBuf::from(format!("/usr/lib/llvm-{major}"))
}

fn installed(major: u32) -> bool {
    let prefix = prefix(major);
    prefix.join("include/llvm-c").is_dir() && prefix.join("lib/libLLVM.so").exists()
}
