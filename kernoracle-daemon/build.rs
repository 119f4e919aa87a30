//! Builds the eBPF programs, which the library embeds: the binary runs from anywhere, alone.
//!
//! They are for another target, with another compiler and linker, so a second cargo builds them, with
//! a target directory of its own under `OUT_DIR` (the outer cargo holds the lock of the other one).

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};
use toolchain::Toolchain;

#[path = "../kernoracle-ebpf/toolchain.rs"]
mod toolchain;

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let manifest_dir = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let workspace = manifest_dir
        .parent()
        .ok_or("the crate is not inside its workspace")?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    for input in [
        "kernoracle-ebpf",
        "kernoracle-common",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo:rerun-if-changed={}", workspace.join(input).display());
    }
    println!("cargo:rerun-if-env-changed=PATH");

    let target_dir = target_dir(&out_dir, workspace);
    // A linker that set-up has built since the last, failed, run must be seen, and a choice of compiler.
    println!(
        "cargo:rerun-if-changed={}",
        target_dir.join("bpf-linker").display()
    );
    let toolchain = toolchain::detect(&target_dir)?;

    let target = match env::var("CARGO_CFG_TARGET_ENDIAN")?.as_str() {
        "big" => "bpfeb-unknown-none",
        _ => "bpfel-unknown-none",
    };
    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    let nested = out_dir.join("ebpf");
    let status = cargo(&toolchain, workspace, target, &arch, &nested).status()?;
    if !status.success() {
        let Toolchain {
            linker,
            llvm_major,
            origin,
            ..
        } = toolchain;
        let linker = linker.display();
        return Err(format!(
            "the eBPF programs do not build with {origin}, LLVM {llvm_major}, {linker} ({status})"
        )
        .into());
    }
    let built = nested.join(target).join("release/kernoracle-ebpf");
    fs::copy(&built, out_dir.join("kernoracle.bpf.o"))?;
    Ok(())
}

fn cargo(
    toolchain: &Toolchain,
    workspace: &Path,
    target: &str,
    arch: &str,
    target_dir: &Path,
) -> Command {
    // aya-ebpf knows RISC-V by one name.
    let arch = if arch.starts_with("riscv64") {
        "riscv64"
    } else {
        arch
    };
    let rustflags = [
        format!("--cfg=bpf_target_arch=\"{arch}\""),
        "-Cdebuginfo=2".to_owned(),
        // Atomic operations that return the old value came with v3 (Linux 5.12).
        "-Ctarget-cpu=v3".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        format!("-Clinker={}", toolchain.linker.display()),
    ];
    let mut command = Command::new(&toolchain.cargo);
    command.args([
        "build",
        "--release",
        "--package",
        "kernoracle-ebpf",
        "--bins",
        "--locked",
    ]);
    command.args(["-Z", "build-std=core", "--target", target]);
    command
        .arg("--manifest-path")
        .arg(workspace.join("Cargo.toml"));
    command.arg("--target-dir").arg(target_dir);
    // What the outer cargo, clippy and rustup set is meant for the outer build.
    for (key, _) in env::vars_os() {
        let leaks = key.to_str().is_some_and(|key| {
            const NAMES: [&str; 6] = [
                "RUSTC",
                "RUSTDOC",
                "RUSTFLAGS",
                "RUSTUP_TOOLCHAIN",
                "MAKEFLAGS",
                "MFLAGS",
            ];
            const PREFIXES: [&str; 11] = [
                "RUSTC_",
                "CLIPPY_",
                "CARGO_BUILD_",
                "CARGO_CFG_",
                "CARGO_ENCODED_",
                "CARGO_FEATURE_",
                "CARGO_MAKEFLAGS",
                "CARGO_PKG_",
                "CARGO_PROFILE_",
                "CARGO_TARGET_",
                "CARGO_UNSTABLE_",
            ];
            NAMES.contains(&key) || PREFIXES.iter().any(|prefix| key.starts_with(prefix))
        });
        if leaks {
            command.env_remove(&key);
        }
    }
    command.env("RUSTC", &toolchain.rustc);
    if toolchain.bootstrap {
        command.env("RUSTC_BOOTSTRAP", "1");
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", rustflags.join("\u{1f}"));
    // bpf-linker optimises the whole program by itself.
    command.env("CARGO_PROFILE_RELEASE_LTO", "false");
    command
}

/// The directory that set-up has put bpf-linker into: the outer cargo's target directory.
fn target_dir(out_dir: &Path, workspace: &Path) -> PathBuf {
    out_dir
        .ancestors()
        .find(|dir| dir.join("bpf-linker/bin/bpf-linker").is_file())
        .map_or_else(|| workspace.join("target"), Path::to_owned)
}
