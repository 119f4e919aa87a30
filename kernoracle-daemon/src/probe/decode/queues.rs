//! Small numbers for run queues.

use std::collections::HashMap;

/// Addresses that are found without the table: most events are of few queues.
const NEAR: usize = 32;

/// Small numbers for run queues, in order of first sight. Kernel addresses go no further.
#[derive(Debug, Default)]
pub(super) struct Queues {
    ids: HashMap<u64, u32, foldhash::fast::FixedState>,
    /// Address and number last asked for, by a hash of the address.
    near: [(u64, u32); NEAR],
}

impl Queues {
    /// 0 for none.
    pub(super) fn id(&mut self, address: u64) -> u32 {
        if address == 0 {
            return 0;
        }
        // The digits of the golden ratio.
        let hash = address.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let near = &mut self.near[(hash >> 59) as usize % NEAR];
        if near.0 != address {
            let next = self.ids.len() as u32 + 1;
            *near = (address, *self.ids.entry(address).or_insert(next));
        }
        near.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_keeps_its_number() {
        let mut queues = Queues::default();
        assert_eq!(queues.id(0), 0);
        for _ in 0..3 {
            for i in 1..=100 {
                assert_eq!(queues.id(i * 0x400), i as u32);
                assert_eq!(queues.id(0), 0);
            }
        }
    }
}
