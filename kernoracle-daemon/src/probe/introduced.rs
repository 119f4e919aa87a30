//! The tasks that the programs have introduced.
//!
//! Bounded as the programs' memory is: a place holds the last few cards that were introduced there. One would be enough, but
//! for a program on another CPU that finds its task told, and reserves its record behind the introduction of another one, or of the same
//! with a card that it had before or has now. A record's check says which card it means.

use super::decode::name;
use kernoracle_common::{Card, MAX_CPUS, PLACES, check, place};

/// Cards of a place that are remembered.
const LAST: usize = 4;
/// Places that get their memory together, once one of them is used.
const PAGE: usize = 64;

/// The cards that records behind them rely on.
#[derive(Debug)]
pub struct Introduced(Vec<Option<Box<Page>>>);

type Page = [Slot; PAGE];

/// The newest first.
type Slot = [Option<Told>; LAST];

#[derive(Clone, Copy, Debug)]
struct Told {
    check: u8,
    card: Card,
}

impl Default for Introduced {
    fn default() -> Self {
        let mut pages = Vec::new();
        pages.resize_with((PLACES + MAX_CPUS).div_ceil(PAGE), || None);
        Self(pages)
    }
}

impl Introduced {
    /// `card` as it is in the record: the check is of its bytes.
    pub fn add(&mut self, card: Card) {
        let check = check(card.digest());
        let place = place(card.pid, card.idle_cpu);
        let page = self.0[place / PAGE].get_or_insert_with(|| Box::new([[None; LAST]; PAGE]));
        let slot = &mut page[place % PAGE];
        let old = slot
            .iter()
            .position(|old| old.is_some_and(|old| old.card.pid == card.pid && old.check == check))
            .unwrap_or(LAST - 1);
        slot[..=old].rotate_right(1);
        let comm = name(card.comm);
        slot[0] = Some(Told {
            check,
            card: Card { comm, ..card },
        });
    }

    /// The card with that check. `cpu` tells the idle tasks apart.
    pub fn get(&self, pid: u32, cpu: u32, check: u8) -> Option<&Card> {
        let place = place(pid, cpu);
        let page = self.0[place / PAGE].as_ref()?;
        page[place % PAGE]
            .iter()
            .flatten()
            .find(|told| told.card.pid == pid && told.check == check)
            .map(|told| &told.card)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(pid: u32, name: u8) -> Card {
        let mut comm = [0; 16];
        comm[0] = name;
        Card {
            pid,
            comm,
            ..Card::default()
        }
    }

    /// The name on a card, if it is known.
    fn name(introduced: &Introduced, card: Card) -> Option<u8> {
        let check = check(card.digest());
        introduced
            .get(card.pid, card.idle_cpu, check)
            .map(|card| card.comm[0])
    }

    #[test]
    fn a_record_means_the_card_that_it_was_written_with() {
        let mut introduced = Introduced::default();
        let (old, new) = (card(7, b'a'), card(7, b'b'));
        assert_eq!(name(&introduced, old), None);
        introduced.add(old);
        assert_eq!(name(&introduced, new), None);
        introduced.add(new);
        // Told again by a program that had read it before it changed.
        introduced.add(old);
        assert_eq!(name(&introduced, old), Some(b'a'));
        assert_eq!(name(&introduced, new), Some(b'b'));
    }

    #[test]
    fn tasks_of_a_place_are_told_apart_and_the_oldest_goes() {
        let mut introduced = Introduced::default();
        let cards: Vec<Card> = (0..6)
            .zip(b'a'..)
            .map(|(i, name)| card(7 + i * PLACES as u32, name))
            .collect();
        let known = |introduced: &Introduced| -> Vec<Option<u8>> {
            cards.iter().map(|&card| name(introduced, card)).collect()
        };
        for &card in &cards {
            introduced.add(card);
        }
        let kept = [b'c', b'd', b'e', b'f'].map(Some);
        assert_eq!(known(&introduced), [&[None, None], &kept[..]].concat());
        // Introduced again, a card takes no other one's place.
        introduced.add(cards[3]);
        assert_eq!(known(&introduced), [&[None, None], &kept[..]].concat());
        // And it is the newest now.
        for name in b'x'..=b'z' {
            introduced.add(card(7, name));
        }
        let kept = [None, None, None, Some(b'd'), None, None];
        assert_eq!(known(&introduced), kept);
    }

    #[test]
    fn every_cpu_has_its_idle_task() {
        let mut introduced = Introduced::default();
        let idle = |idle_cpu| Card {
            idle_cpu,
            ..card(0, b'1')
        };
        introduced.add(idle(1));
        assert_eq!(name(&introduced, idle(0)), None);
        assert_eq!(name(&introduced, idle(1)), Some(b'1'));
    }
}
