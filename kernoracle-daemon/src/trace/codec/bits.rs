//! Bits one after another, the lowest first.

#[derive(Debug, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    pending: u128,
    filled: u32,
}

impl BitWriter {
    /// Appends the low `width` bits (at most 63) of `value`, whose other bits must be zero.
    pub fn push(&mut self, value: u64, width: u32) {
        debug_assert!(width < 64 && value >> width == 0);
        self.pending |= u128::from(value) << self.filled;
        self.filled += width;
        if self.filled >= 64 {
            self.bytes
                .extend_from_slice(&(self.pending as u64).to_le_bytes());
            self.pending >>= 64;
            self.filled -= 64;
        }
    }

    /// The bits so far, filled up to a whole byte with zeros.
    pub fn close(&mut self) -> &[u8] {
        let whole = self.filled.div_ceil(8) as usize;
        self.bytes
            .extend_from_slice(&self.pending.to_le_bytes()[..whole]);
        (self.pending, self.filled) = (0, 0);
        &self.bytes
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        (self.pending, self.filled) = (0, 0);
    }
}

#[derive(Debug, Default)]
pub struct BitReader {
    /// The bits, then [`Self::PAD`] zero bytes so that whole words can be loaded at any place.
    bytes: Vec<u8>,
    position: usize,
    end: usize,
}

impl BitReader {
    const PAD: usize = 16;

    /// Starts over with other bits, which `fill` appends to an empty buffer.
    pub fn refill<E>(&mut self, fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        self.bytes.clear();
        (self.position, self.end) = (0, 0);
        fill(&mut self.bytes)?;
        self.end = self.bytes.len() * 8;
        self.bytes.resize(self.bytes.len() + Self::PAD, 0);
        Ok(())
    }

    /// The next `width` bits (at most 63); `None` if there are fewer.
    pub fn pull(&mut self, width: u32) -> Option<u64> {
        if width == 0 {
            return Some(0);
        }
        if self.position + width as usize > self.end {
            return None;
        }
        let word = self.bytes.get(self.position / 8..)?.first_chunk::<16>()?;
        let bits = (u128::from_le_bytes(*word) >> (self.position % 8)) as u64;
        self.position += width as usize;
        Some(bits & ((1 << width) - 1))
    }

    /// All bits but the filling of the last byte are taken.
    pub fn exhausted(&self) -> bool {
        self.end - self.position < 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out(values in prop::collection::vec((any::<u64>(), 0..64_u32), 0..200)) {
            let values: Vec<_> = values.into_iter().map(|(value, width)| (value & ((1 << width) - 1), width)).collect();
            let mut writer = BitWriter::default();
            for &(value, width) in &values {
                writer.push(value, width);
            }
            let mut reader = BitReader::default();
            reader.refill(|bytes| { bytes.extend_from_slice(writer.close()); Ok::<_, ()>(()) }).unwrap();
            for &(value, width) in &values {
                prop_assert_eq!(reader.pull(width), Some(value));
            }
            prop_assert!(reader.exhausted());
            prop_assert_eq!(reader.pull(8), None);
        }
    }
}
