//! The last runs in one context, and how well their median has foretold the next one.

#![expect(
    clippy::inline_always,
    reason = "compiled once for each set of vector instructions, with the function that it is part of"
)]

/// Runs that a history holds.
pub(super) const LEN: usize = 16;
/// A record of errors follows its last ten entries, and is their plain mean until there are ten.
const MEMORY: u8 = 10;

/// The last 16 values, sorted; `ln` ns.
///
/// What is asked of all histories that hold stands in front, in one cache line; the values are asked of one of them.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
pub(super) struct History {
    median: f32,
    error: f32,
    len: u8,
    next: u8,
    tried: u8,
    /// Where in the ring of arrivals each of `sorted` stands.
    arrival: [u8; LEN],
    sorted: [f32; LEN],
}

impl History {
    /// Adds a run; the oldest leaves once 16 are there.
    #[inline]
    pub(super) fn push(&mut self, value: f32) {
        self.push_by(value, Self::place);
    }

    /// The same, where `place` puts the value into its place among the sorted ones.
    #[inline(always)]
    fn push_by(&mut self, value: f32, place: impl Fn(&mut Self, f32)) {
        if let Some(median) = self.median() {
            let error = distance(median, value);
            self.tried = (self.tried + 1).min(MEMORY);
            self.error += (error - self.error) / f32::from(self.tried);
        }
        place(self, value);
        self.next = (self.next + 1) % LEN as u8;
        self.len = (self.len + 1).min(LEN as u8);
        self.median = self.sorted[self.len() / 2];
    }

    fn place(&mut self, value: f32) {
        let mut len = self.len();
        if len == LEN {
            // The ring is full: what arrived where the next one goes is the oldest.
            let oldest = self
                .arrival
                .iter()
                .position(|at| *at == self.next)
                .unwrap_or(0);
            // Not `copy_within`: a call for a few numbers.
            for i in oldest..LEN - 1 {
                self.sorted[i] = self.sorted[i + 1];
                self.arrival[i] = self.arrival[i + 1];
            }
            len -= 1;
        }
        let place = self.sorted[..len].partition_point(|other| *other < value);
        for i in (place..len).rev() {
            self.sorted[i + 1] = self.sorted[i];
            self.arrival[i + 1] = self.arrival[i];
        }
        self.sorted[place] = value;
        self.arrival[place] = self.next;
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// The upper one of two.
    pub(super) fn median(&self) -> Option<f32> {
        (self.len > 0).then_some(self.median)
    }

    /// A quantile, between neighbours in proportion; the value at place `i` of `n` is taken as the one of level `(i + 1) / (n + 1)`.
    pub(super) fn quantile(&self, level: f32) -> Option<f32> {
        let last = self.len().checked_sub(1)?;
        let place = (level * (self.len() + 1) as f32 - 1.0).clamp(0.0, last as f32);
        let low = place as usize;
        let high = (low + 1).min(last);
        Some(self.sorted[low] + (self.sorted[high] - self.sorted[low]) * (place - low as f32))
    }

    /// Mean error of the last medians, and how many they were.
    pub(super) fn record(&self) -> (f32, f32) {
        (self.error, f32::from(self.tried))
    }
}

/// How far a prediction is off in the logarithm, at most 1: beyond that, wrong is wrong. For small errors it is the relative error.
pub(super) fn distance(predicted: f32, actual: f32) -> f32 {
    (predicted - actual).abs().min(1.0)
}

/// By hand: where the oldest stands and where the new one goes is as good as random, so every loop over them is mispredicted; these
/// instructions take one value out of sixteen and put one in.
#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::{History, LEN};
    use std::arch::x86_64::{
        _CMP_LT_OQ, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8,
        _mm_storeu_si128, _mm512_cmp_ps_mask, _mm512_cvtepi32_epi8, _mm512_cvtepu8_epi32,
        _mm512_loadu_ps, _mm512_mask_expand_epi32, _mm512_mask_expand_ps,
        _mm512_maskz_compress_epi32, _mm512_maskz_compress_ps, _mm512_set1_epi32, _mm512_set1_ps,
        _mm512_storeu_ps,
    };

    const _: () = assert!(LEN == 16);

    /// [`History::push`]
    #[target_feature(enable = "avx512f")]
    pub(in super::super) fn push(history: &mut History, value: f32) {
        history.push_by(value, |history, value| place(history, value));
    }

    #[target_feature(enable = "avx512f")]
    fn place(history: &mut History, value: f32) {
        // SAFETY: each points at sixteen numbers.
        let (sorted, arrival) = unsafe {
            (
                _mm512_loadu_ps(history.sorted.as_ptr()),
                _mm_loadu_si128(history.arrival.as_ptr().cast()),
            )
        };
        let arrived_there = _mm_cmpeq_epi8(arrival, _mm_set1_epi8(history.next.cast_signed()));
        let oldest = if history.len() == LEN {
            _mm_movemask_epi8(arrived_there) as u16
        } else {
            // The first place that is free.
            1 << history.len
        };
        let held = (1_u32 << history.len).wrapping_sub(1) as u16 & !oldest;
        let less = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(sorted, _mm512_set1_ps(value)) & held;
        let others = !(1_u16 << less.count_ones());
        let arrival = _mm512_cvtepu8_epi32(arrival);
        let sorted = _mm512_maskz_compress_ps(!oldest, sorted);
        let arrival = _mm512_maskz_compress_epi32(!oldest, arrival);
        let sorted = _mm512_mask_expand_ps(_mm512_set1_ps(value), others, sorted);
        let new = _mm512_set1_epi32(i32::from(history.next));
        let arrival = _mm512_cvtepi32_epi8(_mm512_mask_expand_epi32(new, others, arrival));
        // SAFETY: each points at sixteen numbers.
        unsafe {
            _mm512_storeu_ps(history.sorted.as_mut_ptr(), sorted);
            _mm_storeu_si128(history.arrival.as_mut_ptr().cast(), arrival);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against the plain way: keep all, sort the last 16.
        #[test]
        fn sorted_window(values in proptest::collection::vec(0_u8..9, 1..120)) {
            let mut history = History::default();
            let mut errors = Vec::new();
            for (i, value) in values.iter().enumerate() {
                let mut window: Vec<f32> = values[i.saturating_sub(LEN)..i].iter().copied().map(f32::from).collect();
                window.sort_by(f32::total_cmp);
                let median = window.get(window.len() / 2).copied();
                prop_assert_eq!(history.median(), median);
                prop_assert_eq!(&history.sorted[..history.len()], &window[..]);
                let value = f32::from(*value);
                if let Some(median) = median {
                    errors.push(f64::from((median - value).abs().min(1.0)));
                }
                #[cfg(target_arch = "x86_64")]
                if is_x86_feature_detected!("avx512f") {
                    let mut other = history;
                    // SAFETY: the machine has AVX-512.
                    unsafe { x86::push(&mut other, value) };
                    history.push(value);
                    prop_assert_eq!(&other.sorted[..other.len()], &history.sorted[..history.len()]);
                    prop_assert_eq!(&other.arrival[..other.len()], &history.arrival[..history.len()]);
                    prop_assert_eq!((other.median(), other.record()), (history.median(), history.record()));
                    // On with that one.
                    history = other;
                } else {
                    history.push(value);
                }
                #[cfg(not(target_arch = "x86_64"))]
                history.push(value);
                let (error, tried) = history.record();
                prop_assert_eq!(tried as usize, errors.len().min(10));
                if (1..=10).contains(&errors.len()) {
                    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
                    prop_assert!((f64::from(error) - mean).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn quantiles_by_hand() {
        let mut history = History::default();
        assert_eq!(history.quantile(0.5), None);
        history.push(7.0);
        assert_eq!(history.quantile(0.1), Some(7.0));
        for value in [3.0, 1.0, 5.0, 9.0, 2.0, 4.0, 6.0, 8.0] {
            history.push(value);
        }
        // Of 1 to 9 the i-th is the quantile i / 10.
        for (level, want) in [(0.1, 1.0), (0.25, 2.5), (0.5, 5.0), (0.9, 9.0), (0.99, 9.0)] {
            let got = history.quantile(level).expect("nine values");
            assert!((got - want).abs() < 1e-5, "{level}: {got}");
        }
    }
}
