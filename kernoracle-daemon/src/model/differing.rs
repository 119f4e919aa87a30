//! Which features of each candidate are not what most candidates have: the scorer's first layer adds up only these.
//!
//! By hand for x86, where one comparison gives a bit for each number and no compiler finds that from a loop.

use super::frame::Candidate;
use super::vector::{LANES, Vector};
use super::weights::shape::FEATURE_ROW;

const WORD: usize = u64::BITS as usize;
const _: () = assert!(WORD.is_multiple_of(LANES));

/// Bit `i % 64` of word `i / 64`: feature `i` differs.
pub(super) type Bits = [u64; FEATURE_ROW.div_ceil(WORD)];

type Row = Vector<FEATURE_ROW>;

/// What a candidate's features are compared with: those that are no task have few features at all.
pub(super) fn reference<'a>(candidate: &Candidate, common: &'a Row) -> &'a Row {
    if candidate.sym.is_some() {
        common
    } else {
        &Vector::ZERO
    }
}

/// Fills in how the row that most candidates have differs from zero, then how each candidate differs from what it is compared with.
pub(super) fn differing(candidates: &[Candidate], common: &Row, out: &mut Vec<Bits>) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the machine has AVX-512.
            return unsafe { x86::with_avx512(candidates, common, out) };
        }
        if is_x86_feature_detected!("avx") {
            // SAFETY: the machine has AVX.
            return unsafe { x86::with_avx(candidates, common, out) };
        }
    }
    compare_all(candidates, common, out, plain);
}

#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled once for each set of vector instructions, with the function that it is part of"
)]
fn compare_all(
    candidates: &[Candidate],
    common: &Row,
    out: &mut Vec<Bits>,
    compare: impl Fn(&Row, &Row) -> Bits,
) {
    out.clear();
    out.push(compare(common, &Vector::ZERO));
    out.extend(
        (candidates.iter())
            .map(|candidate| compare(&candidate.features, reference(candidate, common))),
    );
}

fn plain(x: &Row, from: &Row) -> Bits {
    let mut bits = Bits::default();
    let words = bits.iter_mut().zip(x.chunks(WORD).zip(from.chunks(WORD)));
    for (bits, (x, from)) in words {
        for (i, (x, from)) in x.iter().zip(from).enumerate() {
            *bits |= u64::from(x - from != 0.0) << i;
        }
    }
    bits
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Bits, Candidate, LANES, Row, WORD, compare_all};
    use std::arch::x86_64::{
        _CMP_NEQ_UQ, _mm256_cmp_ps, _mm256_loadu_ps, _mm256_movemask_ps, _mm512_cmpneq_ps_mask,
        _mm512_loadu_ps,
    };

    const EIGHT: usize = 8;

    #[target_feature(enable = "avx512f")]
    pub(super) fn with_avx512(candidates: &[Candidate], common: &Row, out: &mut Vec<Bits>) {
        compare_all(candidates, common, out, |x, from| {
            let mut bits = Bits::default();
            let (x, _) = x.as_chunks::<LANES>();
            let (from, _) = from.as_chunks::<LANES>();
            for (i, (x, from)) in x.iter().zip(from).enumerate() {
                // SAFETY: each points at sixteen numbers, and the function that this is part of asks for AVX-512.
                let differ = unsafe {
                    _mm512_cmpneq_ps_mask(
                        _mm512_loadu_ps(x.as_ptr()),
                        _mm512_loadu_ps(from.as_ptr()),
                    )
                };
                bits[i * LANES / WORD] |= u64::from(differ) << (i * LANES % WORD);
            }
            bits
        });
    }

    #[target_feature(enable = "avx")]
    pub(super) fn with_avx(candidates: &[Candidate], common: &Row, out: &mut Vec<Bits>) {
        compare_all(candidates, common, out, |x, from| {
            let mut bits = Bits::default();
            let (x, _) = x.as_chunks::<EIGHT>();
            let (from, _) = from.as_chunks::<EIGHT>();
            for (i, (x, from)) in x.iter().zip(from).enumerate() {
                // SAFETY: each points at eight numbers, and the function that this is part of asks for AVX.
                let differ = unsafe {
                    _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(
                        _mm256_loadu_ps(x.as_ptr()),
                        _mm256_loadu_ps(from.as_ptr()),
                    ))
                };
                bits[i * EIGHT / WORD] |= (differ as u64) << (i * EIGHT % WORD);
            }
            bits
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
            let mut want = Vec::new();
            compare_all(&view.candidates, &common, &mut want, |x, from| {
                let mut bits = Bits::default();
                for i in (0..FEATURE_ROW).filter(|i| x[*i].to_bits() != from[*i].to_bits()) {
                    bits[i / WORD] |= 1 << (i % WORD);
                }
                bits
            });
            let mut found = Vec::new();
            differing(&view.candidates, &common, &mut found);
            assert_eq!(found, want, "chosen");
            compare_all(&view.candidates, &common, &mut found, plain);
            assert_eq!(found, want, "plain");
            #[cfg(target_arch = "x86_64")]
            {
                if is_x86_feature_detected!("avx512f") {
                    // SAFETY: the machine has AVX-512.
                    unsafe { x86::with_avx512(&view.candidates, &common, &mut found) };
                    assert_eq!(found, want, "AVX-512");
                }
                if is_x86_feature_detected!("avx") {
                    // SAFETY: the machine has AVX.
                    unsafe { x86::with_avx(&view.candidates, &common, &mut found) };
                    assert_eq!(found, want, "AVX");
                }
            }
        }
    }
}
