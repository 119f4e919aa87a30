//! Words as sets of small numbers: bit `i` says whether `i` is one of them.

/// The first of the numbers below `N` for which something holds. All are asked, and no branch depends on an answer: where it is as good as random
/// which one it is, a loop that stops there is mispredicted, and that is found out only when the data has come from memory.
#[inline]
pub fn first<const N: usize>(holds: impl Fn(usize) -> bool) -> Option<usize> {
    const { assert!(N <= u32::BITS as usize) };
    let word = (0..N).fold(0_u32, |word, i| word | u32::from(holds(i)) << i);
    (word != 0).then(|| word.trailing_zeros() as usize)
}

/// The numbers in a word, the least first.
#[inline]
pub fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize);
        word &= word.wrapping_sub(1);
        bit
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_by_hand() {
        assert_eq!(first::<4>(|i| i >= 2), Some(2));
        assert_eq!(first::<4>(|_| true), Some(0));
        assert_eq!(first::<4>(|i| i == 4), None);
        assert_eq!(first::<32>(|i| i == 31), Some(31));
        assert_eq!(ones(0).count(), 0);
        assert_eq!(ones(1 << 63 | 0b1010).collect::<Vec<_>>(), [1, 3, 63]);
        assert_eq!(ones(u64::MAX).count(), 64);
    }
}
