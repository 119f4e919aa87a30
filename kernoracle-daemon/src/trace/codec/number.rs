//! How a measured number is split: a symbol that says sign and magnitude class, which zstd models, and
//! low bits that are as good as random, which are kept as they are.
//!
//! Magnitudes below 4 are their own class. From there each power of two has two classes (its lower
//! and its upper half), and `e - 1` low bits follow, `e` being the position of the highest bit.

/// A number that is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Bit 7: negative. Bits 0 to 6: class.
    pub symbol: u8,
    /// Low bits that follow, at most 62.
    pub width: u32,
    pub low: u64,
}

/// Symbol of "minus zero", which no number has.
const NO_NUMBER: u8 = 0x80;

pub fn split(value: i64) -> Split {
    let magnitude = value.unsigned_abs();
    let sign = u8::from(value < 0) << 7;
    if magnitude < 4 {
        return Split {
            symbol: sign | magnitude as u8,
            width: 0,
            low: 0,
        };
    }
    let e = magnitude.ilog2();
    let width = e - 1;
    let upper = (magnitude >> width) as u8 & 1;
    let class = 4 + (e as u8 - 2) * 2 + upper;
    Split {
        symbol: sign | class,
        width,
        low: magnitude & ((1 << width) - 1),
    }
}

/// How many low bits a symbol announces; `None` if no number has it.
pub fn width(symbol: u8) -> Option<u32> {
    let class = symbol & 0x7f;
    match class {
        _ if symbol == NO_NUMBER => None,
        0..4 => Some(0),
        _ => Some(u32::from(class - 4) / 2 + 1),
    }
}

/// The number of a symbol and its low bits; `None` if it is beyond an `i64`.
pub fn join(symbol: u8, low: u64) -> Option<i64> {
    let width = width(symbol)?;
    let class = u64::from(symbol & 0x7f);
    let magnitude = if class < 4 {
        class
    } else {
        ((2 | (class & 1)) << width) | low
    };
    let negative = symbol & 0x80 != 0;
    match i64::try_from(magnitude) {
        Ok(value) if negative => Some(-value),
        Ok(value) => Some(value),
        Err(_) if negative && magnitude == 1 << 63 => Some(i64::MIN),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(value: i64) {
        let Split {
            symbol,
            width: bits,
            low,
        } = split(value);
        assert_eq!(width(symbol), Some(bits), "{value}");
        assert!(low < 1 << bits, "{value}");
        assert_eq!(join(symbol, low), Some(value));
    }

    #[test]
    fn edges_of_every_class_survive() {
        for e in 0..63 {
            for near in [-1, 0, 1] {
                round_trip((1_i64 << e) + near);
                round_trip(-(1_i64 << e) + near);
                round_trip((3_i64 << (e - 1).max(0)).wrapping_add(near));
            }
        }
        [0, i64::MAX, i64::MIN, i64::MIN + 1]
            .into_iter()
            .for_each(round_trip);
    }

    #[test]
    fn symbols_without_a_number_are_refused() {
        assert_eq!(join(NO_NUMBER, 0), None);
        // 2^63 exists only below zero.
        assert_eq!(join(126, 0), None);
        assert_eq!(join(254, 0), Some(i64::MIN));
        assert_eq!(join(254, 1), None);
    }

    proptest! {
        #[test]
        fn any_number_survives(value: i64, shift in 0..64_u32) {
            round_trip(value >> shift);
        }
    }
}
