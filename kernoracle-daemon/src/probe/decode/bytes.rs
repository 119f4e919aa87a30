//! The structures in a record's bytes.

use super::BadRecord;
use kernoracle_common::{
    Entity, Header, Introduction, Kind, Life, Migrate, Snapshot, Switch, Wake,
};

/// Structures that any bytes are a value of.
///
/// # Safety
///
/// `repr(C)`, integers only, no padding.
pub(super) unsafe trait Plain: Copy {}

// SAFETY: the records of kernoracle-common are such, by its rule.
unsafe impl Plain for Header {}
// SAFETY: as above.
unsafe impl<const N: usize> Plain for Switch<N> {}
// SAFETY: as above.
unsafe impl<const N: usize> Plain for Wake<N> {}
// SAFETY: as above.
unsafe impl<const N: usize> Plain for Snapshot<N> {}
// SAFETY: as above.
unsafe impl Plain for Migrate {}
// SAFETY: as above.
unsafe impl Plain for Life {}
// SAFETY: as above.
unsafe impl Plain for Introduction {}

/// The header, if there is one.
pub fn header(bytes: &[u8]) -> Result<Header, BadRecord> {
    let len = bytes.len();
    if len < size_of::<Header>() {
        return Err(BadRecord::Short { len });
    }
    // SAFETY: the length was checked; any bytes are a header.
    Ok(unsafe { bytes.as_ptr().cast::<Header>().read_unaligned() })
}

/// A record that is a `T`.
pub(super) fn plain<T: Plain>(bytes: &[u8], kind: Kind) -> Result<T, BadRecord> {
    let (len, expected) = (bytes.len(), size_of::<T>());
    if len != expected {
        return Err(BadRecord::Length {
            kind,
            len,
            expected,
        });
    }
    // SAFETY: the length was checked; any bytes are a value of a plain type.
    Ok(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// A `T` at the start, and so many entities at the end, of which there may be more than are read.
///
/// `count` says how many; the record has no other length than with those.
pub(super) fn with_above<T: Plain>(
    bytes: &[u8],
    kind: Kind,
    count: impl FnOnce(&T) -> usize,
) -> Result<(T, &[u8]), BadRecord> {
    let len = bytes.len();
    let wrong = |expected| BadRecord::Length {
        kind,
        len,
        expected,
    };
    let (start, above) = bytes
        .split_at_checked(size_of::<T>())
        .ok_or(wrong(size_of::<T>()))?;
    // SAFETY: the length was checked; any bytes are a value of a plain type.
    let record = unsafe { start.as_ptr().cast::<T>().read_unaligned() };
    let expected = count(&record) * size_of::<Entity>();
    if above.len() != expected {
        return Err(wrong(size_of::<T>() + expected));
    }
    Ok((record, above))
}
