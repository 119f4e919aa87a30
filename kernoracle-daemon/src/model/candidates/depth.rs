//! How many tasks are listed: as many as it pays to list.
//!
//! Those listed last seldom come, and cost as much as the others. So now and then all are listed, and it is counted how far down the one
//! stood that came; in between the list is as short as hardly ever leaves out one that comes. Where the current task should run for long, the
//! list is whole: a prediction costs next to nothing there.

/// Lengths that a list may have, its two stand-ins included, besides that of a whole one.
const LENGTHS: [usize; 7] = [4, 5, 6, 7, 8, 9, 11];
/// The shortest list at a switch, and behind a wake-up, which has mostly decided who comes.
const SHORTEST: [usize; 2] = [5, 4];
/// Of so many lists one is whole, drawn at random: what comes at regular intervals must not hide behind them.
const EVERY: u32 = 16;
/// So many whole lists behind tasks of a role before one is shortened.
const FIRST: f32 = 32.0;
/// Share of the switches in which a shorter list may leave out the one that comes.
const LEFT_OUT: f32 = 0.005;
/// What is kept of a count from one whole list to the next.
const KEPT: f32 = 0.996;
/// Expected runs from here on are long, ns.
const LONG_NS: u64 = 2_000_000;
/// Sets of counts, which roles share where their numbers fall together.
const ROLES: usize = 64;

/// The lists behind tasks of a role; counts decay.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    /// Whole ones.
    whole: f32,
    /// In how many of these the one that came would not have been in a list of each length.
    beyond: [f32; LENGTHS.len()],
}

/// What the present list tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Present {
    Whole,
    Shortened,
    /// Nothing: the run should be long.
    Apart,
}

/// Lengths of lists on one CPU, of at-switch predictions and of refined ones.
#[derive(Clone, Debug)]
pub(super) struct Depth {
    records: [[Record; ROLES]; 2],
    present: [Present; 2],
    random: u32,
}

impl Default for Depth {
    fn default() -> Self {
        Self {
            records: [[Record::default(); ROLES]; 2],
            present: [Present::Apart; 2],
            random: 0x9e37_79b9,
        }
    }
}

impl Depth {
    /// The length of the list behind a task of `role` that should run for `run_ns`; at most `whole`.
    pub(super) fn length(&mut self, refined: bool, role: u32, run_ns: u64, whole: usize) -> usize {
        let kind = usize::from(refined);
        let record = &self.records[kind][role as usize % ROLES];
        let present = &mut self.present[kind];
        if run_ns >= LONG_NS {
            *present = Present::Apart;
            return whole;
        }
        // xorshift32 (Marsaglia 2003)
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        if record.whole < FIRST || self.random.is_multiple_of(EVERY) {
            *present = Present::Whole;
            return whole;
        }
        *present = Present::Shortened;
        let lengths = LENGTHS.iter().zip(record.beyond);
        let mut enough = lengths.filter(|(length, beyond)| {
            **length >= SHORTEST[kind] && *beyond <= LEFT_OUT * record.whole
        });
        (enough.next()).map_or(whole, |(length, _)| whole.min(*length))
    }

    /// The one at `place` of the present list has come; `None` for a stand-in.
    pub(super) fn came(&mut self, refined: bool, role: u32, place: Option<usize>) {
        let kind = usize::from(refined);
        if self.present[kind] != Present::Whole {
            return;
        }
        let record = &mut self.records[kind][role as usize % ROLES];
        record.whole = record.whole * KEPT + 1.0;
        for (beyond, length) in record.beyond.iter_mut().zip(LENGTHS) {
            let left_out = place.is_some_and(|place| place + 2 >= length);
            *beyond = *beyond * KEPT + f32::from(u8::from(left_out));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: usize = 14;
    const SHORT_RUN_NS: u64 = 10_000;

    /// Lengths of so many lists behind role 3; `place` says who comes.
    fn lengths(
        depth: &mut Depth,
        count: usize,
        mut place: impl FnMut(usize) -> Option<usize>,
    ) -> Vec<usize> {
        let one = |at| {
            let length = depth.length(false, 3, SHORT_RUN_NS, WHOLE);
            let place = place(at).filter(|place| place + 2 < length);
            depth.came(false, 3, place);
            length
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn a_list_is_as_long_as_it_pays() {
        let mut depth = Depth::default();
        // All come from the first three places: five with the stand-ins.
        let first = lengths(&mut depth, 400, |at| Some(at % 3));
        assert!(first[..32].iter().all(|length| *length == WHOLE));
        let later = &first[32..];
        let whole = later.iter().filter(|length| **length == WHOLE).count();
        assert!((10..40).contains(&whole), "one in {EVERY} of 368: {whole}");
        assert!(later.iter().all(|length| *length == WHOLE || *length == 5));
        // One in fifty comes from the eighth place: what leaves it out does not pay.
        let later = lengths(&mut depth, 4_000, |at| {
            Some(if at % 50 == 0 { 7 } else { 0 })
        });
        assert!(
            later[2_000..]
                .iter()
                .all(|length| *length == WHOLE || *length == 11)
        );
        assert_eq!(
            depth.length(false, 3 + ROLES as u32, SHORT_RUN_NS, 8),
            8,
            "never longer than a whole one"
        );
    }

    #[test]
    fn behind_a_wake_up_lists_are_shorter() {
        for (refined, shortest) in [(false, 5), (true, 4)] {
            let mut depth = Depth::default();
            let one = |_| {
                let length = depth.length(refined, 3, SHORT_RUN_NS, WHOLE);
                depth.came(refined, 3, Some(0));
                length
            };
            let lengths: Vec<usize> = (0..400).map(one).collect();
            assert_eq!(lengths.iter().min(), Some(&shortest));
        }
    }

    #[test]
    fn a_change_is_followed() {
        let mut depth = Depth::default();
        lengths(&mut depth, 2_000, |_| Some(0));
        let changed = lengths(&mut depth, 200, |_| Some(WHOLE - 3));
        assert!(
            changed[100..].iter().all(|length| *length == WHOLE),
            "{changed:?}"
        );
    }

    #[test]
    fn roles_kinds_and_long_runs_are_apart() {
        let mut depth = Depth::default();
        lengths(&mut depth, 400, |_| Some(0));
        assert_eq!(depth.length(false, 4, SHORT_RUN_NS, WHOLE), WHOLE);
        assert_eq!(depth.length(true, 3, SHORT_RUN_NS, WHOLE), WHOLE);
        for _ in 0..100 {
            assert_eq!(depth.length(false, 3, LONG_NS, WHOLE), WHOLE);
            depth.came(false, 3, Some(WHOLE - 3));
        }
        // None of that counted.
        assert!(lengths(&mut depth, 100, |_| Some(0)).contains(&5));
    }
}
