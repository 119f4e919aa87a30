//! What rows of counts say, for many rows at once.
//!
//! A lane is a row: the logarithms of all of them are worked out together.

#![expect(
    clippy::inline_always,
    reason = "compiled once for each set of vector instructions, with the function that it is part of"
)]

use super::numeric::ln;
use crate::baseline::{Row, WIDTH};
use multiversion::multiversion;

/// No task has this number: it stands in empty places.
pub const NOBODY: u32 = u32::MAX;

/// Up to `N` rows, and what they say of the tasks that they name and of all others.
#[derive(Clone, Debug)]
pub struct Odds<const N: usize> {
    /// Bit `i`: row `i` is known.
    pub known: u16,
    /// `[place][row]`: the tasks or roles that each row names.
    pub named: [[u32; N]; WIDTH],
    /// How often each of them came; of the unnamed, what such a task is taken to have.
    seen: [[f32; N]; WIDTH + 1],
    total: [f32; N],
    /// Share of the times that the context was seen in which it came.
    pub share: [[f32; N]; WIDTH],
    /// `ln(p / (1 - p))`, over 5, within -1 and 1, weighed by how often the context was seen; 0 says nothing. Those that are named, then
    /// all others.
    pub stretched: [[f32; N]; WIDTH + 1],
}

impl<const N: usize> Default for Odds<N> {
    fn default() -> Self {
        Self {
            known: 0,
            named: [[NOBODY; N]; WIDTH],
            seen: [[0.0; N]; WIDTH + 1],
            total: [0.0; N],
            share: [[0.0; N]; WIDTH],
            stretched: [[0.0; N]; WIDTH + 1],
        }
    }
}

impl<const N: usize> Odds<N> {
    /// Takes a row, or that there is none.
    pub fn set(&mut self, lane: usize, row: Option<&Row>) {
        let Some(row) = row else {
            self.known &= !(1 << lane);
            self.total[lane] = 0.0;
            for named in &mut self.named {
                named[lane] = NOBODY;
            }
            return;
        };
        self.known |= 1 << lane;
        self.total[lane] = f32::from(row.total);
        let (successors, counts) = row.places();
        for place in 0..WIDTH {
            let empty = counts[place] == 0;
            self.named[place][lane] = if empty { NOBODY } else { successors[place] };
            self.seen[place][lane] = f32::from(counts[place]);
        }
        self.seen[WIDTH][lane] = row.unnamed();
    }

    /// Puts a part of its count in the place of a task's, to be called before [`Self::work_out`].
    pub fn divide(&mut self, place: usize, lane: usize, by: f32) {
        self.seen[place][lane] /= by;
    }

    /// Works out shares and odds of all rows.
    pub fn work_out(&mut self) {
        work_out(
            &self.total,
            &self.seen,
            &mut self.share,
            &mut self.stretched,
        );
    }

    /// The lanes of the rows that are known.
    pub fn lanes(&self) -> impl Iterator<Item = usize> + use<N> {
        let mut known = self.known;
        std::iter::from_fn(move || {
            let lane = (known != 0).then(|| known.trailing_zeros() as usize);
            known &= known.wrapping_sub(1);
            lane
        })
    }
}

#[multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512bw+avx512dq+avx2+bmi1+bmi2",
    "x86_64+avx2+bmi1+bmi2"
))]
fn work_out<const N: usize>(
    total: &[f32; N],
    seen: &[[f32; N]; WIDTH + 1],
    share: &mut [[f32; N]; WIDTH],
    stretched: &mut [[f32; N]; WIDTH + 1],
) {
    any_work_out(total, seen, share, stretched);
}

/// [`work_out`], with the vector instructions of the caller.
#[inline(always)]
fn any_work_out<const N: usize>(
    total: &[f32; N],
    seen: &[[f32; N]; WIDTH + 1],
    share: &mut [[f32; N]; WIDTH],
    stretched: &mut [[f32; N]; WIDTH + 1],
) {
    for (share, seen) in share.iter_mut().zip(seen) {
        for lane in 0..N {
            share[lane] = seen[lane] / (total[lane] + 0.5);
        }
    }
    for (stretched, seen) in stretched.iter_mut().zip(seen) {
        for lane in 0..N {
            // 0 for a row that is not known.
            let sure = total[lane] / (total[lane] + 1.5);
            let p = (seen[lane] / (total[lane] + 0.5)).clamp(1e-6, 0.995);
            stretched[lane] = sure * (ln(p / (1.0 - p)) / 5.0).clamp(-1.0, 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Table;
    use crate::model::vector::LANES;

    #[test]
    fn rows_by_hand() {
        let mut table = Table::new(6);
        for sym in [7, 7, 7, 9] {
            table.add(1 << 32, sym);
        }
        for sym in 10..16 {
            table.add(2 << 32, sym);
        }
        let mut odds = Odds::<LANES>::default();
        odds.set(3, table.get(1 << 32));
        odds.set(5, table.get(2 << 32));
        odds.set(6, table.get(3 << 32));
        odds.work_out();
        assert_eq!(odds.lanes().collect::<Vec<_>>(), [3, 5]);
        let stretched = |seen: f32, total: f32| {
            let p = (seen / (total + 0.5)).min(0.995);
            total / (total + 1.5) * ((p / (1.0 - p)).ln() / 5.0).clamp(-1.0, 1.0)
        };
        let place = |lane: usize, sym: u32| {
            (0..WIDTH)
                .find(|&place| odds.named[place][lane] == sym)
                .expect("it is named")
        };
        let three = place(3, 7);
        assert!((odds.share[three][3] - 3.0 / 4.5).abs() < 1e-6);
        assert!((odds.stretched[three][3] - stretched(3.0, 4.0)).abs() < 1e-4);
        assert!((odds.stretched[place(3, 9)][3] - stretched(1.0, 4.0)).abs() < 1e-4);
        assert!((odds.stretched[WIDTH][3] - stretched(0.2, 4.0)).abs() < 1e-4);
        // Of six that came once each, two have lost their place.
        assert!((odds.stretched[WIDTH][5] - stretched(0.7, 6.0)).abs() < 1e-4);
        assert!(odds.named.iter().all(|named| named[6] == NOBODY));
        assert!(odds.stretched.iter().all(|stretched| stretched[6] == 0.0));
    }

    #[test]
    fn every_version_works_out_the_same_bits() {
        let versions = versions!(
            any_work_out::<LANES>,
            any_work_out::<LANES>,
            fn(
                total: &[f32; LANES],
                seen: &[[f32; LANES]; WIDTH + 1],
                share: &mut [[f32; LANES]; WIDTH],
                stretched: &mut [[f32; LANES]; WIDTH + 1],
            )
        );
        let total: [f32; LANES] = std::array::from_fn(|i| (i * i * 37 % 500) as f32);
        let seen: [[f32; LANES]; WIDTH + 1] = std::array::from_fn(|place| {
            std::array::from_fn(|lane| total[lane] * (place as f32 + 0.3) / 7.0)
        });
        let mut results = Vec::new();
        for (name, version) in &versions {
            let mut odds = Odds::<LANES>::default();
            // SAFETY: the machine has the instructions of every version in the list.
            unsafe { version(&total, &seen, &mut odds.share, &mut odds.stretched) };
            let bits: Vec<u32> = (odds.share.iter().chain(&odds.stretched).flatten())
                .map(|x| x.to_bits())
                .collect();
            results.push((name, bits));
        }
        assert!(results.iter().all(|(_, bits)| *bits == results[0].1));
    }
}
