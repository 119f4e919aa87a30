//! How fast a CPU really runs: a virtual machine's share of its core comes and goes, and no counter inside tells.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::machine::Pinned;

/// Cycles of a step: three shifts and three exclusive ors, each of which waits for the one before and takes one cycle on any CPU of the
/// last twenty years.
const CYCLES: f64 = 6.0;
const STEPS: u64 = 5_000_000;
/// Samples: short ones, apart, for the speed changes within a second.
const SAMPLES: usize = 10;
const PAUSE: Duration = Duration::from_millis(50);

/// GHz in each of some samples on a CPU.
pub fn effective_ghz(cpu: usize) -> Result<Vec<f64>> {
    let pinned = Pinned::to(cpu)?;
    let samples = (0..SAMPLES)
        .map(|_| {
            std::thread::sleep(PAUSE);
            sample()
        })
        .collect();
    drop(pinned);
    Ok(samples)
}

fn sample() -> f64 {
    let mut x = black_box(1_u64);
    let start = Instant::now();
    for _ in 0..STEPS {
        // Marsaglia's xorshift: no compiler knows a shorter way.
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    let took = start.elapsed();
    black_box(x);
    CYCLES * STEPS as f64 / took.as_secs_f64() / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_some_gigahertz() {
        let samples = effective_ghz(0).unwrap();
        assert_eq!(samples.len(), SAMPLES);
        assert!(
            samples.iter().all(|ghz| *ghz > 0.001 && *ghz < 20.0),
            "{samples:?}"
        );
    }
}
