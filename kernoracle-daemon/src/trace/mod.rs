//! Events, and the file that keeps them.

pub mod event;
pub mod origin;
