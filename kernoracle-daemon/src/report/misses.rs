//! Why the at-switch predictions missed.

use super::fields::documented;
use crate::oracle::outcome::Cause;

documented! {
    /// At-switch predictions that missed, by cause. Their sum is all misses, exactly.
    #[derive(Copy, Default, PartialEq)]
    pub struct MissCounts {
        /// A wake-up from outside decided: an interrupt, a timer or another CPU woke the next task while the
        /// current one ran, or the wake-up that was expected did not come.
        pub arrival: u64,
        /// The next task was woken in the current task's run, by itself or by an interrupt that hit while it ran.
        pub woken_by_current: u64,
        /// Two tasks waited, the scheduler's choice if the current one sleeps and its choice if it stays
        /// runnable. It left the other way.
        pub sleep_or_stay: u64,
        /// The next task waited, but was not the scheduler's choice as rebuilt from events.
        pub order: u64,
        /// The next task was not known, or it was not known whether it was runnable.
        pub state_unknown: u64,
        /// The next task waited and was the scheduler's choice: the model should have known.
        pub model: u64,
        /// No cause was found.
        pub unnamed: u64,
    }
}

impl MissCounts {
    pub(super) fn add(&mut self, cause: Option<Cause>) {
        *match cause {
            Some(Cause::Arrival) => &mut self.arrival,
            Some(Cause::WokenByCurrent) => &mut self.woken_by_current,
            Some(Cause::SleepOrStay) => &mut self.sleep_or_stay,
            Some(Cause::Order) => &mut self.order,
            Some(Cause::StateUnknown) => &mut self.state_unknown,
            Some(Cause::Model) => &mut self.model,
            None => &mut self.unnamed,
        } += 1;
    }

    pub fn total(&self) -> u64 {
        self.named().iter().map(|(_, count)| count).sum()
    }

    /// As tables name them.
    pub(super) fn named(&self) -> [(&'static str, u64); 7] {
        let Self {
            arrival,
            woken_by_current,
            sleep_or_stay,
            order,
            state_unknown,
            model,
            unnamed,
        } = *self;
        [
            (Cause::Arrival.name(), arrival),
            (Cause::WokenByCurrent.name(), woken_by_current),
            (Cause::SleepOrStay.name(), sleep_or_stay),
            (Cause::Order.name(), order),
            (Cause::StateUnknown.name(), state_unknown),
            (Cause::Model.name(), model),
            ("unnamed", unnamed),
        ]
    }
}
