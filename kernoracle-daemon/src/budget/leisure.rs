//! Whether there is idle time to learn in.

use super::{IdleShare, share_of_mean};

/// Idle share of a CPU with which learning begins where there is no budget that says.
const NEEDED: f64 = 0.05;
/// Idle time beyond so many times what is needed counts for no more: it must not outweigh the busy time behind it.
const MOST: f64 = 2.0;
/// The learner's own time is not idle: it goes on with this part of what it needs to begin.
const GOES_ON: f64 = 0.25;

/// Learning begins while some CPU is idle often enough.
#[derive(Clone, Copy, Debug)]
pub struct Leisure {
    needed: f64,
    /// Mean of the idlest CPU's share.
    idle: f64,
    may_learn: bool,
}

impl Leisure {
    /// Learning needs this idle share of a CPU.
    pub fn new(needed: f64) -> Self {
        Self {
            needed,
            idle: 0.0,
            may_learn: false,
        }
    }

    /// Takes note of the last `wall_ns`.
    pub fn look(&mut self, idle: IdleShare, wall_ns: f64) {
        let best = idle.best.clamp(0.0, (MOST * self.needed).min(1.0));
        self.idle += (best - self.idle) * share_of_mean(wall_ns);
        let needed = if self.may_learn { GOES_ON } else { 1.0 } * self.needed;
        self.may_learn = self.idle > needed;
    }

    /// Some CPU has idle time for the learner.
    pub fn may_learn(&self) -> bool {
        self.may_learn
    }
}

impl Default for Leisure {
    fn default() -> Self {
        Self::new(NEEDED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learning_waits_for_idle_time() {
        let mut leisure = Leisure::default();
        assert!(!leisure.may_learn());
        let mut after = |best, looks| {
            for _ in 0..looks {
                leisure.look(IdleShare { here: 0.0, best }, 50e6);
            }
            leisure.may_learn()
        };
        assert!(after(0.5, 4));
        assert!(after(0.02, 40), "it takes some of what was idle");
        assert!(!after(0.0, 10), "half a second without any");
        assert!(!after(0.02, 40), "too little to begin with");
    }
}
