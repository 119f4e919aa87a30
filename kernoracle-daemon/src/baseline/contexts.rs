//! How often which task followed which context of up to twelve tasks.
//!
//! One [`Table`] of fixed size holds all orders, another one the situations: memory is bounded, and the work per switch is one row per
//! order and situation.

use super::table::{Place, Row, Table};
use crate::runqueue::Sym;

/// The context lengths that are counted.
pub const ORDERS: [usize; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 12];
const LONGEST: usize = 12;
/// The rows that match the present context, in the order of [`ORDERS`]; `None` where it is new.
pub type Matches<'a> = [Option<&'a Row>; ORDERS.len()];

/// Contexts that are not the last tasks alone: what they are made of is the caller's.
pub const SITUATIONS: usize = 11;
/// The rows that match the present situations; `None` where one is new.
pub type SituationMatches<'a> = [Option<&'a Row>; SITUATIONS];

/// The counts of one CPU.
#[derive(Clone, Debug)]
pub struct Contexts {
    orders: Table,
    recent: [u32; LONGEST],
    seen: usize,
    hashes: [u64; ORDERS.len()],
    /// Where the rows of the present contexts are, once they have been looked up.
    places: [Option<Place>; ORDERS.len()],
    situations: Table,
    keys: [Option<u64>; SITUATIONS],
    situation_places: [Option<Place>; SITUATIONS],
}

impl Contexts {
    /// Counts in `1 << bits` rows of 32 bytes for the orders, and as many for the situations.
    pub fn new(bits: u32) -> Self {
        Self {
            orders: Table::new(bits),
            recent: [0; LONGEST],
            seen: 0,
            hashes: [0; ORDERS.len()],
            places: [None; ORDERS.len()],
            situations: Table::new(bits),
            keys: [None; SITUATIONS],
            situation_places: [None; SITUATIONS],
        }
    }

    /// The sequence is broken: what comes next does not follow what was before.
    pub fn cut(&mut self) {
        self.seen = 0;
        self.places = [None; ORDERS.len()];
        self.keys = [None; SITUATIONS];
        self.situation_places = [None; SITUATIONS];
    }

    /// Sets one of the situations that the next task will be counted under.
    pub fn set_situation(&mut self, which: usize, key: u64) {
        // Apart from the other situations, which share the table.
        let mut hash = (key ^ (0xa5a5 + which as u64)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        hash ^= hash >> 32;
        let hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
        self.situations.prefetch(hash);
        self.keys[which] = Some(hash);
        self.situation_places[which] = None;
    }

    /// Looks up what is known of the present context and situations. Apart from setting them, so that memory is on its way meanwhile.
    pub fn look(&mut self) {
        for (i, &order) in ORDERS.iter().enumerate() {
            self.places[i] = (order <= self.seen)
                .then(|| self.orders.place(self.hashes[i]))
                .flatten();
        }
        for which in 0..SITUATIONS {
            self.look_at(which);
        }
    }

    /// Looks up what is known of one of the situations.
    pub fn look_at(&mut self, which: usize) {
        self.situation_places[which] =
            self.keys[which].and_then(|hash| self.situations.place(hash));
    }

    /// What is known of the present situations, since it was looked up.
    pub fn situations(&self) -> SituationMatches<'_> {
        self.situation_places
            .map(|place| place.map(|place| self.situations.at(place)))
    }

    /// Makes `sym` part of the present context; before that, with `count`, counts it as what followed.
    pub fn push(&mut self, sym: Sym, count: bool) {
        let sym = sym.raw();
        if count {
            self.count(sym);
        }
        self.keys = [None; SITUATIONS];
        self.situation_places = [None; SITUATIONS];
        self.places = [None; ORDERS.len()];
        self.enter(sym);
    }

    fn count(&mut self, sym: u32) {
        self.orders.tick();
        self.situations.tick();
        for (i, &order) in ORDERS.iter().enumerate() {
            if order > self.seen {
                break;
            }
            self.orders.add_at(self.places[i], self.hashes[i], sym);
        }
        for (hash, place) in self.keys.iter().zip(self.situation_places) {
            if let Some(hash) = *hash {
                self.situations.add_at(place, hash, sym);
            }
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
                self.orders.prefetch(self.hashes[i]);
            }
        }
    }

    /// What is known of the present context, since it was looked up.
    pub fn matches(&self) -> Matches<'_> {
        self.places
            .map(|place| place.map(|place| self.orders.at(place)))
    }
}
