//! What a trace file does not give back.

use std::fmt::{self, Write};

/// What a file that was cut or damaged does not give back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Byte offset at which the last whole block before the first loss ends.
    pub offset: u64,
    /// Bytes that were not read, at all places together.
    pub bytes: u64,
    /// One line: cut block, bad checksum, no end mark.
    pub why: String,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, bytes, why } = self;
        write!(f, "at byte {offset}: {why} ({bytes} bytes not read)")
    }
}

/// Sums up the places of loss.
#[derive(Debug, Default)]
pub struct Losses {
    sum: Option<Lost>,
    places: u64,
    /// Length of `why` without the count of places that are not told.
    told: usize,
}

impl Losses {
    /// Places that are told one by one; the others are counted.
    const TOLD: u64 = 4;

    pub fn add(&mut self, offset: u64, bytes: u64, why: &str) {
        self.places += 1;
        let Some(sum) = &mut self.sum else {
            self.told = why.len();
            self.sum = Some(Lost {
                offset,
                bytes,
                why: why.to_owned(),
            });
            return;
        };
        sum.bytes += bytes;
        sum.why.truncate(self.told);
        let written = if self.places <= Self::TOLD {
            write!(sum.why, "; at byte {offset}: {why}").map(|()| self.told = sum.why.len())
        } else {
            write!(sum.why, "; and at {} more places", self.places - Self::TOLD)
        };
        written.expect("a string takes everything");
    }

    pub fn sum(&self) -> Option<&Lost> {
        self.sum.as_ref()
    }
}
