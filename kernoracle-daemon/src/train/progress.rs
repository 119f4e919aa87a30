//! How a training goes, epoch by epoch.

use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// What came of an epoch. Validation figures are means over recordings, of predictions without learning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub number: u32,
    /// Mean over the epoch's steps, at-switch, bits.
    pub training_bits: f64,
    pub validation_bits: f64,
    pub validation_top1: f64,
    pub refined_bits: f64,
    pub refined_top1: f64,
    /// Learning rate of the last step.
    pub rate: f64,
    pub windows: u64,
    /// Steps thrown away because their gradient was not finite.
    pub refused: u64,
    /// Time of the whole epoch, and of its steps alone.
    pub seconds: f64,
    pub step_seconds: f64,
    /// Better than every epoch before.
    pub best: bool,
}

/// The validation curve as CSV.
pub fn curve(epochs: &[Epoch]) -> String {
    let mut text = "epoch,training_bits,validation_bits,validation_top1,refined_bits,refined_top1,rate,seconds\n".to_owned();
    for e in epochs {
        _ = writeln!(
            text,
            "{},{:.5},{:.5},{:.5},{:.5},{:.5},{:.3e},{:.1}",
            e.number,
            e.training_bits,
            e.validation_bits,
            e.validation_top1,
            e.refined_bits,
            e.refined_top1,
            e.rate,
            e.seconds
        );
    }
    text
}
