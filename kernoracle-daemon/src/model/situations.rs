//! What a moment has in common with earlier ones, beyond the order of the last tasks: keys that the context counts are kept under.

use crate::baseline::SITUATIONS;
use crate::runqueue::{RunQueues, Status, Sym};

/// Index of the key after a wake-up, behind those of [`at_switch`].
pub const WOKEN: usize = AT_SWITCH;
const AT_SWITCH: usize = SITUATIONS - 1;
/// Runs that are remembered.
const RUNS: usize = 6;

/// The last runs on a CPU: who, for about how long, and how it left.
#[derive(Clone, Debug, Default)]
pub struct Runs([u64; RUNS]);

impl Runs {
    /// `sym` has left after `run_ns`.
    pub fn left(&mut self, sym: Sym, run_ns: Option<u64>, stayed: bool) {
        self.0.copy_within(..RUNS - 1, 1);
        let length = run_ns.map_or(0, |ns| u64::from(ns.max(1).ilog2()));
        self.0[0] = mix(of(sym) ^ (length << 1 | u64::from(stayed)));
    }

    /// The sequence is broken.
    pub fn cut(&mut self) {
        *self = Self::default();
    }

    fn key(&self, current: u64, count: usize) -> u64 {
        self.0[..count]
            .iter()
            .fold(mix(current ^ count as u64), |key, run| mix(key ^ run))
    }
}

/// The finaliser of splitmix64 (Steele, Lea and Flood 2014).
pub(super) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Of the four that a task remembers.
const LAST_THREE: u64 = (1 << 48) - 1;

fn of(sym: Sym) -> u64 {
    sym.hash()
}

/// Which tasks wait, in whatever order.
fn waiting(queues: &RunQueues, cpu: u32) -> u64 {
    queues.cpu_ref(cpu).waiting
}

/// The keys right after a switch; `recent` are the tasks that ran last, the current one first.
pub fn at_switch(queues: &RunQueues, cpu: u32, recent: &[Sym], runs: &Runs) -> [u64; AT_SWITCH] {
    let part = |i: usize| recent.get(i).map_or(0, |&sym| of(sym));
    let current = part(0);
    let waiting = mix(current ^ waiting(queues, cpu).rotate_left(17));
    // The deepest sleepers first, then by when they fell asleep: devices answer in the order in which they were asked.
    let mut asleep = [u128::MAX; 2];
    for &sym in recent {
        let Some(task) = queues.get(sym) else {
            continue;
        };
        let key = u128::from(!task.deep_sleep) << 127
            | u128::from(task.since_ns) << 32
            | u128::from(sym.raw());
        let key = if task.status == Status::Sleeping {
            key
        } else {
            u128::MAX
        };
        asleep = [asleep[0].min(key), asleep[1].min(asleep[0].max(key))];
    }
    let asleep = (asleep.iter().filter(|key| **key != u128::MAX))
        .fold(mix(current), |hash, key| {
            mix(hash ^ of(Sym::from_raw(*key as u32)))
        });
    let (followed, woke, ran, role) = recent.first().map_or((0, 0, 0, 0), |&sym| {
        let task = queues.task(sym);
        (task.followed, task.woke, task.ran, u64::from(task.role))
    });
    [
        waiting,
        mix(waiting.wrapping_add(part(1).rotate_left(7))),
        asleep,
        runs.key(current, 1),
        runs.key(current, 3),
        runs.key(current, 6),
        mix(current ^ mix(followed & LAST_THREE)),
        mix(current ^ mix(woke & LAST_THREE)),
        mix(current ^ mix(ran & 0xffff_ffff)),
        mix(mix(role) ^ mix(ran & 0xffff_ffff_ffff)),
    ]
}

/// The key after a wake-up.
pub fn woken(queues: &RunQueues, cpu: u32, current: Sym) -> u64 {
    let last = queues.cpu_ref(cpu).last_woken.map_or(0, of);
    mix(of(current) ^ waiting(queues, cpu).rotate_left(17) ^ last.rotate_left(31))
}
