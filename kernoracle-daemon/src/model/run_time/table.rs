//! A hash table of fixed size: a row is found by its key's hash and carries that hash's last bits as a check; where there
//! is no room, the row that was not used for longest makes it.

use crate::bits;
use crate::prefetch::prefetch_at;

/// Bytes that come near at a time.
const LINE: usize = 64;
/// Rows that a key may land in.
const WAYS: usize = 4;

#[derive(Clone, Copy, Debug, Default)]
struct Tag {
    check: u32,
    /// Time of the last use; 0 is an empty row.
    used: u32,
}

/// Values by the hash of their key. The tags are apart, so that a look-up touches one value only.
#[derive(Clone, Debug)]
pub(super) struct Table<T> {
    tags: Vec<Tag>,
    /// Behind the rows one that stays empty.
    values: Vec<T>,
    clock: u32,
}

impl<T: Copy + Default> Table<T> {
    /// `1 << bits` rows.
    pub(super) fn new(bits: u32) -> Self {
        Self {
            tags: vec![Tag::default(); 1 << bits],
            values: vec![T::default(); (1 << bits) + 1],
            clock: 0,
        }
    }

    fn bucket(&self, hash: u64) -> usize {
        (hash as usize & (self.tags.len() - 1)) & !(WAYS - 1)
    }

    fn find(&self, hash: u64) -> Option<usize> {
        let bucket = self.bucket(hash);
        let check = (hash >> 32) as u32;
        let tags = &self.tags[bucket..][..WAYS];
        bits::first::<WAYS>(|i| tags[i].used > 0 && tags[i].check == check).map(|way| bucket + way)
    }

    /// The place of a key's value, which comes near; where there is none, of an empty one. Good until the next [`Self::claim`].
    pub(super) fn place(&self, hash: u64) -> usize {
        let place = self.find(hash).unwrap_or(self.tags.len());
        self.fetch(place);
        place
    }

    /// Brings all of a value near.
    fn fetch(&self, place: usize) {
        let value = &raw const self.values[place];
        for line in 0..size_of::<T>().div_ceil(LINE) {
            prefetch_at(value.cast::<u8>().wrapping_add(line * LINE));
        }
    }

    /// The value at a place.
    pub(super) fn at(&self, place: usize) -> &T {
        &self.values[place]
    }

    /// The value of a key that has one.
    pub(super) fn get(&self, hash: u64) -> Option<&T> {
        self.find(hash).map(|i| &self.values[i])
    }

    /// A place for a key, whose value comes near: the one that it has, or one that it takes.
    pub(super) fn claim(&mut self, hash: u64) -> Claim {
        self.clock = self.clock.wrapping_add(1).max(1);
        let clock = self.clock;
        let found = self.find(hash);
        let place = found.unwrap_or_else(|| {
            let bucket = self.bucket(hash);
            (bucket..bucket + WAYS)
                .max_by_key(|&i| match self.tags[i].used {
                    0 => u32::MAX,
                    used => clock.wrapping_sub(used),
                })
                .unwrap_or(bucket)
        });
        if found.is_none() {
            // Who has a place has been looked up.
            self.fetch(place);
        }
        self.tags[place] = Tag {
            check: (hash >> 32) as u32,
            used: clock,
        };
        Claim {
            place,
            taken: found.is_none(),
        }
    }

    /// The value at a place that was claimed, made from `fresh` where it was another's. Claims are to be used in their order.
    pub(super) fn claimed(&mut self, claim: Claim, fresh: T) -> &mut T {
        let value = &mut self.values[claim.place];
        if claim.taken {
            *value = fresh;
        }
        value
    }

    /// The value of a key, made from `fresh` where there is none.
    pub(super) fn entry(&mut self, hash: u64, fresh: T) -> &mut T {
        let claim = self.claim(hash);
        self.claimed(claim, fresh)
    }
}

/// A place that belongs to a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    place: usize,
    /// The value there is still another's.
    taken: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(low: u64, check: u64) -> u64 {
        check << 32 | low
    }

    #[test]
    fn the_longest_unused_makes_room() {
        let mut table = Table::<u32>::new(3);
        for check in 1..=4 {
            *table.entry(hash(1, check), 0) = check as u32;
        }
        // The first is used again, so the second is the oldest.
        assert_eq!(*table.entry(hash(1, 1), 0), 1);
        *table.entry(hash(2, 5), 0) = 5;
        assert_eq!(table.get(hash(1, 2)), None);
        for check in [1, 3, 4, 5] {
            assert_eq!(table.get(hash(1, check)), Some(&(check as u32)));
        }
        // Another bucket is not touched.
        assert_eq!(table.get(hash(4, 1)), None);
        assert_eq!(*table.entry(hash(4, 1), 9), 9);
    }

    /// Keys that come twice at a time, and more of them than a bucket has rows.
    #[test]
    fn claims_in_advance_come_to_the_same() {
        let (mut one_by_one, mut ahead) = (Table::<u32>::new(3), Table::<u32>::new(3));
        for round in 0..200_u64 {
            let different = 3 + round % 9;
            let keys: [u64; 7] =
                std::array::from_fn(|i| hash(round % 2, 1 + (round + i as u64) % different));
            for key in keys {
                *one_by_one.entry(key, 0) += round as u32;
            }
            for claim in keys.map(|key| ahead.claim(key)) {
                *ahead.claimed(claim, 0) += round as u32;
            }
            assert_eq!(one_by_one.values, ahead.values, "round {round}");
        }
        assert!(
            ahead.values.iter().any(|value| *value > 200),
            "all made room: nothing was added up"
        );
    }

    #[test]
    fn the_clock_may_wrap() {
        let mut table = Table::<u32>::new(2);
        table.clock = u32::MAX - 1;
        for check in 1..=5 {
            table.entry(hash(0, check), check as u32);
        }
        assert_eq!(table.get(hash(0, 1)), None);
        assert_eq!(table.get(hash(0, 5)), Some(&5));
    }
}
