//! How often which task followed which context of up to twelve tasks.
//!
//! One [`Table`] of fixed size holds all orders, another one the situations: memory is bounded, and the work per switch is one row per
//! order and situation.

use super::table::{Row, Table};
use crate::runqueue::Sym;

/// The context lengths that are counted.
pub const ORDERS: [usize; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 12];
const LONGEST: usize = 12;
/// The rows that match the present context, in the order of [`ORDERS`]; `None` where it is new.
pub type Matches = [Option<Row>; ORDERS.len()];

/// Contexts that are not the last tasks alone: what they are made of is the caller's.
pub const SITUATIONS: usize = 11;
/// The rows that match the present situations; `None` where one is new.
pub type SituationMatches = [Option<Row>; SITUATIONS];

/// The counts of one CPU.
#[derive(Clone, Debug)]
pub struct Contexts {
    orders: Table,
    recent: [u32; LONGEST],
    seen: usize,
    hashes: [u64; ORDERS.len()],
    situations: Table,
    keys: [Option<u64>; SITUATIONS],
}

impl Contexts {
    /// Counts in `1 << bits` rows of 32 bytes for the orders, and as many for the situations.
    pub fn new(bits: u32) -> Self {
        Self {
            orders: Table::new(bits),
            recent: [0; LONGEST],
            seen: 0,
            hashes: [0; ORDERS.len()],
            situations: Table::new(bits),
            keys: [None; SITUATIONS],
        }
    }

    /// The sequence is broken: what comes next does not follow what was before.
    pub fn cut(&mut self) {
        self.seen = 0;
        self.keys = [None; SITUATIONS];
    }

    /// Sets one of the situations that the next task will be counted under.
    pub fn set_situation(&mut self, which: usize, key: u64) {
        // Apart from the other situations, which share the table.
        let mut hash = (key ^ (0xa5a5 + which as u64)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        hash ^= hash >> 32;
        self.keys[which] = Some(hash.wrapping_mul(0xd6e8_feb8_6659_fd93));
    }

    /// What is known of the present situations.
    pub fn situations(&self) -> SituationMatches {
        self.keys.map(|hash| self.situations.get(hash?).copied())
    }

    /// Makes `sym` part of the present context; before that, with `count`, counts it as what followed.
    pub fn push(&mut self, sym: Sym, count: bool) {
        let sym = sym.raw();
        if count {
            self.count(sym);
        }
        self.keys = [None; SITUATIONS];
        self.enter(sym);
    }

    fn count(&mut self, sym: u32) {
        self.orders.tick();
        self.situations.tick();
        for (hash, &order) in self.hashes.iter().zip(&ORDERS) {
            if order > self.seen {
                break;
            }
            self.orders.add(*hash, sym);
        }
        for hash in std::mem::take(&mut self.keys).into_iter().flatten() {
            self.situations.add(hash, sym);
        }
    }

    fn enter(&mut self, sym: u32) {
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
            self.orders.get(self.hashes[i]).copied()
        })
    }
}
