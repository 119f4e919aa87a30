//! Events to streams and back. What an event says is compared with what the events before it in the
//! same block let expect; mostly a few mask bytes and the timings are left.

mod bits;
mod entity;
mod event;
mod fair;
mod kind;
mod number;
mod state;
mod stream;
mod task;
#[cfg(test)]
mod tests;
mod wire;

pub use event::{Codec, next_seq};
pub use stream::Stream;
pub use wire::{Columns, Cursors, Malformed, pull_leb, push_leb};
