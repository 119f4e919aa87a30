//! A trace file to train on.

use super::TrainError;
use crate::runqueue::role;
use crate::trace::{TraceReader, event::Body};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Share of a recording's time that is trained on; the rest validates.
const TRAINED: f64 = 0.85;
/// Switches to the tasks of a role from which on it is one to know.
const OFTEN: u64 = 100;

/// A trace file to train on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    pub path: PathBuf,
    /// Bytes and their checksum: the same name may hold something else tomorrow.
    pub bytes: u64,
    pub crc32: u32,
    /// Where validation begins, ns.
    pub cut_ns: u64,
    /// Switches before and behind.
    pub training: u64,
    pub validation: u64,
    /// Of tasks that were switched to often: the weights come to know them by name.
    pub roles: Vec<u32>,
    /// What the file does not give back.
    #[serde(skip)]
    pub lost: Option<String>,
}

impl Recording {
    /// Reads a file once, to know how long it is.
    pub fn survey(path: &Path) -> Result<Self, TrainError> {
        let (bytes, crc32) = checksum(path).map_err(|source| TrainError::Io {
            path: path.to_owned(),
            source,
        })?;
        let mut reader = TraceReader::open(path)?;
        let mut times = Vec::new();
        let mut roles: BTreeMap<u32, u64> = BTreeMap::new();
        while let Some(event) = reader.next_event()? {
            if let Body::Switch(switch) = &event.body {
                times.push(event.ts_ns);
                *roles.entry(role(switch.next.comm)).or_default() += 1;
            }
        }
        let first = times.iter().min().copied().unwrap_or(0);
        let last = times.iter().max().copied().unwrap_or(0);
        let cut_ns = first + ((last - first) as f64 * TRAINED) as u64;
        let training = times.iter().filter(|time| **time < cut_ns).count() as u64;
        Ok(Self {
            path: path.to_owned(),
            bytes,
            crc32,
            cut_ns,
            training,
            validation: times.len() as u64 - training,
            roles: roles
                .into_iter()
                .filter_map(|(role, switches)| (switches >= OFTEN).then_some(role))
                .collect(),
            lost: reader.lost().map(ToString::to_string),
        })
    }

    /// The file's name without folder and ending.
    pub fn name(&self) -> String {
        let stem = self.path.file_stem().unwrap_or_default();
        stem.to_string_lossy().into_owned()
    }
}

fn checksum(path: &Path) -> std::io::Result<(u64, u32)> {
    let mut file = File::open(path)?;
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let len = file.read(&mut buffer)?;
        if len == 0 {
            return Ok((bytes, hasher.finalize()));
        }
        bytes += len as u64;
        hasher.update(&buffer[..len]);
    }
}
