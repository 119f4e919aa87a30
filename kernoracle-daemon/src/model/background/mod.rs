//! Learning in a thread of its own, with a budget, that the reader never has to wait for.
//!
//! A step runs as `SCHED_IDLE`: when nothing else wants the CPU. A thread that is preempted there keeps the locks that it holds, and where no
//! CPU is ever idle it keeps them for ever. Some of them nobody sees: it is in a page fault and holds the lock of the address space, which
//! `mmap`, `brk` and `munmap` of every other thread wait for; even on a real-time kernel, for readers of that lock inherit no priority
//! (kernel/locking/rwbase_rt.c). So:
//!
//! - Only a step has the lowest priority. All else that the thread does, its start too, has the reader's.
//! - The reader shares nothing with it but what it can take or leave at once ([`exchange`]), and neither frees memory that the other
//!   has allocated while a step is under way, which would need the lock of the other's arena.
//! - A third thread looks after a step that gets no CPU ([`guard`]), for what is left: the kernel's locks.

mod exchange;
mod guard;

use super::frame::Window;
use super::learner::{Learner, LearnerProgress};
use super::weights::Weights;
use crate::priority::Scheduling;
use exchange::Exchange;
use guard::Step;
use nix::time::ClockId;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    mpsc,
};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

#[derive(Debug)]
struct Shared {
    exchange: Exchange,
    step: Step,
    steps: AtomicU64,
    refused: AtomicU64,
    fallbacks: AtomicU64,
    cpu_ns: AtomicU64,
    loss_bits: AtomicU32,
    /// No step begins.
    held: AtomicBool,
    ending: AtomicBool,
}

/// The thread and what it gives back.
#[derive(Debug)]
pub struct Background {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts learning from `weights` on, with `cpu_share` (0 to 1) of one CPU. To be called in the thread that must not wait for the learner.
    pub fn start(weights: &Weights, seed: u64, cpu_share: f64) -> candle_core::Result<Self> {
        let shared = Arc::new(Shared {
            exchange: Exchange::default(),
            step: Step::new(Scheduling::of_caller()),
            steps: AtomicU64::default(),
            refused: AtomicU64::default(),
            fallbacks: AtomicU64::default(),
            cpu_ns: AtomicU64::default(),
            loss_bits: AtomicU32::default(),
            held: AtomicBool::default(),
            ending: AtomicBool::default(),
        });
        let (begun, begins) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("kernoracle-lrn".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                let weights = weights.clone();
                move || live(weights, seed, cpu_share, &shared, &begun)
            })?;
        // At once, not when it comes to do that itself: that may take it seconds.
        shared.step.tell(shared.step.usual().give_started(&thread));
        let started = begins
            .recv()
            .unwrap_or_else(|_| Err(std::io::Error::other("the learning thread panicked").into()));
        let background = Self {
            shared,
            thread: Some(thread),
        };
        started.map(|()| background)
    }

    /// Begins no step while `hold`: where no CPU has idle time, a thread of the lowest priority comes nowhere,
    /// but as long as it waits for the CPU it makes each switch of the others dearer (on pipe ping-pong by a
    /// third). A step that has begun is ended with an ordinary priority.
    pub fn hold(&self, hold: bool) {
        let held = self.shared.held.swap(hold, Ordering::SeqCst);
        if hold && !held {
            self.shared.step.hasten(Scheduling::FAIR);
        } else if held && !hold {
            self.wake();
        }
    }

    /// Steps are not held: the learner may have use for a window once it is full.
    pub fn wants(&self) -> bool {
        !self.shared.held.load(Ordering::Relaxed)
    }

    /// A window would be taken now. Never waits.
    pub fn has_room(&self) -> bool {
        self.wants() && self.shared.exchange.has_room()
    }

    /// Hands over a copy of a full window; `false` if the learner has no use for it now. Never waits.
    pub fn offer(&self, window: &Window) -> bool {
        let taken = self.wants() && self.shared.exchange.offer(window);
        if taken {
            self.wake();
        }
        taken
    }

    /// Takes new weights in place of `weights`, if there are any since the last call. Never waits.
    pub fn take(&self, weights: &mut Arc<Weights>) -> bool {
        let taken = self.shared.exchange.take(weights);
        if taken {
            // It frees those that are out of use.
            self.wake();
        }
        taken
    }

    /// How far the thread has come.
    pub fn progress(&self) -> LearnerProgress {
        LearnerProgress {
            steps: self.shared.steps.load(Ordering::Relaxed),
            refused: self.shared.refused.load(Ordering::Relaxed),
            fallbacks: self.shared.fallbacks.load(Ordering::Relaxed),
            loss_bits: f32::from_bits(self.shared.loss_bits.load(Ordering::Relaxed)),
            cpu_ns: self.shared.cpu_ns.load(Ordering::Relaxed),
            ..LearnerProgress::default()
        }
    }

    /// Ends the thread and waits for it: at most one step.
    pub fn stop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.shared.ending.store(true, Ordering::SeqCst);
        thread.thread().unpark();
        // Among hundreds of runnable tasks a thread of the lowest priority would end its step in a minute.
        self.shared.step.hasten(self.shared.step.usual());
        if thread.join().is_err() {
            tracing::error!("the learning thread panicked");
        }
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A thread that has used its budget up sleeps for so long at least.
const LEAST_PAUSE: Duration = Duration::from_millis(20);

/// The thread. The learner is made here: what a step frees is memory of this thread's own arena.
fn live(
    weights: Weights,
    seed: u64,
    cpu_share: f64,
    shared: &Shared,
    begun: &mpsc::SyncSender<candle_core::Result<()>>,
) {
    shared.step.tell(shared.step.usual().take_on());
    let learner = Learner::new(&weights, seed);
    drop(weights);
    let learner = match learner {
        Ok(learner) => learner,
        Err(error) => {
            _ = begun.send(Err(error));
            return;
        }
    };
    thread::scope(|scope| {
        // It inherits what this one has.
        let guard = match shared.step.guard(scope) {
            Ok(guard) => guard,
            Err(error) => {
                _ = begun.send(Err(error.into()));
                return;
            }
        };
        _ = begun.send(Ok(()));
        if let Err(error) = learn(learner, shared, &guard, cpu_share) {
            tracing::error!("learning has ended: {error}");
        }
    });
}

fn learn(
    mut learner: Learner,
    shared: &Shared,
    guard: &guard::Guard,
    cpu_share: f64,
) -> candle_core::Result<()> {
    let wall = Instant::now();
    let cpu_before = thread_cpu_ns();
    loop {
        let used = thread_cpu_ns().saturating_sub(cpu_before);
        shared.cpu_ns.store(used, Ordering::Relaxed);
        shared.exchange.receive(&mut learner);
        if shared.ending.load(Ordering::SeqCst) {
            return Ok(());
        }
        // What waits for a window, or for the end of a hold, is woken.
        if shared.held.load(Ordering::SeqCst) || !learner.ready() {
            thread::park();
            continue;
        }
        let pause = pause(Duration::from_nanos(used), cpu_share, wall.elapsed());
        if !pause.is_zero() {
            thread::park_timeout(pause);
            continue;
        }
        let step = {
            let _under_way = guard.begin();
            learner.step()
        };
        match step? {
            Some(report) => {
                shared.steps.fetch_add(1, Ordering::Relaxed);
                shared
                    .fallbacks
                    .fetch_add(u64::from(report.fell_back), Ordering::Relaxed);
                shared
                    .loss_bits
                    .store(report.loss_bits.to_bits(), Ordering::Relaxed);
                shared.exchange.publish(Arc::new(learner.weights().clone()));
            }
            None => {
                shared.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Until the budget covers what was used. Waking is paid for too: with a sleep as short as that of what the last one cost, the next step would never come.
fn pause(used: Duration, cpu_share: f64, elapsed: Duration) -> Duration {
    let due = Duration::from_secs_f64(used.as_secs_f64() / cpu_share.max(1e-6));
    let left = due.saturating_sub(elapsed);
    if left.is_zero() {
        left
    } else {
        left.max(LEAST_PAUSE)
    }
}

fn thread_cpu_ns() -> u64 {
    clock_ns(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn clock_ns(clock: ClockId) -> u64 {
    nix::time::clock_gettime(clock).map_or(0, |time| {
        time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
    })
}

#[cfg(test)]
mod tests;
