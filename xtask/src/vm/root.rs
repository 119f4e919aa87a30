//! The guest's root file system: Debian packages of the release that this machine runs, unpacked into an image that no
//! run changes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::cache::Cache;
use crate::command;

/// Loads, tools to compare with, and what the scripts in the guest call.
const PACKAGES: [&str; 9] = [
    "apache2-utils",
    "busybox-static",
    "linux-perf",
    "nginx-light",
    "procps",
    "rt-tests",
    "stress-ng",
    "sysbench",
    "trace-cmd",
];

/// Not needed to run anything.
const LEFT_OUT: [&str; 4] = [
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/usr/share/info/*",
];

/// 4 KiB blocks of the image, as sparse as they are empty: 4 GiB.
const BLOCKS: &str = "1048576";

const SOURCES: [&str; 3] = [
    "/etc/apt/sources.list.d/debian.sources",
    "/etc/apt/sources.list",
    "/etc/apt/sources.list.d/debian.list",
];

pub struct Root {
    dir: PathBuf,
}

impl Root {
    pub fn get(cache: &Cache) -> Result<Self> {
        let codename = codename()?;
        let sources = sources()?;
        let inputs = (
            &codename,
            fs::read_to_string(&sources)?,
            PACKAGES,
            LEFT_OUT,
            BLOCKS,
        );
        let dir = cache.get("root", inputs, |dir| make(dir, &codename, &sources))?;
        Ok(Self { dir })
    }

    /// An ext2 file system.
    pub fn image(&self) -> PathBuf {
        self.dir.join("root.ext2")
    }

    /// Linked statically: it also runs before there is a root file system.
    pub fn busybox(&self) -> PathBuf {
        self.dir.join("busybox")
    }
}

fn make(dir: &Path, codename: &str, sources: &Path) -> Result<()> {
    eprintln!("vm: making the guest's root file system, once, about two minutes");
    let tar = dir.join("root.tar");
    let mut strap = Command::new("mmdebstrap");
    strap.args(["--variant=minbase", "--include"]);
    strap.arg(PACKAGES.join(","));
    for path in LEFT_OUT {
        strap.arg(format!("--dpkgopt=path-exclude={path}"));
    }
    // What reads it sees through a disturbed terminal otherwise.
    strap.stdin(Stdio::null());
    command::run(strap.arg(codename).arg(&tar).arg(sources))?;
    let busybox = command::output(
        Command::new("tar")
            .arg("--extract")
            .arg("--to-stdout")
            .arg("--file")
            .arg(&tar)
            .arg("./usr/bin/busybox"),
    )?;
    ensure!(busybox.status.success(), "{}: no busybox", tar.display());
    fs::write(dir.join("busybox"), busybox.stdout)?;
    command::run(
        Command::new("genext2fs")
            .args(["--block-size", "4096", "--size-in-blocks", BLOCKS])
            .args(["--number-of-inodes", "65536", "--reserved-percentage", "0"])
            .args(["--allow-holes", "--tarball"])
            .arg(&tar)
            .arg(dir.join("root.ext2")),
    )?;
    fs::remove_file(&tar)?;
    Ok(())
}

/// Programs built here run there: both have to be of one release.
fn codename() -> Result<String> {
    let file = "/etc/os-release";
    let text = fs::read_to_string(file).context(file)?;
    let is = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key))
            .map(|value| value.trim_matches('"').to_owned())
    };
    ensure!(
        is("ID=").as_deref() == Some("debian"),
        "the guest is made of the packages of this machine's own release, and this is not Debian but {}",
        is("ID=").unwrap_or_default()
    );
    is("VERSION_CODENAME=").with_context(|| format!("{file}: no VERSION_CODENAME"))
}

fn sources() -> Result<PathBuf> {
    SOURCES
        .iter()
        .map(PathBuf::from)
        .find(|path| {
            fs::read_to_string(path)
                .is_ok_and(|text| text.lines().any(|line| line.contains("/debian")))
        })
        .with_context(|| format!("no Debian repository in {}", SOURCES.join(", ")))
}
