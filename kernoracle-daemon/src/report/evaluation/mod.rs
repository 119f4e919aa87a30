//! Scores of trace files, each and as the mean over them.

mod load_score;
mod macro_mean;
mod text;

pub use load_score::{LoadScore, Parts};
pub use macro_mean::MacroMean;

use super::{fields::documented, lines::TraceLost, score::Scores};

documented! {
    /// Scores of one trace file.
    pub struct Load {
        /// The file, as it was named.
        pub file: String,
        /// Release of the traced kernel.
        pub kernel: String,
        /// `eevdf`, `cfs` or `unknown`.
        pub scheduler: String,
        /// The command that was recorded.
        pub command: String,
        /// Over all switches.
        pub all: Scores,
        /// Over the switches behind the warm-up share only; the model and the baselines have learned from
        /// those before.
        pub after_warm_up: Scores,
        /// Over the switches up to the 1,000th scored one: how good a fresh start is.
        pub first_1000: Scores,
        /// The same switches, played once more to the oracle that has learned the whole file: what a start
        /// could reach if everything were known. The baselines have learned it too. It flatters: what is
        /// remembered may be these very switches.
        pub first_1000_again: Scores,
        /// Over the switches behind those.
        pub after_first_1000: Scores,
        /// Over the second half of the switches.
        pub last_half: Scores,
        /// What the file does not give back; null if it is whole.
        pub trace_lost: Option<TraceLost>,
    }
}

documented! {
    /// Prequential scores of trace files: every switch is predicted, scored, then learned.
    pub struct Evaluation {
        /// Share of each file's switches that `after_warm_up` leaves out, 0 to 1.
        pub warm_up: f64,
        /// One for each file.
        pub loads: Vec<Load>,
        /// Mean over the loads' `all`.
        pub macro_mean: MacroMean,
        /// Mean over the loads' `after_warm_up`.
        pub macro_mean_after_warm_up: MacroMean,
        /// Mean over the loads' `first_1000`.
        pub macro_mean_first_1000: MacroMean,
        /// Mean over the loads' `first_1000_again`.
        pub macro_mean_first_1000_again: MacroMean,
        /// Mean over the loads' `after_first_1000`; loads that are shorter have no part in it.
        pub macro_mean_after_first_1000: MacroMean,
        /// Mean over the loads' `last_half`.
        pub macro_mean_last_half: MacroMean,
    }
}

impl Evaluation {
    pub fn new(warm_up: f64, loads: Vec<Load>) -> Self {
        let mean = |part: fn(&Load) -> &Scores| MacroMean::of(loads.iter().map(part));
        Self {
            warm_up,
            macro_mean: mean(|load| &load.all),
            macro_mean_after_warm_up: mean(|load| &load.after_warm_up),
            macro_mean_first_1000: mean(|load| &load.first_1000),
            macro_mean_first_1000_again: mean(|load| &load.first_1000_again),
            macro_mean_after_first_1000: mean(|load| &load.after_first_1000),
            macro_mean_last_half: mean(|load| &load.last_half),
            loads,
        }
    }
}
