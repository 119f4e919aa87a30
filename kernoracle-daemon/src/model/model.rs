//! A whole model: network, linear parts, and where they come from.

use super::linear::Linear;
use super::weights::Weights;
use crate::runqueue::Roles;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A whole model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub weights: Weights,
    pub linear: Linear,
    /// Roles that the weights know by name.
    pub roles: Roles,
    /// How it was trained; `None` if only by running.
    pub training: Option<Training>,
    /// Size of the file that it was read from.
    pub bytes: Option<usize>,
}

/// How a model was trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Names of the recordings.
    pub files: Vec<String>,
    /// Day (UTC).
    pub date: String,
    pub seed: u64,
    /// Passes over the recordings after which the best weights were reached.
    pub epochs: u32,
    /// On the last part of each recording, the mean over recordings, without learning.
    pub validation_bits: f64,
    pub validation_top1: f64,
    pub validation_refined_bits: f64,
    pub validation_refined_top1: f64,
}

impl Model {
    /// Weights drawn by `seed`.
    pub fn untrained(seed: u64) -> Self {
        Self {
            weights: Weights::untrained(seed),
            linear: Linear::default(),
            roles: Roles::default(),
            training: None,
            bytes: None,
        }
    }
}

/// Recordings named in one line.
const NAMED: usize = 4;

/// `trained on a, b, c, d and 7 more, 2026-01-31, 75000 bytes, without lstm`.
impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.training {
            Some(training) => {
                let named = training.files.len().min(NAMED);
                write!(f, "trained on {}", training.files[..named].join(", "))?;
                if training.files.len() > NAMED {
                    write!(f, " and {} more", training.files.len() - NAMED)?;
                }
                write!(f, ", {}", training.date)?;
            }
            None => f.write_str("not pretrained")?,
        }
        if let Some(bytes) = self.bytes {
            write!(f, ", {bytes} bytes")?;
        }
        let without = self.weights.without.to_string();
        if !without.is_empty() {
            write!(f, ", without {without}")?;
        }
        Ok(())
    }
}
