//! Counts of what followed what, in bounded memory.
//!
//! A row is found by the hash of its context and carries the last bits of that hash as a check. It keeps the four commonest
//! successors; a fifth takes the place of the rarest (Metwally et al. 2005, "space-saving").

use crate::bits;
use crate::prefetch::prefetch;

/// Successors that a row keeps.
pub const WIDTH: usize = 4;
/// Rows that a hash may land in: as many as a cache line holds. With twice as many a replay is slower and no prediction better.
const WAYS: usize = 2;

/// Counts of one context.
#[derive(Clone, Copy, Debug, Default)]
pub struct Row {
    check: u32,
    /// Times that the context was seen, successors that lost their place included.
    pub total: u16,
    age: u16,
    successors: [u32; WIDTH],
    counts: [u16; WIDTH],
}

impl Row {
    /// The successors kept, with their counts, in no order.
    pub fn successors(&self) -> impl Iterator<Item = (u32, u16)> {
        self.successors
            .into_iter()
            .zip(self.counts)
            .filter(|(_, count)| *count > 0)
    }

    /// Share of the times that the context was seen in which `sym` followed.
    pub fn p(&self, sym: u32) -> f32 {
        self.successors()
            .find(|(other, _)| *other == sym)
            .map_or(0.0, |(_, count)| self.share(f32::from(count)))
    }

    /// What [`Self::p`] gives a successor with this count, or with a part of one.
    pub fn share(&self, count: f32) -> f32 {
        count / (f32::from(self.total) + 0.5)
    }

    /// The places for successors, with their counts; a count of 0 is an empty place.
    pub fn places(&self) -> ([u32; WIDTH], [u16; WIDTH]) {
        (self.successors, self.counts)
    }

    /// The count that a task is taken to have that is not among the successors: what lost its place is shared by those that have none.
    pub fn unnamed(&self) -> f32 {
        let kept: u16 = self.counts.iter().sum();
        0.2 + 0.25 * f32::from(self.total.saturating_sub(kept))
    }

    fn add(&mut self, sym: u32) {
        self.total += 1;
        if self.total == u16::MAX {
            // Old habits weigh half: counts stay in range and drift is followed.
            self.total /= 2;
            for count in &mut self.counts {
                *count /= 2;
            }
        }
        let known = bits::first::<WIDTH>(|i| self.counts[i] > 0 && self.successors[i] == sym);
        if let Some(place) = known {
            self.counts[place] += 1;
            return;
        }
        let rarest = (0..WIDTH).min_by_key(|&i| self.counts[i]).unwrap_or(0);
        self.successors[rarest] = sym;
        self.counts[rarest] = 1;
    }
}

/// The rows that a hash may land in: a cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Bucket([Row; WAYS]);
const _: () = assert!(size_of::<Bucket>() == 64);

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u32);

/// Rows by hash.
#[derive(Clone, Debug)]
pub struct Table {
    buckets: Vec<Bucket>,
    clock: u16,
}

impl Table {
    /// `1 << bits` rows of 32 bytes.
    pub fn new(bits: u32) -> Self {
        Self {
            buckets: vec![Bucket::default(); (1 << bits) / WAYS],
            clock: 0,
        }
    }

    /// Time goes on: rows that are not counted in from here on grow old.
    pub fn tick(&mut self) {
        self.clock = self.clock.wrapping_add(1);
    }

    /// A context will be asked for.
    pub fn prefetch(&self, hash: u64) {
        prefetch(&self.buckets[self.bucket(hash)]);
    }

    /// What is known of a context.
    pub fn get(&self, hash: u64) -> Option<&Row> {
        self.place(hash).map(|place| self.at(place))
    }

    /// Where the row of a context is, if there is one. It may go to another context when something is counted.
    pub fn place(&self, hash: u64) -> Option<Place> {
        let bucket = self.bucket(hash);
        let Bucket(rows) = &self.buckets[bucket];
        find(rows, hash).map(|way| Place((bucket * WAYS + way) as u32))
    }

    /// The row at a place.
    pub fn at(&self, Place(place): Place) -> &Row {
        let place = place as usize;
        &self.buckets[place / WAYS].0[place % WAYS]
    }

    /// Counts `successor` once more under a context.
    pub fn add(&mut self, hash: u64, successor: u32) {
        let bucket = self.bucket(hash);
        let way = find(&self.buckets[bucket].0, hash);
        self.add_in(bucket, way, hash, successor);
    }

    /// The same where [`Self::place`] has said where the row is, or that there is none.
    pub fn add_at(&mut self, place: Option<Place>, hash: u64, successor: u32) {
        let Some(Place(place)) = place else {
            return self.add(hash, successor);
        };
        let (bucket, way) = (place as usize / WAYS, place as usize % WAYS);
        if self.buckets[bucket].0[way].check == check(hash) {
            self.add_in(bucket, Some(way), hash, successor);
        } else {
            self.add(hash, successor);
        }
    }

    fn add_in(&mut self, bucket: usize, way: Option<usize>, hash: u64, successor: u32) {
        let clock = self.clock;
        let Bucket(rows) = &mut self.buckets[bucket];
        let way = way.unwrap_or_else(|| claim(rows, hash, clock));
        rows[way].age = clock;
        rows[way].add(successor);
    }

    fn bucket(&self, hash: u64) -> usize {
        (hash as usize / WAYS) & (self.buckets.len() - 1)
    }
}

/// What a row keeps of the hash of its context.
fn check(hash: u64) -> u32 {
    (hash >> 32) as u32
}

fn find(rows: &[Row; WAYS], hash: u64) -> Option<usize> {
    let check = check(hash);
    bits::first::<WAYS>(|i| rows[i].total > 0 && rows[i].check == check)
}

/// Takes the place of the row that was not used for longest.
fn claim(rows: &mut [Row; WAYS], hash: u64, clock: u16) -> usize {
    let place = (0..WAYS)
        .max_by_key(|&i| {
            let row = &rows[i];
            if row.total == 0 {
                u32::MAX
            } else {
                u32::from(clock.wrapping_sub(row.age))
            }
        })
        .unwrap_or(0);
    rows[place] = Row {
        check: check(hash),
        ..Row::default()
    };
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_that_was_not_used_for_longest_makes_room() {
        // One bucket: all contexts land in it.
        let mut table = Table::new(WAYS.ilog2());
        let context = |number: u64| (number + 1) << 32;
        let mut count = |number| {
            table.tick();
            table.add(context(number), 7);
            (0..=WAYS as u64)
                .filter(|other| table.get(context(*other)).is_some())
                .collect::<Vec<_>>()
        };
        for number in 0..WAYS as u64 {
            count(number);
        }
        // The first comes again, so it is the second that goes.
        count(0);
        let known = count(WAYS as u64);
        assert!(!known.contains(&1), "{known:?}");
        assert_eq!(known.len(), WAYS);
    }
}
