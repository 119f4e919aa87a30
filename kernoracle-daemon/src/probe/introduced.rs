//! The tasks that the programs have introduced.
//!
//! Bounded as the programs' memory is: a place holds the last few tasks that were introduced there. One would be enough, but
//! for a program on another CPU that finds its task told, and reserves its record behind the introduction of another one.

use kernoracle_common::{Card, MAX_CPUS, PLACES, place};

/// Tasks of a place that are remembered.
const LAST: usize = 4;

/// The cards that records behind them rely on.
#[derive(Debug)]
pub struct Introduced(Vec<Slot>);

/// The newest first.
type Slot = [Option<Card>; LAST];

impl Default for Introduced {
    fn default() -> Self {
        // Zero pages, which take no memory until they are used.
        Self(vec![[None; LAST]; PLACES + MAX_CPUS])
    }
}

impl Introduced {
    pub fn add(&mut self, card: Card) {
        let slot = &mut self.0[place(card.pid, card.idle_cpu)];
        let old = slot
            .iter()
            .position(|old| old.is_some_and(|old| old.pid == card.pid))
            .unwrap_or(LAST - 1);
        slot[..=old].rotate_right(1);
        slot[0] = Some(card);
    }

    /// `cpu` tells the idle tasks apart.
    pub fn get(&self, pid: u32, cpu: u32) -> Option<&Card> {
        self.0[place(pid, cpu)]
            .iter()
            .flatten()
            .find(|card| card.pid == pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(pid: u32, name: u8) -> Card {
        Card {
            pid,
            comm: [name; 16],
            ..Card::default()
        }
    }

    fn name(introduced: &Introduced, pid: u32) -> Option<u8> {
        introduced.get(pid, 0).map(|card| card.comm[0])
    }

    #[test]
    fn the_last_introduction_holds() {
        let mut introduced = Introduced::default();
        assert_eq!(name(&introduced, 7), None);
        introduced.add(card(7, b'a'));
        introduced.add(card(7, b'b'));
        assert_eq!(name(&introduced, 7), Some(b'b'));
    }

    #[test]
    fn tasks_of_a_place_are_told_apart_and_the_oldest_goes() {
        let mut introduced = Introduced::default();
        let pids: Vec<u32> = (0..6).map(|i| 7 + i * PLACES as u32).collect();
        for (pid, name) in pids.iter().zip(b'a'..) {
            introduced.add(card(*pid, name));
        }
        let names: Vec<_> = pids.iter().map(|&pid| name(&introduced, pid)).collect();
        let kept = [b'c', b'd', b'e', b'f'].map(Some);
        assert_eq!(names, [&[None, None], &kept[..]].concat());
        // Introduced again, a task takes no other one's place.
        introduced.add(card(pids[3], b'x'));
        let names: Vec<_> = pids.iter().map(|&pid| name(&introduced, pid)).collect();
        let kept = [b'c', b'x', b'e', b'f'].map(Some);
        assert_eq!(names, [&[None, None], &kept[..]].concat());
    }

    #[test]
    fn every_cpu_has_its_idle_task() {
        let mut introduced = Introduced::default();
        introduced.add(Card {
            idle_cpu: 1,
            ..card(0, b'1')
        });
        assert!(introduced.get(0, 0).is_none());
        assert_eq!(introduced.get(0, 1).unwrap().comm[0], b'1');
    }
}
