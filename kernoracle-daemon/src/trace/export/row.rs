//! A switch as a row.

use crate::trace::event::Switch;

/// What columns choose from.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    pub ts_ns: u64,
    /// ns since the last switch on this CPU; `None` for the first one, behind a gap, and where time runs back.
    pub diff_ns: Option<u64>,
    pub cpu: u32,
    /// Events of this CPU that were lost since its last switch.
    pub lost_before: u64,
    pub switch: &'a Switch,
}
