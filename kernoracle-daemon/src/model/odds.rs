//! What rows of counts say, for many rows at once.
//!
//! The logarithms of all of them are worked out together.

#![expect(
    clippy::inline_always,
    reason = "compiled once for each set of vector instructions, with the function that it is part of"
)]

use super::numeric::ln;
use crate::baseline::{Row, WIDTH};
use crate::bits;
use multiversion::multiversion;

/// No task has this number: it stands in empty places.
pub const NOBODY: u32 = u32::MAX;

/// Up to `N` rows, and what they say of the tasks that they name and of all others.
#[derive(Clone, Debug)]
pub struct Odds<const N: usize> {
    /// Bit `i`: row `i` is known.
    pub known: u16,
    /// `[row][place]`: the tasks or roles that each row names.
    pub named: [[u32; WIDTH]; N],
    /// Bit `row * WIDTH + place`: somebody is named there.
    pub places: u64,
    /// How often each of them came.
    of_named: Of<N, WIDTH>,
    /// Of the unnamed, what such a task is taken to have.
    of_unnamed: Of<N, 1>,
}

/// What rows say of `W` tasks each.
#[derive(Clone, Debug)]
struct Of<const N: usize, const W: usize> {
    seen: [[f32; W]; N],
    /// Of the row, in each of its places.
    total: [[f32; W]; N],
    share: [[f32; W]; N],
    stretched: [[f32; W]; N],
}

impl<const N: usize, const W: usize> Default for Of<N, W> {
    fn default() -> Self {
        Self {
            seen: [[0.0; W]; N],
            total: [[0.0; W]; N],
            share: [[0.0; W]; N],
            stretched: [[0.0; W]; N],
        }
    }
}

impl<const N: usize, const W: usize> Of<N, W> {
    /// A row alone, of which nothing is worked out yet.
    fn row(&self, at: usize) -> Of<1, W> {
        Of {
            seen: [self.seen[at]],
            total: [self.total[at]],
            ..Of::default()
        }
    }

    /// Takes over what was worked out for a row.
    fn put(&mut self, at: usize, row: &Of<1, W>) {
        [self.share[at]] = row.share;
        [self.stretched[at]] = row.stretched;
    }
}

impl<const N: usize> Default for Odds<N> {
    fn default() -> Self {
        const { assert!(N * WIDTH <= u64::BITS as usize) };
        Self {
            known: 0,
            named: [[NOBODY; WIDTH]; N],
            places: 0,
            of_named: Of::default(),
            of_unnamed: Of::default(),
        }
    }
}

impl<const N: usize> Odds<N> {
    /// Takes a row, or that there is none.
    pub fn set(&mut self, at: usize, row: Option<&Row>) {
        let places = at * WIDTH;
        self.places &= !(ALL << places);
        let Some(row) = row else {
            self.known &= !(1 << at);
            self.of_named.total[at] = [0.0; WIDTH];
            self.of_unnamed.total[at] = [0.0];
            self.named[at] = [NOBODY; WIDTH];
            return;
        };
        self.known |= 1 << at;
        let total = f32::from(row.total);
        self.of_named.total[at] = [total; WIDTH];
        self.of_unnamed.total[at] = [total];
        let (successors, counts) = row.places();
        for place in 0..WIDTH {
            let empty = counts[place] == 0;
            self.named[at][place] = if empty { NOBODY } else { successors[place] };
            self.of_named.seen[at][place] = f32::from(counts[place]);
            self.places |= u64::from(!empty) << (places + place);
        }
        self.of_unnamed.seen[at] = [row.unnamed()];
    }

    /// Puts a part of its count in the place of a task's, to be called before [`Self::work_out`].
    pub fn divide(&mut self, row: usize, place: usize, by: f32) {
        self.of_named.seen[row][place] /= by;
    }

    /// Works out shares and odds of all rows.
    pub fn work_out(&mut self) {
        work_out(&mut self.of_named, &mut self.of_unnamed);
    }

    /// The same for one row alone.
    pub fn work_out_row(&mut self, at: usize) {
        let (mut named, mut unnamed) = (self.of_named.row(at), self.of_unnamed.row(at));
        // Too few numbers for wide vectors to be worth the call.
        any_work_out(&mut named, &mut unnamed);
        self.of_named.put(at, &named);
        self.of_unnamed.put(at, &unnamed);
    }

    /// The rows that are known.
    pub fn rows(&self) -> impl Iterator<Item = usize> + use<N> {
        bits::ones(u64::from(self.known))
    }

    /// Row and place of those that are named, row by row.
    pub fn all_named(&self) -> impl Iterator<Item = (usize, usize)> + use<N> {
        bits::ones(self.places).map(|bit| (bit / WIDTH, bit % WIDTH))
    }

    /// Share of the times that the context was seen in which the one in a place came.
    pub fn share(&self, row: usize, place: usize) -> f32 {
        self.of_named.share[row][place]
    }

    /// `ln(p / (1 - p))`, over 5, within -1 and 1, weighed by how often the context was seen; 0 says nothing.
    pub fn stretched(&self, row: usize, place: usize) -> f32 {
        self.of_named.stretched[row][place]
    }

    /// The same of one that a row does not name, of each row.
    pub fn stretched_unnamed(&self) -> &[f32; N] {
        self.of_unnamed
            .stretched
            .as_flattened()
            .try_into()
            .expect("one a row")
    }
}

/// The bits of a row's places.
const ALL: u64 = (1 << WIDTH) - 1;

#[multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512bw+avx512dq+avx2+bmi1+bmi2",
    "x86_64+avx2+bmi1+bmi2"
))]
fn work_out<const N: usize>(named: &mut Of<N, WIDTH>, unnamed: &mut Of<N, 1>) {
    any_work_out(named, unnamed);
}

/// [`work_out`], with the vector instructions of the caller.
#[inline(always)]
fn any_work_out<const N: usize>(named: &mut Of<N, WIDTH>, unnamed: &mut Of<N, 1>) {
    work_out_all(named);
    work_out_all(unnamed);
}

#[inline(always)]
fn work_out_all<const N: usize, const W: usize>(of: &mut Of<N, W>) {
    let (seen, total) = (of.seen.as_flattened(), of.total.as_flattened());
    let share = of.share.as_flattened_mut();
    let stretched = of.stretched.as_flattened_mut();
    for i in 0..N * W {
        share[i] = seen[i] / (total[i] + 0.5);
    }
    for i in 0..N * W {
        // 0 for a row that is not known.
        let sure = total[i] / (total[i] + 1.5);
        let p = share[i].clamp(1e-6, 0.995);
        stretched[i] = sure * (ln(p / (1.0 - p)) / 5.0).clamp(-1.0, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Table;

    const ROWS: usize = 16;

    #[test]
    fn rows_by_hand() {
        let mut table = Table::new(6);
        for sym in [7, 7, 7, 9] {
            table.add(1 << 32, sym);
        }
        for sym in 10..16 {
            table.add(2 << 32, sym);
        }
        let mut odds = Odds::<ROWS>::default();
        odds.set(3, table.get(1 << 32));
        odds.set(5, table.get(2 << 32));
        odds.set(6, table.get(3 << 32));
        odds.work_out();
        assert_eq!(odds.rows().collect::<Vec<_>>(), [3, 5]);
        let stretched = |seen: f32, total: f32| {
            let p = (seen / (total + 0.5)).min(0.995);
            total / (total + 1.5) * ((p / (1.0 - p)).ln() / 5.0).clamp(-1.0, 1.0)
        };
        let place = |row: usize, sym: u32| {
            (0..WIDTH)
                .find(|&place| odds.named[row][place] == sym)
                .expect("it is named")
        };
        let three = place(3, 7);
        assert!((odds.share(3, three) - 3.0 / 4.5).abs() < 1e-6);
        assert!((odds.stretched(3, three) - stretched(3.0, 4.0)).abs() < 1e-4);
        assert!((odds.stretched(3, place(3, 9)) - stretched(1.0, 4.0)).abs() < 1e-4);
        let unnamed = odds.stretched_unnamed();
        assert!((unnamed[3] - stretched(0.2, 4.0)).abs() < 1e-4);
        // Of six that came once each, two have lost their place.
        assert!((unnamed[5] - stretched(0.7, 6.0)).abs() < 1e-4);
        assert_eq!(odds.named[6], [NOBODY; WIDTH]);
        assert!((0..WIDTH).all(|place| odds.stretched(6, place) == 0.0) && unnamed[6] == 0.0);
        let named: Vec<(usize, usize)> = odds.all_named().collect();
        let three_and_nine = [place(3, 7).min(place(3, 9)), place(3, 7).max(place(3, 9))];
        let want = three_and_nine.map(|place| (3, place));
        assert_eq!(named[..2], want);
        assert_eq!(named[2..], [0, 1, 2, 3].map(|place| (5, place)));
        odds.set(5, None);
        assert_eq!(odds.all_named().count(), 2);
        odds.set(5, table.get(1 << 32));
        odds.work_out_row(5);
        let all = |row: usize, odds: &Odds<ROWS>| {
            let [share, stretched] = [odds.share(row, three), odds.stretched(row, three)];
            [share, stretched, odds.stretched_unnamed()[row]].map(f32::to_bits)
        };
        assert_eq!(all(5, &odds), all(3, &odds));
    }

    #[test]
    fn every_version_works_out_the_same_bits() {
        let versions = versions!(
            any_work_out::<ROWS>,
            any_work_out::<ROWS>,
            fn(named: &mut Of<ROWS, WIDTH>, unnamed: &mut Of<ROWS, 1>)
        );
        let mut start = Odds::<ROWS>::default();
        for row in 0..ROWS {
            let total = (row * row * 37 % 500) as f32;
            start.of_named.total[row] = [total; WIDTH];
            start.of_named.seen[row] = [0.3, 1.3, 2.3, 3.3].map(|part| total * part / 7.0);
            start.of_unnamed.total[row] = [total];
            start.of_unnamed.seen[row] = [total * 0.7];
        }
        let mut results = Vec::new();
        for (name, version) in &versions {
            let mut odds = start.clone();
            // SAFETY: the machine has the instructions of every version in the list.
            unsafe { version(&mut odds.of_named, &mut odds.of_unnamed) };
            let (named, unnamed) = (&odds.of_named, &odds.of_unnamed);
            let numbers = [named.share.as_flattened(), named.stretched.as_flattened()];
            let bits: Vec<u32> = (numbers.into_iter().flatten())
                .chain(unnamed.stretched.as_flattened())
                .map(|x| x.to_bits())
                .collect();
            results.push((name, bits));
        }
        assert!(results.iter().all(|(_, bits)| *bits == results[0].1));
    }
}
