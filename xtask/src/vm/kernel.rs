//! Debian's kernels: which there are, and one of them unpacked, not installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    cache::{Cache, remove},
    modules,
};
use crate::{command, setup};

const PACKAGE: &str = "linux-image-";

/// Unpacked.
pub struct Kernel {
    /// `6.1.0-56-cloud-amd64`.
    pub release: String,
    /// With `vmlinuz` and the modules `NN-NAME.ko`, in the order in which they have to be loaded.
    pub dir: PathBuf,
}

impl Kernel {
    pub fn image(&self) -> PathBuf {
        self.dir.join("vmlinuz")
    }

    /// The newest that fits `wanted`: a series (`6.1`), the beginning of a release (`6.12.117`), or a whole one. A series
    /// means the cloud flavour, which is small and made for virtual machines.
    pub fn get(cache: &Cache, wanted: &str) -> Result<Self> {
        let offered = offered()?;
        let Some(release) = choose(&offered, wanted) else {
            bail!(
                "--kernel {wanted}: apt offers no such kernel here; `cargo xtask vm kernels` lists those that it does, docs/vm.md says how to add others"
            );
        };
        let package = format!("{PACKAGE}{release}");
        let version = setup::candidate(&package)?
            .with_context(|| format!("{package}: apt has no candidate"))?;
        let inputs = (&package, &version, modules::WANTED);
        let dir = cache.get(&format!("kernel-{release}"), inputs, |dir| {
            unpack(&package, dir)
        })?;
        Ok(Self {
            release: release.to_owned(),
            dir,
        })
    }
}

/// Releases that apt offers for this architecture, oldest first.
pub fn offered() -> Result<Vec<String>> {
    let mut releases = listed(&setup::package_names(PACKAGE)?);
    ensure!(
        !releases.is_empty(),
        "apt knows no kernel packages (linux-image-6…-amd64): are Debian's repositories among its sources?"
    );
    releases.sort_by_key(|release| numbers(release));
    Ok(releases)
}

/// Of each series among `offered`, and of its real-time flavour, the name that [`Kernel::get`] takes; oldest first.
pub fn series(offered: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    for release in offered {
        let mut parts = release.split('.');
        let (Some(major), Some(minor)) = (parts.next(), parts.next()) else {
            continue;
        };
        let series = format!("{major}.{minor}");
        let real_time = format!("{series}-rt");
        for name in [series, real_time] {
            if !all.contains(&name) && choose(offered, &name).is_some() {
                all.push(name);
            }
        }
    }
    all
}

fn listed(names: &str) -> Vec<String> {
    names
        .lines()
        .filter_map(|name| name.strip_prefix(PACKAGE))
        .filter(|release| {
            release.ends_with("-amd64")
                && release.split('.').count() > 2
                && release.starts_with(|first: char| first.is_ascii_digit())
        })
        .map(str::to_owned)
        .collect()
}

fn choose<'a>(offered: &'a [String], wanted: &str) -> Option<&'a String> {
    let fits = |release: &&String| {
        *release == wanted
            || release
                .strip_prefix(wanted)
                .is_some_and(|rest| rest.starts_with(['.', '-', '+']))
    };
    let newest = |flavour: &str| {
        let suffix = format!("{flavour}-amd64");
        let (plain, named) = (flavour.is_empty(), ["-cloud-amd64", "-rt-amd64"]);
        offered.iter().filter(fits).rfind(|release| {
            release.ends_with(&suffix)
                && !(plain && named.iter().any(|other| release.ends_with(other)))
        })
    };
    if let Some(series) = wanted.strip_suffix("-rt") {
        let fits = |release: &&String| release.starts_with(&format!("{series}."));
        return offered
            .iter()
            .filter(fits)
            .rfind(|release| release.ends_with("-rt-amd64"));
    }
    offered
        .iter()
        .find(|release| *release == wanted)
        .or_else(|| newest("-cloud"))
        .or_else(|| newest(""))
        .or_else(|| newest("-rt"))
}

/// In the order of their value, as versions are compared.
fn numbers(release: &str) -> Vec<u64> {
    release
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

fn unpack(package: &str, dir: &Path) -> Result<()> {
    let mut download = Command::new("apt-get");
    if command::is_root() {
        // Its user may not write here.
        download.args(["-o", "APT::Sandbox::User=root"]);
    }
    command::run(download.args(["download", package]).current_dir(dir))?;
    let deb = only_file(dir, "deb")?;
    let tree = dir.join("tree");
    command::run(
        Command::new("dpkg-deb")
            .arg("--extract")
            .arg(&deb)
            .arg(&tree),
    )?;
    let boot = tree.join("boot");
    let image = fs::read_dir(&boot)
        .with_context(|| boot.display().to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
        })
        .with_context(|| format!("{package}: no vmlinuz"))?;
    fs::rename(image, dir.join("vmlinuz"))?;
    // Merged /usr or not.
    let roots = ["lib/modules", "usr/lib/modules"].map(|path| tree.join(path));
    let root = roots
        .iter()
        .find(|path| path.is_dir())
        .with_context(|| format!("{package}: no modules"))?;
    for (i, (name, contents)) in modules::in_order(root)?.iter().enumerate() {
        fs::write(dir.join(format!("{i:02}-{name}.ko")), contents)?;
    }
    remove(&tree)?;
    remove(&deb)
}

fn only_file(dir: &Path, extension: &str) -> Result<PathBuf> {
    fs::read_dir(dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|it| it == extension))
        .with_context(|| format!("{}: no .{extension}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &str = "linux-image-6.1.0-9-cloud-amd64\nlinux-image-6.1.0-56-cloud-amd64\n\
        linux-image-6.1.0-56-amd64\nlinux-image-6.1.0-56-rt-amd64\nlinux-image-6.1.0-57-cloud-amd64-dbg\n\
        linux-image-6.1.0-58-cloud-amd64-unsigned\nlinux-image-6.12.117+deb12-cloud-amd64\n\
        linux-image-6.12-cloud-amd64\nlinux-image-amd64\n";

    fn chosen(wanted: &str) -> Option<String> {
        let mut offered = listed(NAMES);
        offered.sort_by_key(|release| numbers(release));
        choose(&offered, wanted).cloned()
    }

    #[test]
    fn a_series_means_its_newest_cloud_kernel() {
        let is = |wanted: &str, release: &str| assert_eq!(chosen(wanted).as_deref(), Some(release));
        is("6.1", "6.1.0-56-cloud-amd64");
        is("6.12", "6.12.117+deb12-cloud-amd64");
        is("6.12.117", "6.12.117+deb12-cloud-amd64");
        is("6.1.0-9", "6.1.0-9-cloud-amd64");
        is("6.1-rt", "6.1.0-56-rt-amd64");
        is("6.1.0-56-amd64", "6.1.0-56-amd64");
        assert_eq!(chosen("6"), Some("6.12.117+deb12-cloud-amd64".to_owned()));
        assert_eq!(chosen("5.10"), None);
    }

    #[test]
    fn each_series_and_its_real_time_flavour_is_named_once() {
        let mut offered = listed(NAMES);
        offered.sort_by_key(|release| numbers(release));
        assert_eq!(series(&offered), ["6.1", "6.1-rt", "6.12"]);
    }
}
