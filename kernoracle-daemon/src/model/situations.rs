//! What a moment has in common with earlier ones, beyond the order of the last tasks: keys that the context counts are kept under.

use crate::runqueue::{RunQueues, Status, Sym};

/// Index of each key among the counts' situations.
pub const WAITING: usize = 0;
pub const WAITING2: usize = 1;
pub const ASLEEP: usize = 2;
pub const WOKEN: usize = 3;

/// The finaliser of splitmix64 (Steele, Lea and Flood 2014).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn of(sym: Sym) -> u64 {
    mix(u64::from(sym.raw()).wrapping_add(0x9e37_79b9_7f4a_7c15))
}

/// Which tasks wait, in whatever order.
fn waiting(queues: &RunQueues, cpu: u32) -> u64 {
    queues
        .cpu_ref(cpu)
        .runnable
        .iter()
        .fold(0, |sum, &sym| sum.wrapping_add(of(sym)))
}

/// The keys right after a switch, in the order of the indices above; `recent` are the tasks that ran last, the current one first.
pub fn at_switch(queues: &RunQueues, cpu: u32, recent: &[Sym]) -> [u64; 3] {
    let part = |i: usize| recent.get(i).map_or(0, |&sym| of(sym));
    let current = part(0);
    let waiting = mix(current ^ waiting(queues, cpu).rotate_left(17));
    // The deepest sleepers first, then by when they fell asleep: devices answer in the order in which they were asked.
    let mut asleep: arrayvec::ArrayVec<(bool, u64, Sym), 16> = recent
        .iter()
        .filter(|&&sym| {
            queues
                .get(sym)
                .is_some_and(|task| task.status == Status::Sleeping)
        })
        .take(16)
        .map(|&sym| {
            let task = queues.task(sym);
            (!task.deep_sleep, task.since_ns, sym)
        })
        .collect();
    asleep.sort_unstable();
    let asleep = asleep
        .iter()
        .take(2)
        .fold(mix(current), |key, (_, _, sym)| mix(key ^ of(*sym)));
    [
        waiting,
        mix(waiting.wrapping_add(part(1).rotate_left(7))),
        asleep,
    ]
}

/// The key after a wake-up.
pub fn woken(queues: &RunQueues, cpu: u32, current: Sym) -> u64 {
    let last = queues.cpu_ref(cpu).last_woken.map_or(0, of);
    mix(of(current) ^ waiting(queues, cpu).rotate_left(17) ^ last.rotate_left(31))
}
