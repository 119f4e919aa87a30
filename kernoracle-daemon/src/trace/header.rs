//! The start of a trace file: magic, version, origin.

use super::{origin::Origin, reader::ReadError, source::Source};
use std::{io, path::Path};

/// A byte that is not text, two letters, then line ends in both styles and an end-of-file: transfers that
/// mangle text mangle this too.
pub const MAGIC: [u8; 8] = *b"\x89KNO\r\n\x1a\n";
/// The format that this program writes and reads. Version 1 kept in the card whether a task has a vlag.
pub const VERSION: u32 = 2;
/// Magic, version, length of the origin.
const FIXED: usize = 16;
/// No origin is larger: a larger length is damage.
const MAX_ORIGIN: usize = 1 << 20;

/// The header's bytes; `None` if the origin is too large for one.
pub fn encode(origin: &Origin) -> Option<Vec<u8>> {
    let json = serde_json::to_vec(origin)
        .ok()
        .filter(|json| json.len() <= MAX_ORIGIN)?;
    let mut bytes = Vec::with_capacity(FIXED + json.len() + 4);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(json.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&json);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    Some(bytes)
}

/// Reads the header and moves behind it.
pub fn read(source: &mut Source, path: &Path) -> Result<Origin, ReadError> {
    let path = || path.to_path_buf();
    let io = |source: io::Error| ReadError::Io {
        path: path(),
        at: 0,
        source,
    };
    let start = source.peek(FIXED).map_err(io)?;
    if start.is_empty() {
        return Err(ReadError::Empty { path: path() });
    }
    let common = start.len().min(MAGIC.len());
    if start[..common] != MAGIC[..common] {
        return Err(ReadError::Foreign { path: path() });
    }
    let (Some(version), Some(len)) = (word(start, 8), word(start, 12)) else {
        return Err(ReadError::HeaderCut {
            path: path(),
            at: start.len() as u64,
        });
    };
    if version != VERSION {
        return Err(ReadError::Version {
            path: path(),
            found: version,
        });
    }
    let len = len as usize;
    if len > MAX_ORIGIN {
        return Err(ReadError::HeaderDamaged { path: path() });
    }
    let bytes = source.peek(FIXED + len + 4).map_err(io)?;
    let Some(sum) = word(bytes, FIXED + len) else {
        return Err(ReadError::HeaderCut {
            path: path(),
            at: bytes.len() as u64,
        });
    };
    if crc32fast::hash(&bytes[..FIXED + len]) != sum {
        return Err(ReadError::HeaderDamaged { path: path() });
    }
    let origin =
        serde_json::from_slice(&bytes[FIXED..FIXED + len]).map_err(|source| ReadError::Origin {
            path: path(),
            source,
        })?;
    source.consume(FIXED + len + 4);
    Ok(origin)
}

/// Little-endian, at this offset.
fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes
        .get(offset..)?
        .first_chunk()
        .map(|bytes| u32::from_le_bytes(*bytes))
}
