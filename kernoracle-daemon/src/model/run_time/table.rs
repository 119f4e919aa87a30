//! A hash table of fixed size: a row is found by its key's hash and carries that hash's last bits as a check; where there
//! is no room, the row that was not used for longest makes it.

/// Rows that a key may land in.
const WAYS: usize = 4;

#[derive(Clone, Copy, Debug, Default)]
struct Row<T> {
    check: u32,
    /// Time of the last use; 0 is an empty row.
    used: u32,
    value: T,
}

/// Values by the hash of their key.
#[derive(Clone, Debug)]
pub(super) struct Table<T> {
    rows: Vec<Row<T>>,
    clock: u32,
}

impl<T: Copy + Default> Table<T> {
    /// `1 << bits` rows.
    pub(super) fn new(bits: u32) -> Self {
        Self {
            rows: vec![Row::default(); 1 << bits],
            clock: 0,
        }
    }

    fn bucket(&self, hash: u64) -> usize {
        (hash as usize & (self.rows.len() - 1)) & !(WAYS - 1)
    }

    fn find(&self, hash: u64) -> Option<usize> {
        let bucket = self.bucket(hash);
        let check = (hash >> 32) as u32;
        (bucket..bucket + WAYS).find(|&i| self.rows[i].used > 0 && self.rows[i].check == check)
    }

    /// The value of a key that has one.
    pub(super) fn get(&self, hash: u64) -> Option<&T> {
        self.find(hash).map(|i| &self.rows[i].value)
    }

    /// The value of a key, made from `fresh` where there is none.
    pub(super) fn entry(&mut self, hash: u64, fresh: T) -> &mut T {
        self.clock = self.clock.wrapping_add(1).max(1);
        let clock = self.clock;
        let place = self.find(hash).unwrap_or_else(|| {
            let bucket = self.bucket(hash);
            let place = (bucket..bucket + WAYS)
                .max_by_key(|&i| match self.rows[i].used {
                    0 => u32::MAX,
                    used => clock.wrapping_sub(used),
                })
                .unwrap_or(bucket);
            self.rows[place] = Row {
                check: (hash >> 32) as u32,
                used: clock,
                value: fresh,
            };
            place
        });
        self.rows[place].used = clock;
        &mut self.rows[place].value
    }
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
