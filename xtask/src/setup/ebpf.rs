//! The compiler and linker for the eBPF target.
//!
//! In this order, the first that can be linked wins:
//! 1. a compiler that has `core`'s source already;
//! 2. `rust-src` for a nightly that rustup has here, else for the compiler in use: a few megabytes;
//! 3. a nightly from rustup. Its LLVM is known only once it is there, and is never older than that of
//!    the compiler in use, so this is tried only where that one's is too old, or none is rustup's;
//! 4. Debian's rustc-web and rust-web-src.

use std::{fs, path::Path, process::Command, time::Instant};

use anyhow::{Context as _, Result, bail};

use super::{
    RUSTUP_LIMIT,
    apt::{Apt, Services},
    linker, say,
};
use crate::{
    command,
    toolchain::{self, Choice, Compiler, Missing, Toolchain},
};

/// Keeps `choice` for this and later builds.
pub fn choose(target: &Path, choice: Choice) -> Result<()> {
    let file = target.join(Choice::FILE);
    if choice == Choice::Auto {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| file.display().to_string());
            }
            _ => return Ok(()),
        }
    }
    fs::create_dir_all(target.join("bpf-linker"))
        .and_then(|()| fs::write(&file, format!("{}\n", choice.word())))
        .with_context(|| file.display().to_string())?;
    say(
        "choice",
        format_args!("{} (kept in {})", choice.word(), file.display()),
    );
    Ok(())
}

pub fn ensure(target: &Path, apt: &mut Apt) -> Result<Toolchain> {
    let toolchain = match toolchain::detect(target) {
        Ok(toolchain) => toolchain,
        Err(missing @ Missing::Choice(..)) => return Err(missing.into()),
        Err(_) => {
            let compiler = compiler(target, Choice::read(target)?, apt)?;
            linker::ensure(target, compiler.llvm_major, apt)?;
            toolchain::detect(target)?
        }
    };
    say(
        "eBPF rustc",
        format_args!("{}, LLVM {}", toolchain.origin, toolchain.llvm_major),
    );
    say("bpf-linker", toolchain.linker.display());
    Ok(toolchain)
}

/// A compiler with source that can be linked, installed if need be.
fn compiler(target: &Path, choice: Choice, apt: &mut Apt) -> Result<Compiler> {
    if let Some(compiler) = linkable(target, choice, true, apt)?.into_iter().next() {
        return Ok(compiler);
    }
    let mut tried = Vec::new();
    if choice != Choice::Debian {
        match from_rustup(target, apt) {
            Ok(compiler) => return Ok(compiler),
            Err(error) => {
                say("eBPF rustc", format_args!("not from rustup: {error:#}"));
                tried.push(format!("rustup: {error:#}"));
            }
        }
    }
    if choice != Choice::Rustup {
        match from_debian(target, apt) {
            Ok(compiler) => return Ok(compiler),
            Err(error) => tried.push(format!("Debian: {error:#}")),
        }
    }
    bail!(
        "no compiler for the eBPF target could be had ({}): install rust-src beside a rustc, \
         and the development files of its LLVM",
        tried.join("; ")
    );
}

/// The compilers, with `core`'s source or without, for which a linker is there or can be built.
fn linkable(target: &Path, choice: Choice, has_src: bool, apt: &mut Apt) -> Result<Vec<Compiler>> {
    let mut fit = Vec::new();
    for compiler in toolchain::compilers() {
        if choice.admits(&compiler)
            && compiler.has_src == has_src
            && (toolchain::linker_in(target, compiler.llvm_major).is_some()
                || linker::llvm_for(compiler.llvm_major, apt)?.is_some())
        {
            fit.push(compiler);
        }
    }
    Ok(fit)
}

fn from_rustup(target: &Path, apt: &mut Apt) -> Result<Compiler> {
    which::which("rustup").context("it is not installed")?;
    let without_src = linkable(target, Choice::Rustup, false, apt)?;
    let managed: Vec<String> = without_src.iter().filter_map(rustup_name).collect();
    let deadline = Instant::now() + RUSTUP_LIMIT;
    if managed.is_empty() {
        worth_a_nightly(apt)?;
    }
    say("eBPF rustc", "no rust-src: asking rustup for it");
    if managed.is_empty() {
        rustup(
            &["toolchain", "install", "nightly"],
            &["--profile", "minimal", "--component", "rust-src"],
            deadline,
        )?;
    }
    let mut failed = None;
    for name in &managed {
        let add = ["component", "add", "rust-src"];
        match rustup(&add, &["--toolchain", name], deadline) {
            Ok(()) => {
                failed = None;
                break;
            }
            Err(error) => failed = Some(error),
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    linkable(target, Choice::Rustup, true, apt)?
        .into_iter()
        .next()
        .context("the LLVM of its compilers has no development files here, nor has apt")
}

/// A nightly's LLVM is at least that of rustup's compilers here: is there one as new to link with?
fn worth_a_nightly(apt: &mut Apt) -> Result<()> {
    let present = toolchain::compilers()
        .into_iter()
        .filter(|compiler| rustup_name(compiler).is_some())
        .map(|compiler| compiler.llvm_major)
        .max()
        .unwrap_or_default();
    linker::llvm_for(present, apt)?
        .with_context(|| linker::no_llvm(present))
        .map(drop)
}

fn rustup(what: &[&str], how: &[&str], deadline: Instant) -> Result<()> {
    command::run_within(
        Command::new("rustup").args(what).args(how),
        deadline.saturating_duration_since(Instant::now()),
    )
}

/// Name of the tool chain whose compiler this is: `…/toolchains/NAME/bin/rustc`.
fn rustup_name(compiler: &Compiler) -> Option<String> {
    let dir = compiler.rustc.parent()?.parent()?;
    let managed = dir.parent()?.file_name()? == "toolchains";
    managed.then(|| dir.file_name()?.to_str().map(str::to_owned))?
}

fn from_debian(target: &Path, apt: &mut Apt) -> Result<Compiler> {
    let wanted = env!("CARGO_PKG_RUST_VERSION");
    let offered = apt
        .candidate("rustc-web")?
        .context("no package rustc-web here")?;
    if minor(&offered) < minor(wanted) {
        bail!(
            "rustc-web is {offered}, and {wanted} is needed: is the security repository enabled?"
        );
    }
    apt.install(&["rustc-web", "rust-web-src"], Services::None, "eBPF rustc")?;
    linkable(target, Choice::Debian, true, apt)?
        .into_iter()
        .next()
        .context("rustc-web is installed, but of its LLVM there are no development files")
}

/// `y` of a version `x.y`, whatever follows.
fn minor(version: &str) -> Option<u32> {
    version.split('.').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_rustup_tool_chain_is_read_off_its_path() {
        let at = |rustc: &str| Compiler {
            rustc: rustc.into(),
            cargo: "cargo".into(),
            llvm_major: 22,
            has_src: false,
            bootstrap: false,
            origin: String::new(),
        };
        let name = |rustc| rustup_name(&at(rustc));
        assert_eq!(
            name("/h/.rustup/toolchains/stable-x/bin/rustc").as_deref(),
            Some("stable-x")
        );
        assert_eq!(name("/usr/bin/rustc"), None);
    }

    #[test]
    fn a_choice_is_kept_and_taken_back() {
        let dir = std::env::temp_dir().join(format!("xtask-choice-{}", std::process::id()));
        choose(&dir, Choice::Debian).unwrap();
        assert_eq!(Choice::read(&dir), Ok(Choice::Debian));
        choose(&dir, Choice::Auto).unwrap();
        choose(&dir, Choice::Auto).unwrap();
        assert_eq!(Choice::read(&dir), Ok(Choice::Auto));
        fs::write(dir.join(Choice::FILE), "gentoo").unwrap();
        assert!(matches!(Choice::read(&dir), Err(Missing::Choice(..))));
        fs::remove_dir_all(&dir).unwrap();
    }
}
