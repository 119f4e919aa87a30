//! Values in and out of streams. The walk over an event is written once, for both directions: it
//! takes every value by `&mut`, which a [`Columns`] reads and a [`Cursors`] overwrites.

use super::{
    bits::{BitReader, BitWriter},
    number,
    stream::{STREAMS, Stream},
};

/// Streams that no writer of this format makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("stream {0} ends too early")]
    Short(u8),
    #[error("stream {0} holds a value out of range")]
    Range(u8),
    #[error("an event of unknown kind {0}")]
    Kind(u8),
    #[error("a task that was not introduced")]
    Task,
    #[error("stream {0} is unknown or comes twice")]
    Stream(u8),
    #[error("stream {0} does not decompress")]
    Zstd(u8),
    #[error("streams larger than any block's")]
    Large,
    #[error("values left over behind the last event")]
    Left,
}

/// One direction.
pub trait Wire {
    /// Values go out: masks have to be computed.
    const WRITES: bool;

    fn byte(&mut self, stream: Stream, value: &mut u8) -> Result<(), Malformed>;

    /// A measured number: class modelled, low bits raw.
    fn number(&mut self, stream: Stream, value: &mut i64) -> Result<(), Malformed>;

    /// A name or index: whole bytes (LEB128), so that repetition is found.
    fn index(&mut self, stream: Stream, value: &mut u64) -> Result<(), Malformed>;

    /// A number as its difference from `guess`, wrapping.
    fn delta(&mut self, stream: Stream, value: &mut u64, guess: u64) -> Result<(), Malformed> {
        let mut delta = value.wrapping_sub(guess) as i64;
        self.number(stream, &mut delta)?;
        *value = guess.wrapping_add(delta as u64);
        Ok(())
    }

    /// The same for 32 bits.
    fn delta32(&mut self, stream: Stream, value: &mut u32, guess: u32) -> Result<(), Malformed> {
        let mut delta = i64::from(*value) - i64::from(guess);
        self.number(stream, &mut delta)?;
        let sum = i64::from(guess)
            .checked_add(delta)
            .and_then(|sum| u32::try_from(sum).ok());
        *value = sum.ok_or(Malformed::Range(stream.0))?;
        Ok(())
    }

    fn index32(&mut self, stream: Stream, value: &mut u32) -> Result<(), Malformed> {
        let mut wide = u64::from(*value);
        self.index(stream, &mut wide)?;
        *value = u32::try_from(wide).map_err(|_| Malformed::Range(stream.0))?;
        Ok(())
    }

    fn bytes(&mut self, stream: Stream, values: &mut [u8]) -> Result<(), Malformed> {
        values
            .iter_mut()
            .try_for_each(|value| self.byte(stream, value))
    }
}

/// Streams that are being filled.
#[derive(Debug)]
pub struct Columns {
    streams: Vec<Vec<u8>>,
    bits: BitWriter,
}

impl Columns {
    pub fn new() -> Self {
        Self {
            streams: vec![Vec::new(); STREAMS],
            bits: BitWriter::default(),
        }
    }

    /// Hands out every stream that is not empty, in ascending order, and empties all.
    pub fn take(&mut self, mut each: impl FnMut(Stream, &[u8])) {
        self.streams[usize::from(Stream::BITS.0)].extend_from_slice(self.bits.close());
        self.bits.clear();
        for (id, bytes) in (0..).zip(&mut self.streams) {
            if !bytes.is_empty() {
                each(Stream(id), bytes);
                bytes.clear();
            }
        }
    }
}

impl Wire for Columns {
    const WRITES: bool = true;

    fn byte(&mut self, stream: Stream, value: &mut u8) -> Result<(), Malformed> {
        self.streams[usize::from(stream.0)].push(*value);
        Ok(())
    }

    fn number(&mut self, stream: Stream, value: &mut i64) -> Result<(), Malformed> {
        let split = number::split(*value);
        self.streams[usize::from(stream.0)].push(split.symbol);
        self.bits.push(split.low, split.width);
        Ok(())
    }

    fn index(&mut self, stream: Stream, value: &mut u64) -> Result<(), Malformed> {
        push_leb(&mut self.streams[usize::from(stream.0)], *value);
        Ok(())
    }
}

/// Streams that are being read.
#[derive(Debug)]
pub struct Cursors {
    bytes: Vec<u8>,
    /// What is left of each stream in `bytes`: start and end.
    left: [(usize, usize); STREAMS],
    bits: BitReader,
}

impl Cursors {
    pub fn new() -> Self {
        Self {
            bytes: Vec::new(),
            left: [(0, 0); STREAMS],
            bits: BitReader::default(),
        }
    }

    /// Forgets the streams of the block before.
    pub fn clear(&mut self) -> Result<(), Malformed> {
        self.bytes.clear();
        self.left = [(0, 0); STREAMS];
        self.bits.refill(|_| Ok(()))
    }

    /// Adds a stream of `len` bytes, which `fill` writes.
    pub fn add(
        &mut self,
        stream: Stream,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let left = self
            .left
            .get_mut(usize::from(stream.0))
            .ok_or(Malformed::Stream(stream.0))?;
        if stream == Stream::BITS {
            return self.bits.refill(|bytes| {
                bytes.resize(len, 0);
                fill(bytes)
            });
        }
        let start = self.bytes.len();
        self.bytes.resize(start + len, 0);
        fill(&mut self.bytes[start..])?;
        *left = (start, start + len);
        Ok(())
    }

    /// Nothing is left.
    pub fn exhausted(&self) -> bool {
        self.bits.exhausted() && self.left.iter().all(|(start, end)| start == end)
    }

    fn next(&mut self, stream: Stream) -> Result<u8, Malformed> {
        let (start, end) = &mut self.left[usize::from(stream.0)];
        if start == end {
            return Err(Malformed::Short(stream.0));
        }
        let byte = self.bytes[*start];
        *start += 1;
        Ok(byte)
    }
}

impl Wire for Cursors {
    const WRITES: bool = false;

    fn byte(&mut self, stream: Stream, value: &mut u8) -> Result<(), Malformed> {
        *value = self.next(stream)?;
        Ok(())
    }

    fn number(&mut self, stream: Stream, value: &mut i64) -> Result<(), Malformed> {
        let symbol = self.next(stream)?;
        let width = number::width(symbol).ok_or(Malformed::Range(stream.0))?;
        let low = self
            .bits
            .pull(width)
            .ok_or(Malformed::Short(Stream::BITS.0))?;
        *value = number::join(symbol, low).ok_or(Malformed::Range(stream.0))?;
        Ok(())
    }

    fn index(&mut self, stream: Stream, value: &mut u64) -> Result<(), Malformed> {
        *value = pull_leb(|| self.next(stream))?.ok_or(Malformed::Range(stream.0))?;
        Ok(())
    }
}

/// Appends an unsigned LEB128.
pub fn push_leb(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Reads an unsigned LEB128; `None` if it is beyond 64 bits.
pub fn pull_leb<E>(mut next: impl FnMut() -> Result<u8, E>) -> Result<Option<u64>, E> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = next()?;
        if shift == 63 && byte > 1 {
            return Ok(None);
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn leb_survives(value: u64, shift in 0..64_u32) {
            let mut bytes = Vec::new();
            push_leb(&mut bytes, value >> shift);
            let mut bytes = bytes.into_iter();
            prop_assert_eq!(pull_leb(|| bytes.next().ok_or(())), Ok(Some(value >> shift)));
            prop_assert_eq!(bytes.next(), None);
        }
    }

    #[test]
    fn leb_beyond_64_bits_is_refused() {
        let mut bytes = [0xff_u8; 9].into_iter().chain([2]);
        assert_eq!(pull_leb(|| bytes.next().ok_or(())), Ok(None));
    }
}
