//! Programs that building, testing and checking call.

use std::{path::Path, process::Command};

use anyhow::Result;

use super::{
    apt::{Apt, Services},
    say,
};
use crate::command;

/// zstd is C.
pub fn ensure_c_compiler(apt: &mut Apt) -> Result<()> {
    if which::which("cc").is_err() {
        apt.install(&["gcc", "libc6-dev"], Services::None, "C compiler")?;
    }
    Ok(())
}

/// A load, or the reference, that the live tests run: its command and its Debian package.
const LOADS: [(&str, &str); 5] = [
    ("perf", "linux-perf"),
    ("trace-cmd", "trace-cmd"),
    ("nginx", "nginx-light"),
    ("ab", "apache2-utils"),
    ("hackbench", "rt-tests"),
];

pub fn ensure_loads(apt: &mut Apt) -> Result<()> {
    let missing: Vec<&str> = LOADS
        .iter()
        .filter(|(program, _)| !there(program))
        .map(|(_, package)| *package)
        .collect();
    if !missing.is_empty() {
        let services = if missing.contains(&"nginx-light") {
            say(
                "test tools",
                "nginx is not started as a service; the tests run their own",
            );
            Services::KeepStopped(&["nginx"])
        } else {
            Services::None
        };
        apt.install(&missing, services, "test tools")?;
    }
    let names: Vec<&str> = LOADS.iter().map(|(program, _)| *program).collect();
    say("test tools", names.join(", "));
    Ok(())
}

/// What reads exported tables back in the tests: it has to be another reader than the program that writes them.
const POLARS: &str = "polars==2.1.0";

/// polars in an environment of its own below `target`, so that nothing of the system's Python changes.
pub fn ensure_polars(target: &Path, apt: &mut Apt) -> Result<()> {
    let home = target.join("polars");
    let python = home.join("bin/python");
    let version = [
        "-c",
        "import polars; print('polars==' + polars.__version__)",
    ];
    let there = || {
        command::ask(&python.to_string_lossy(), &version)
            .is_some_and(|found| found.trim() == POLARS)
    };
    if !there() {
        // Debian keeps the parts of `venv` apart from Python.
        if command::ask("python3", &["-c", "import venv, ensurepip"]).is_none() {
            apt.install(&["python3-venv"], Services::None, "table reader")?;
        }
        say("table reader", format_args!("missing: installing {POLARS}"));
        command::run(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&home),
        )?;
        command::run(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--only-binary=:all:",
            POLARS,
        ]))?;
    }
    say("table reader", POLARS);
    Ok(())
}

/// Packages that start a service of their own once installed, and its unit. The bench runs its own.
const SERVICES: [(&str, &[&str]); 3] = [
    ("nginx-light", &["nginx"]),
    ("redis-server", &["redis-server"]),
    ("postgresql", &["postgresql"]),
];

/// Debian packages of the bench's loads, of which the loads' scripts keep the list. One installation each:
/// what one of them starts is kept stopped.
pub fn ensure_packages(apt: &mut Apt, packages: &[String]) -> Result<()> {
    if which::which("dpkg-query").is_err() {
        say(
            "bench loads",
            format_args!(
                "no dpkg here, not looked for: what Debian calls {}",
                packages.join(" ")
            ),
        );
        return Ok(());
    }
    for package in packages.iter().map(String::as_str) {
        if installed(package) {
            continue;
        }
        let services = SERVICES
            .iter()
            .find(|(with_service, _)| *with_service == package)
            .map_or(Services::None, |(_, units)| Services::KeepStopped(units));
        apt.install(&[package], services, "bench loads")?;
    }
    say("bench loads", packages.join(", "));
    Ok(())
}

/// `package=version` if it is installed in a version newer than what apt has of `sibling`, a package of the same source: then that version.
///
/// qemu-utils from backports forbids the release's emulator, and apt would have to remove it.
fn of_one_release(apt: &mut Apt, package: &str, sibling: &str) -> Result<Option<String>> {
    if !installed(package) {
        return Ok(None);
    }
    let query = ["-W", "-f", "${Version}", package];
    let (Some(have), Some(offered)) = (command::ask("dpkg-query", &query), apt.candidate(sibling)?)
    else {
        return Ok(None);
    };
    let newer = ["--compare-versions", &have, "gt", &offered];
    if command::ask("dpkg", &newer).is_none() {
        return Ok(None);
    }
    say(
        sibling,
        format_args!("of another release than {package} {have}: that becomes {offered}"),
    );
    Ok(Some(format!("{package}={offered}")))
}

fn installed(package: &str) -> bool {
    let query = ["-W", "-f", "${db:Status-Status}", package];
    command::ask("dpkg-query", &query).is_some_and(|status| status == "installed")
}

/// What boots a virtual machine or makes its disks: its command and its Debian package.
const VM: [(&str, &str); 6] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("mmdebstrap", "mmdebstrap"),
    ("genext2fs", "genext2fs"),
    ("mke2fs", "e2fsprogs"),
    ("xz", "xz-utils"),
    ("strip", "binutils"),
];

pub fn ensure_vm(apt: &mut Apt) -> Result<()> {
    let mut missing: Vec<&str> = VM
        .iter()
        .filter(|(program, _)| !there(program))
        .map(|(_, package)| *package)
        .collect();
    // Without root, the guest's files get their owners in a name space of users.
    if !command::is_root() && !there("newuidmap") {
        missing.push("uidmap");
    }
    let utils = if missing.contains(&"qemu-system-x86") {
        of_one_release(apt, "qemu-utils", "qemu-system-x86")?
    } else {
        None
    };
    missing.extend(utils.as_deref());
    if !missing.is_empty() {
        apt.install(&missing, Services::None, "vm tools")?;
    }
    let names: Vec<&str> = VM.iter().map(|(program, _)| *program).collect();
    say("vm tools", names.join(", "));
    Ok(())
}

/// A person's PATH often leaves out where daemons are installed.
fn there(program: &str) -> bool {
    which::which(program).is_ok() || which::which_in(program, Some("/usr/sbin:/sbin"), "/").is_ok()
}

pub fn ensure_lints(apt: &mut Apt) -> Result<()> {
    for (subcommand, component, package) in [
        ("fmt", "rustfmt", "rustfmt-web"),
        ("clippy", "clippy", "rust-web-clippy"),
    ] {
        // Asked rather than searched for: rustup's proxies are in PATH with or without the component.
        if command::ask("cargo", &[subcommand, "--version"]).is_some() {
            continue;
        }
        if which::which("rustup").is_ok() {
            say(component, "missing: installing");
            command::run_within(
                Command::new("rustup").args(["component", "add", component]),
                super::RUSTUP_LIMIT,
            )?;
        } else {
            apt.install(&[package], Services::None, component)?;
        }
    }
    say("lints", "rustfmt, clippy");
    Ok(())
}
