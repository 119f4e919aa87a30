//! How often which task followed which context of up to twelve tasks.
//!
//! One table of fixed size holds all orders: a row is found by the hash of its context and carries the
//! last bits of that hash as a check. A row keeps the four commonest successors; a fifth takes the place of the
//! rarest (Metwally et al. 2005, "space-saving"). Memory is bounded, and the work per switch is one row per order.

use crate::runqueue::Sym;

/// The context lengths that are counted.
pub const ORDERS: [usize; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 12];
const LONGEST: usize = 12;
/// Successors that a row keeps.
pub const WIDTH: usize = 4;
/// Rows that a hash may land in.
const WAYS: usize = 4;

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

    /// How many different successors are kept.
    pub fn distinct(&self) -> u16 {
        self.counts.iter().filter(|count| **count > 0).count() as u16
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
        let known = (0..WIDTH).find(|&i| self.counts[i] > 0 && self.successors[i] == sym);
        if let Some(i) = known {
            self.counts[i] += 1;
            return;
        }
        let rarest = (0..WIDTH).min_by_key(|&i| self.counts[i]).unwrap_or(0);
        self.successors[rarest] = sym;
        self.counts[rarest] = 1;
    }
}

/// The rows that match the present context, in the order of [`ORDERS`]; `None` where it is new.
pub type Matches = [Option<Row>; ORDERS.len()];

/// Contexts that are not the last tasks alone: what they are made of is the caller's.
pub const SITUATIONS: usize = 4;
/// The rows that match the present situations; `None` where one is new.
pub type SituationMatches = [Option<Row>; SITUATIONS];

/// The counts of one CPU.
#[derive(Debug)]
pub struct Contexts {
    rows: Vec<Row>,
    recent: [u32; LONGEST],
    seen: usize,
    clock: u16,
    hashes: [u64; ORDERS.len()],
    situations: [Option<u64>; SITUATIONS],
}

impl Contexts {
    /// Counts in `1 << bits` rows of 32 bytes.
    pub fn new(bits: u32) -> Self {
        Self {
            rows: vec![Row::default(); 1 << bits],
            recent: [0; LONGEST],
            seen: 0,
            clock: 0,
            hashes: [0; ORDERS.len()],
            situations: [None; SITUATIONS],
        }
    }

    /// The sequence is broken: what comes next does not follow what was before.
    pub fn cut(&mut self) {
        self.seen = 0;
        self.situations = [None; SITUATIONS];
    }

    /// Sets one of the situations that the next task will be counted under.
    pub fn set_situation(&mut self, which: usize, key: u64) {
        // Apart from the other situations and from the orders, which share the table.
        let mut hash = (key ^ (0xa5a5 + which as u64)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        hash ^= hash >> 32;
        self.situations[which] = Some(hash.wrapping_mul(0xd6e8_feb8_6659_fd93));
    }

    /// What is known of the present situations.
    pub fn situations(&self) -> SituationMatches {
        self.situations
            .map(|hash| self.find(hash?).map(|place| self.rows[place]))
    }

    /// Counts `sym` as what followed the present context, which it then becomes part of.
    pub fn push(&mut self, sym: Sym) {
        let sym = sym.raw();
        self.clock = self.clock.wrapping_add(1);
        for (i, &order) in ORDERS.iter().enumerate() {
            if order > self.seen {
                break;
            }
            let hash = self.hashes[i];
            let place = self.find(hash).unwrap_or_else(|| self.claim(hash));
            let row = &mut self.rows[place];
            row.age = self.clock;
            row.add(sym);
        }
        for hash in std::mem::take(&mut self.situations).into_iter().flatten() {
            let place = self.find(hash).unwrap_or_else(|| self.claim(hash));
            let row = &mut self.rows[place];
            row.age = self.clock;
            row.add(sym);
        }
        self.recent.copy_within(..LONGEST - 1, 1);
        self.recent[0] = sym;
        self.seen = (self.seen + 1).min(LONGEST);
        let mut hash = 0x9e37_79b9_7f4a_7c15_u64;
        let mut orders = ORDERS.iter().enumerate().peekable();
        for (length, &sym) in self.recent.iter().enumerate() {
            hash = (hash ^ u64::from(sym)).wrapping_mul(0xd6e8_feb8_6659_fd93);
            hash ^= hash >> 32;
            if let Some((i, _)) = orders.next_if(|(_, order)| **order == length + 1) {
                self.hashes[i] = hash.wrapping_add(i as u64);
            }
        }
    }

    /// What is known of the present context.
    pub fn matches(&self) -> Matches {
        std::array::from_fn(|i| {
            if ORDERS[i] > self.seen {
                return None;
            }
            self.find(self.hashes[i]).map(|place| self.rows[place])
        })
    }

    fn bucket(&self, hash: u64) -> usize {
        (hash as usize & (self.rows.len() - 1)) & !(WAYS - 1)
    }

    fn find(&self, hash: u64) -> Option<usize> {
        let bucket = self.bucket(hash);
        let check = (hash >> 32) as u32;
        (bucket..bucket + WAYS).find(|&i| self.rows[i].total > 0 && self.rows[i].check == check)
    }

    /// Takes the place of the row that was not used for longest.
    fn claim(&mut self, hash: u64) -> usize {
        let bucket = self.bucket(hash);
        let clock = self.clock;
        let place = (bucket..bucket + WAYS)
            .max_by_key(|&i| {
                let row = &self.rows[i];
                if row.total == 0 {
                    u32::MAX
                } else {
                    u32::from(clock.wrapping_sub(row.age))
                }
            })
            .unwrap_or(bucket);
        self.rows[place] = Row {
            check: (hash >> 32) as u32,
            ..Row::default()
        };
        place
    }
}
