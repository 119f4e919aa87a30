//! Both linear parts, which are kept and stored together.

use super::mixer::Mixer;
use super::run_mixer::RunMixer;

/// The part of the model that follows every switch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Linear {
    /// Scores candidates.
    pub candidates: Mixer,
    /// Shifts the run time's quantiles.
    pub run: RunMixer,
}
