//! Which features of each candidate are not what most candidates have: the scorer's first layer adds up only these.
//!
//! By hand for x86, where one comparison gives a bit for each number and no compiler finds that from a loop.

#![expect(
    clippy::inline_always,
    reason = "compiled once for each set of vector instructions, with the function that it is part of"
)]

use super::frame::Candidate;
use super::vector::{LANES, Vector, WORD};
use super::weights::shape::FEATURE_ROW;

/// Bit `i % 64` of word `i / 64`: feature `i` differs.
pub(super) type Bits = [u64; FEATURE_ROW.div_ceil(WORD)];

type Row = Vector<FEATURE_ROW>;

/// Of one view.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Differing {
    /// How the row that most candidates have differs from zero.
    pub(super) common: Bits,
    /// How each candidate differs from its [`reference`].
    pub(super) candidates: Vec<Bits>,
}

/// What a candidate's features are compared with: those that are no task have few features at all.
pub(super) fn reference<'a>(candidate: &Candidate, common: &'a Row) -> &'a Row {
    if candidate.sym.is_some() {
        common
    } else {
        &Vector::ZERO
    }
}

impl Differing {
    /// Compares the features of all candidates.
    pub(super) fn find(&mut self, candidates: &[Candidate], common: &Row) {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                // SAFETY: the machine has AVX-512.
                return unsafe { x86::with_avx512(self, candidates, common) };
            }
            if is_x86_feature_detected!("avx") {
                // SAFETY: the machine has AVX.
                return unsafe { x86::with_avx(self, candidates, common) };
            }
        }
        self.find_by(candidates, common, differ);
    }

    /// The same, `N` numbers at a time: `differ` gives a bit for each, the first one lowest.
    #[inline(always)]
    fn find_by<const N: usize>(
        &mut self,
        candidates: &[Candidate],
        common: &Row,
        differ: impl Fn(&[f32; N], &[f32; N]) -> u64,
    ) {
        const { assert!(WORD.is_multiple_of(N) && FEATURE_ROW.is_multiple_of(N)) };
        let compare = |x: &Row, from: &Row| {
            let mut bits = Bits::default();
            let pairs = x.as_chunks::<N>().0.iter().zip(from.as_chunks::<N>().0);
            for (i, (x, from)) in pairs.enumerate() {
                bits[i * N / WORD] |= differ(x, from) << (i * N % WORD);
            }
            bits
        };
        self.common = compare(common, &Vector::ZERO);
        self.candidates.clear();
        let each = candidates.iter();
        self.candidates
            .extend(each.map(|one| compare(&one.features, reference(one, common))));
    }
}

fn differ(x: &[f32; LANES], from: &[f32; LANES]) -> u64 {
    let pairs = x.iter().zip(from).enumerate();
    pairs.fold(0, |bits, (i, (x, from))| {
        bits | u64::from(x - from != 0.0) << i
    })
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Candidate, Differing, LANES, Row};
    use std::arch::x86_64::{
        _CMP_NEQ_UQ, _mm256_cmp_ps, _mm256_loadu_ps, _mm256_movemask_ps, _mm512_cmpneq_ps_mask,
        _mm512_loadu_ps,
    };

    #[target_feature(enable = "avx512f")]
    pub(super) fn with_avx512(out: &mut Differing, candidates: &[Candidate], common: &Row) {
        out.find_by::<LANES>(candidates, common, |x, from| {
            // SAFETY: each points at sixteen numbers.
            let (x, from) =
                unsafe { (_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(from.as_ptr())) };
            u64::from(_mm512_cmpneq_ps_mask(x, from))
        });
    }

    #[target_feature(enable = "avx")]
    pub(super) fn with_avx(out: &mut Differing, candidates: &[Candidate], common: &Row) {
        out.find_by::<8>(candidates, common, |x, from| {
            // SAFETY: each points at eight numbers.
            let (x, from) =
                unsafe { (_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(from.as_ptr())) };
            _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(x, from)) as u64
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::view;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn every_version_finds_the_same() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        for count in 1..20 {
            let mut view = view(&mut random, count);
            let common = view.candidates[0].features;
            for candidate in &mut view.candidates {
                candidate.features[count % FEATURE_ROW] = common[count % FEATURE_ROW];
            }
            let compare = |x: &Row, from: &Row| {
                let mut bits = Bits::default();
                for i in (0..FEATURE_ROW).filter(|i| x[*i].to_bits() != from[*i].to_bits()) {
                    bits[i / WORD] |= 1 << (i % WORD);
                }
                bits
            };
            let want = Differing {
                common: compare(&common, &Vector::ZERO),
                candidates: (view.candidates.iter())
                    .map(|one| compare(&one.features, reference(one, &common)))
                    .collect(),
            };
            let mut found = Differing::default();
            found.find(&view.candidates, &common);
            assert_eq!(found, want, "chosen");
            found.find_by(&view.candidates, &common, differ);
            assert_eq!(found, want, "plain");
            #[cfg(target_arch = "x86_64")]
            {
                if is_x86_feature_detected!("avx512f") {
                    // SAFETY: the machine has AVX-512.
                    unsafe { x86::with_avx512(&mut found, &view.candidates, &common) };
                    assert_eq!(found, want, "AVX-512");
                }
                if is_x86_feature_detected!("avx") {
                    // SAFETY: the machine has AVX.
                    unsafe { x86::with_avx(&mut found, &view.candidates, &common) };
                    assert_eq!(found, want, "AVX");
                }
            }
        }
    }
}
