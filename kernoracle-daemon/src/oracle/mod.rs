//! The loop: event in, score, update, predict, prediction out.

pub mod outcome;
