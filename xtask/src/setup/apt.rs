//! Debian packages: installed only when something is missing, never removing anything.

use std::path::Path;

use anyhow::{Result, bail};

use crate::command;

/// `Lock::Timeout`: on a machine just booted, unattended-upgrades often holds the lock. Downgrades: where a version is named.
const INSTALL: [&str; 8] = [
    "-o",
    "DPkg::Lock::Timeout=300",
    "install",
    "--yes",
    "--no-install-recommends",
    "--no-remove",
    "--allow-downgrades",
    "--",
];

#[derive(Default)]
pub struct Apt {
    /// The package lists were fetched by this process.
    updated: bool,
}

/// Whether a package's postinst may start what it installs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Services {
    None,
    /// These systemd units are neither started now nor at the next boot.
    KeepStopped(&'static [&'static str]),
}

impl Apt {
    /// Version that `package` would be installed in; the lists are fetched once if it is not in them.
    /// `None` also where there is no apt.
    pub fn candidate(&mut self, package: &str) -> Result<Option<String>> {
        if which::which("apt-get").is_err() {
            return Ok(None);
        }
        if let Some(version) = policy(package) {
            return Ok(Some(version));
        }
        if !self.updated {
            self.update()?;
        }
        Ok(policy(package))
    }

    /// Packages whose names begin with `prefix`, a line each; the lists are fetched once if they hold none.
    pub fn names(&mut self, prefix: &str) -> Result<String> {
        if which::which("apt-get").is_err() {
            bail!("there is no apt here: Debian is needed");
        }
        let ask = || command::ask("apt-cache", &["pkgnames", prefix]).unwrap_or_default();
        let names = ask();
        if !names.is_empty() || self.updated {
            return Ok(names);
        }
        self.update()?;
        Ok(ask())
    }

    /// Installs `packages`, of which `purpose` says what they are for: names, or `name=version`.
    pub fn install(&mut self, packages: &[&str], services: Services, purpose: &str) -> Result<()> {
        let list = packages.join(" ");
        if which::which("apt-get").is_err() {
            bail!(
                "{purpose}: not found, and there is no apt here: install what Debian calls {list}"
            );
        }
        for package in packages {
            let package = package.split('=').next().unwrap_or(package);
            if self.candidate(package)?.is_none() {
                bail!(
                    "{purpose}: apt knows no package {package}: add the repository that has it, or install it by hand"
                );
            }
        }
        super::say(purpose, format_args!("missing: installing {list}"));
        if !command::is_root() {
            super::say(purpose, "apt-get needs root: sudo may ask for a password");
        }
        let failed = match install(packages, services) {
            Ok(()) => return keep_disabled(services),
            Err(error) => error,
        };
        if self.updated {
            return Err(failed);
        }
        // Stale lists name packages that the mirror has replaced.
        super::say(
            purpose,
            format_args!("{failed}: once more with fresh lists"),
        );
        self.update()?;
        install(packages, services)?;
        keep_disabled(services)
    }

    fn update(&mut self) -> Result<()> {
        command::run(command::as_root("apt-get", &[])?.args([
            "-o",
            "DPkg::Lock::Timeout=300",
            "update",
        ]))?;
        self.updated = true;
        Ok(())
    }
}

fn install(packages: &[&str], services: Services) -> Result<()> {
    let env = [("DEBIAN_FRONTEND", "noninteractive")];
    if services == Services::None || Path::new(POLICY).exists() {
        return command::run(
            command::as_root("apt-get", &env)?
                .args(INSTALL)
                .args(packages),
        );
    }
    // invoke-rc.d asks this file before a postinst may start anything; the trap takes it away even
    // if the installation is interrupted.
    let script = format!(
        "trap 'rm -f {POLICY}' EXIT; trap 'exit 130' INT TERM; \
         printf '#!/bin/sh\\nexit 101\\n' >{POLICY}; chmod 755 {POLICY}; \
         apt-get {} {}",
        INSTALL.join(" "),
        packages.join(" ")
    );
    command::run(command::as_root("sh", &env)?.args(["-c", &script]))
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

fn keep_disabled(services: Services) -> Result<()> {
    if let Services::KeepStopped(units) = services
        && Path::new("/run/systemd/system").exists()
    {
        command::run(
            command::as_root("systemctl", &[])?
                .arg("disable")
                .args(units),
        )?;
    }
    Ok(())
}

fn policy(package: &str) -> Option<String> {
    candidate_in(&command::ask("apt-cache", &["policy", package])?)
}

fn candidate_in(policy: &str) -> Option<String> {
    let version = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_known_by_name_only_has_no_candidate() {
        let none = "rustup:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n";
        assert_eq!(candidate_in(none), None);
        assert_eq!(candidate_in(""), None);
        let some = "llvm-22-dev:\n  Installed: (none)\n  Candidate: 1:22.1.8-1~deb12u1\n";
        assert_eq!(candidate_in(some).as_deref(), Some("1:22.1.8-1~deb12u1"));
    }
}
