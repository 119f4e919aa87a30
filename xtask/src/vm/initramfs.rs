//! The first root: busybox, the modules, and a script that mounts the second.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::PathBuf,
};

use anyhow::Result;

use super::{cache::Cache, cpio::Archive, kernel::Kernel, root::Root};

const INIT: &str = include_str!("guest/init");

/// Path of the archive for `kernel`.
pub fn get(cache: &Cache, kernel: &Kernel, root: &Root) -> Result<PathBuf> {
    let name = format!("initramfs-{}", kernel.release);
    let inputs = (&kernel.dir, root.busybox(), INIT);
    let dir = cache.get(&name, inputs, |dir| {
        let out = BufWriter::new(File::create(dir.join("initramfs.cpio"))?);
        let mut archive = Archive::new(out);
        for directory in ["bin", "dev", "modules", "proc", "root", "sys"] {
            archive.directory(directory)?;
        }
        archive.file("bin/busybox", &fs::read(root.busybox())?)?;
        archive.file("init", INIT.as_bytes())?;
        let mut files: Vec<PathBuf> = fs::read_dir(&kernel.dir)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        files.sort();
        for file in files {
            if file.extension().is_some_and(|it| it == "ko") {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                archive.file(&format!("modules/{name}"), &fs::read(&file)?)?;
            }
        }
        archive.finish()?;
        Ok(())
    })?;
    Ok(dir.join("initramfs.cpio"))
}
