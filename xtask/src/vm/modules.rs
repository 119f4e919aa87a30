//! Kernel modules that the guest needs before it has a root file system, and in which order.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::command;

/// Disk, the channels to the host, the file system with the checksums that it asks for by a soft dependency only, a true source
/// of random numbers. Where the kernel has one built in, there is no such file.
pub const WANTED: [&str; 6] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "crc32c_generic",
    "ext4",
    "virtio_rng",
];

/// Name and contents of [`WANTED`] among the modules below `root`, each behind those that it needs.
pub fn in_order(root: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = BTreeMap::new();
    collect(root, &mut files)?;
    ensure!(!files.is_empty(), "{}: no kernel modules", root.display());
    let mut order = Vec::new();
    for name in WANTED {
        add(name, &files, &mut order)?;
    }
    Ok(order)
}

fn collect(dir: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            collect(&path, files)?;
        } else if let Some(name) = name_of(&path) {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// As the kernel spells it, with `_`.
fn name_of(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let (name, suffix) = file.split_once('.')?;
    suffix.starts_with("ko").then(|| name.replace('-', "_"))
}

fn add(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    order: &mut Vec<(String, Vec<u8>)>,
) -> Result<()> {
    if order.iter().any(|(present, _)| present == name) {
        return Ok(());
    }
    let Some(path) = files.get(name) else {
        return Ok(());
    };
    let contents = read(path).with_context(|| path.display().to_string())?;
    for dependency in depends(&contents) {
        add(&dependency, files, order)?;
    }
    order.push((name.to_owned(), contents));
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let program = match path.extension().and_then(|it| it.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return Ok(fs::read(path)?),
    };
    let output = command::quiet_output(Command::new(program).arg("-dc").arg(path))?;
    ensure!(output.status.success(), "{program}: {}", output.status);
    Ok(output.stdout)
}

/// `depends=a,b` in the module's information. What modpost writes there is complete but for built-in ones.
fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|bytes| bytes == KEY) else {
        return Vec::new();
    };
    let list = &module[at + KEY.len()..];
    let end = list.iter().position(|byte| *byte == 0).unwrap_or(0);
    String::from_utf8_lossy(&list[..end])
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_comes_behind_those_that_it_needs() {
        let dir = tempfile::tempdir().unwrap();
        let module = |path: &str, depends: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("license=GPL\0depends={depends}\0name=x\0")).unwrap();
        };
        module("virtio/virtio_pci.ko", "virtio,virtio_ring");
        module("virtio/virtio.ko", "virtio_ring");
        module("virtio/virtio_ring.ko", "");
        module("hw/virtio-rng.ko", "virtio");
        module("net/other.ko", "");
        let names: Vec<String> = in_order(dir.path())
            .unwrap()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["virtio_ring", "virtio", "virtio_pci", "virtio_rng"]);
    }
}
