//! Trace files, whole in memory.

use kernoracle::trace::{
    TraceReader,
    event::{Body, Event},
    origin::Origin,
};
use std::path::Path;

/// All that a trace file gives.
#[derive(Debug)]
pub struct Trace {
    pub origin: Origin,
    pub events: Vec<Event>,
    /// What it does not give back, in a line.
    pub lost: Option<String>,
}

impl Trace {
    /// # Panics
    ///
    /// If it cannot be read.
    pub fn read(path: &Path) -> Self {
        let mut reader = TraceReader::open(path).unwrap_or_else(|error| panic!("{error}"));
        let mut events = Vec::new();
        while let Some(event) = reader
            .next_event()
            .unwrap_or_else(|error| panic!("{error}"))
        {
            events.push(event.clone());
        }
        Self {
            origin: reader.origin().clone(),
            lost: reader.lost().map(ToString::to_string),
            events,
        }
    }

    /// Numbers of each CPU without a hole; gaps count for what they say. The sum of the gaps.
    ///
    /// # Panics
    ///
    /// If a number is missing or time runs backwards.
    pub fn assert_continuous(&self) -> u64 {
        let mut all_lost = 0;
        for cpu in 0..self.origin.cpus {
            let (mut next, mut ts_ns) = (0, 0);
            for event in self.events.iter().filter(|event| event.cpu == cpu) {
                assert_eq!(event.seq, next, "{event:?}");
                assert!(event.ts_ns >= ts_ns, "{event:?}");
                ts_ns = event.ts_ns;
                next += match event.body {
                    Body::Gap { lost } => {
                        all_lost += lost;
                        lost
                    }
                    _ => 1,
                };
            }
        }
        all_lost
    }
}
