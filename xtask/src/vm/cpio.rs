//! The archive that the kernel unpacks as its first root: cpio, format `newc`
//! (kernel: `Documentation/driver-api/early-userspace/buffer-format.rst`).

use std::{
    fmt::Write as _,
    io::{self, Write},
};

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// Writes entries; [`Archive::finish`] ends it.
pub struct Archive<W> {
    out: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    pub fn new(out: W) -> Self {
        Self { out, entries: 0 }
    }

    pub fn directory(&mut self, name: &str) -> io::Result<()> {
        self.entry(name, DIRECTORY, &[])
    }

    /// A file that everybody may read and run.
    pub fn file(&mut self, name: &str, contents: &[u8]) -> io::Result<()> {
        self.entry(name, PROGRAM, contents)
    }

    pub fn finish(mut self) -> io::Result<()> {
        self.entry("TRAILER!!!", 0, &[])?;
        self.out.flush()
    }

    fn entry(&mut self, name: &str, mode: u32, contents: &[u8]) -> io::Result<()> {
        self.entries += 1;
        let size = u32::try_from(contents.len()).map_err(io::Error::other)?;
        let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        // Inode, mode, owner, group, links, time, size, device and special device (major, minor), size of the name, checksum.
        let head = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            0,
            0,
            name_size,
            0,
        ];
        let head = head.iter().fold(String::from("070701"), |mut text, field| {
            // A String takes whatever is written.
            let _ = write!(text, "{field:08X}");
            text
        });
        self.padded(&[head.as_bytes(), name.as_bytes(), &[0]])?;
        self.padded(&[contents])
    }

    /// To a multiple of four bytes.
    fn padded(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut len = 0;
        for part in parts {
            self.out.write_all(part)?;
            len += part.len();
        }
        self.out.write_all(&[0; 3][..len.next_multiple_of(4) - len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_laid_out_as_the_kernel_reads_it() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.file("init", b"#!/bin/sh").unwrap();
        archive.finish().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let first = "070701\
            00000001000081ED000000000000000000000001000000000000000900000000000000000000000000000000\
            0000000500000000init\0\0#!/bin/sh\0\0\0";
        assert_eq!(&text[..first.len()], first);
        assert!(text[first.len()..].contains("TRAILER!!!\0"));
        assert_eq!(text.len() % 4, 0);
    }
}
