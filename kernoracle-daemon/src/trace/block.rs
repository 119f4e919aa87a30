//! Blocks: what lies between header and end of a trace file.
//!
//! ```text
//!  0        8          12       16                 24            28          32
//!  | marker | payload  | events | events in the    | checksum of | checksum  | payload ...
//!  |        | bytes    |        | blocks before it | the payload | of 0..28  |
//!
//!  | marker | events              | events that were | blocks    | checksum  | end of the file
//!  |        |                     | lost in gaps     |           | of 0..28  |
//!  0        8                     16                 24          28          32
//! ```

use super::codec::{Columns, Cursors, Malformed, Stream, pull_leb, push_leb};
use std::io;

pub const BLOCK_MARKER: [u8; 8] = *b"\xb1KNO\x00blk";
pub const END_MARKER: [u8; 8] = *b"\xb1KNO\x00end";
/// Bytes of a block's head, and of the end mark.
pub const HEAD: usize = 32;
/// Events after which a block is written. That blocks start from nothing costs 2 % at this size (nginx +
/// ab, against four times as many), and 9 % at a quarter of it.
pub const EVENTS: usize = 16 << 10;
/// No block has more events,
pub const MAX_EVENTS: u32 = 64 << 10;
/// no payload has more bytes,
pub const MAX_PAYLOAD: u32 = 64 << 20;
/// and its streams together have no more.
const MAX_STREAMS: usize = 64 << 20;
/// nginx + ab: level 6 makes files 3 % smaller and level 9 4 %, for about twice the CPU time, which the
/// recorded load pays.
const LEVEL: i32 = 3;

/// What a block's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHead {
    pub payload: u32,
    pub events: u32,
    /// Events in the blocks before it.
    pub before: u64,
    pub checksum: u32,
}

/// What the end mark says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events in the file, gaps included.
    pub events: u64,
    /// Events that the gaps stand for.
    pub lost: u64,
    /// Blocks in the file.
    pub blocks: u32,
}

/// What can follow a header or a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    Block(BlockHead),
    End(Totals),
}

impl Head {
    pub fn encode(&self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        match *self {
            Self::Block(BlockHead {
                payload,
                events,
                before,
                checksum,
            }) => {
                bytes[..8].copy_from_slice(&BLOCK_MARKER);
                bytes[8..12].copy_from_slice(&payload.to_le_bytes());
                bytes[12..16].copy_from_slice(&events.to_le_bytes());
                bytes[16..24].copy_from_slice(&before.to_le_bytes());
                bytes[24..28].copy_from_slice(&checksum.to_le_bytes());
            }
            Self::End(Totals {
                events,
                lost,
                blocks,
            }) => {
                bytes[..8].copy_from_slice(&END_MARKER);
                bytes[8..16].copy_from_slice(&events.to_le_bytes());
                bytes[16..24].copy_from_slice(&lost.to_le_bytes());
                bytes[24..28].copy_from_slice(&blocks.to_le_bytes());
            }
        }
        let sum = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// `None` if the bytes are not a head, or a damaged one.
    pub fn decode(bytes: &[u8; HEAD]) -> Option<Self> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if crc32fast::hash(&bytes[..28]) != word(28) {
            return None;
        }
        if bytes[..8] == END_MARKER {
            return Some(Self::End(Totals {
                events: long(8),
                lost: long(16),
                blocks: word(24),
            }));
        }
        let head = BlockHead {
            payload: word(8),
            events: word(12),
            before: long(16),
            checksum: word(24),
        };
        let fits = head.payload <= MAX_PAYLOAD && head.events <= MAX_EVENTS;
        (bytes[..8] == BLOCK_MARKER && fits).then_some(Self::Block(head))
    }
}

/// Compresses streams into a payload.
pub struct Packer {
    zstd: zstd::bulk::Compressor<'static>,
    packed: Vec<u8>,
}

impl Packer {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            zstd: zstd::bulk::Compressor::new(LEVEL)?,
            packed: Vec::new(),
        })
    }

    /// Appends the streams to `payload` and empties them. A stream that zstd does not make smaller is
    /// stored as it is: both lengths are equal then.
    pub fn pack(&mut self, columns: &mut Columns, payload: &mut Vec<u8>) -> io::Result<()> {
        let mut result = Ok(());
        columns.take(|stream, raw| {
            let packed = match self.compress(raw) {
                Ok(packed) if packed.len() < raw.len() => packed,
                Ok(_) => raw,
                Err(error) => {
                    result = Err(error);
                    return;
                }
            };
            payload.push(stream.0);
            push_leb(payload, raw.len() as u64);
            push_leb(payload, packed.len() as u64);
            payload.extend_from_slice(packed);
        });
        result
    }

    fn compress(&mut self, raw: &[u8]) -> io::Result<&[u8]> {
        self.packed.clear();
        self.packed
            .reserve(zstd::zstd_safe::compress_bound(raw.len()));
        self.zstd.compress_to_buffer(raw, &mut self.packed)?;
        Ok(&self.packed)
    }
}

/// Decompresses a payload into streams.
pub struct Unpacker {
    zstd: zstd::bulk::Decompressor<'static>,
}

impl Unpacker {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            zstd: zstd::bulk::Decompressor::new()?,
        })
    }

    /// Replaces the streams by those of `payload`.
    pub fn unpack(&mut self, payload: &[u8], cursors: &mut Cursors) -> Result<(), Malformed> {
        cursors.clear()?;
        let mut total = 0;
        let mut last = None;
        for section in sections(payload) {
            let Section {
                stream,
                raw_len,
                packed,
            } = section?;
            if last.replace(stream.0).is_some_and(|last| last >= stream.0) {
                return Err(Malformed::Stream(stream.0));
            }
            total += raw_len;
            if total > MAX_STREAMS {
                return Err(Malformed::Large);
            }
            cursors.add(stream, raw_len, |raw| {
                if packed.len() == raw.len() {
                    raw.copy_from_slice(packed);
                    return Ok(());
                }
                match self.zstd.decompress_to_buffer(packed, raw) {
                    Ok(len) if len == raw_len => Ok(()),
                    _ => Err(Malformed::Zstd(stream.0)),
                }
            })?;
        }
        Ok(())
    }
}

/// A stream in a payload.
pub struct Section<'a> {
    pub stream: Stream,
    /// Bytes once decompressed, at most [`MAX_STREAMS`].
    pub raw_len: usize,
    pub packed: &'a [u8],
}

/// The streams of a payload; ends after the first error.
pub fn sections(payload: &[u8]) -> impl Iterator<Item = Result<Section<'_>, Malformed>> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let section = section(&mut rest);
        if section.is_err() {
            rest = &[];
        }
        Some(section)
    })
}

fn section<'a>(rest: &mut &'a [u8]) -> Result<Section<'a>, Malformed> {
    let stream = take_byte(rest, 0)?;
    let mut length = || pull_leb(|| take_byte(rest, stream))?.ok_or(Malformed::Range(stream));
    let (raw_len, packed_len) = (length()?, length()?);
    let raw_len = usize::try_from(raw_len)
        .ok()
        .filter(|&len| len <= MAX_STREAMS)
        .ok_or(Malformed::Large)?;
    let packed_len = usize::try_from(packed_len).map_err(|_| Malformed::Large)?;
    let (packed, behind) = rest
        .split_at_checked(packed_len)
        .ok_or(Malformed::Short(stream))?;
    *rest = behind;
    Ok(Section {
        stream: Stream(stream),
        raw_len,
        packed,
    })
}

fn take_byte(rest: &mut &[u8], stream: u8) -> Result<u8, Malformed> {
    let (&byte, behind) = rest.split_first().ok_or(Malformed::Short(stream))?;
    *rest = behind;
    Ok(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_survive_and_no_flipped_bit_does() {
        let block = BlockHead {
            payload: 77,
            events: 16_384,
            before: 1 << 40,
            checksum: 0xdead_beef,
        };
        let totals = Totals {
            events: u64::MAX,
            lost: 3,
            blocks: 9,
        };
        for head in [Head::Block(block), Head::End(totals)] {
            let bytes = head.encode();
            assert_eq!(Head::decode(&bytes), Some(head));
            for bit in 0..HEAD * 8 {
                let mut flipped = bytes;
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Head::decode(&flipped), None, "bit {bit}");
            }
        }
    }

    #[test]
    fn lengths_beyond_the_limits_are_refused_before_memory_is_taken() {
        let huge = Head::Block(BlockHead {
            payload: MAX_PAYLOAD + 1,
            events: 1,
            before: 0,
            checksum: 0,
        });
        assert_eq!(Head::decode(&huge.encode()), None);

        let mut payload = vec![0];
        push_leb(&mut payload, MAX_STREAMS as u64 + 1);
        push_leb(&mut payload, 0);
        let mut cursors = Cursors::new();
        assert_eq!(
            Unpacker::new().unwrap().unpack(&payload, &mut cursors),
            Err(Malformed::Large)
        );
    }
}
