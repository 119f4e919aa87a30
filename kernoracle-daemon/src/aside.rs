//! A file that appears under its name only when it is whole.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// Written beside its place, then synced and renamed; removed if that does not come to pass. `-`, and what is
/// there and no regular file (a pipe, `/dev/null`), is written in place.
#[derive(Debug)]
pub struct Aside {
    path: PathBuf,
    file: Option<NamedTempFile>,
}

impl Aside {
    pub fn new(path: &Path) -> io::Result<Self> {
        let in_place =
            path == Path::new("-") || path.metadata().is_ok_and(|metadata| !metadata.is_file());
        let file = if in_place {
            None
        } else {
            // As other files are made: the user's umask decides.
            Some(
                tempfile::Builder::new()
                    .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
                    .tempfile_in(folder(path))?,
            )
        };
        Ok(Self {
            path: path.to_path_buf(),
            file,
        })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        self.file.as_ref().map_or(&self.path, NamedTempFile::path)
    }

    /// Gives the file its name. It has to be written by now.
    pub fn publish(self) -> io::Result<()> {
        let Some(file) = self.file else {
            return Ok(());
        };
        // Another handle may have written it: what counts is the file.
        File::open(file.path())?.sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        File::open(folder(&self.path))?.sync_all()
    }
}

/// Writes a whole file.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = Aside::new(path)?;
    // Through a handle of its own: errors of the temporary file's would name that.
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(aside.path())?
        .write_all(bytes)?;
    aside.publish()
}

/// The directory that a file is in.
pub fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}
