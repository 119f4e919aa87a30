//! A step that gets no CPU, and who sees to it.

use super::clock_ns;
use crate::priority::{self, Scheduling};
use nix::{time::ClockId, unistd::Pid};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread::{self, Scope, Thread};
use std::time::{Duration, Instant};

/// A step that gets no CPU for so long is ended with an ordinary priority. So long may a lock be held that somebody waits for.
const PATIENCE: Duration = Duration::from_millis(50);

/// The step that is under way, if one is.
#[derive(Debug)]
pub(super) struct Step {
    /// What the learner's thread has before and after it.
    usual: Scheduling,
    under_way: AtomicBool,
    over: AtomicBool,
    /// The learner's thread.
    thread: AtomicI32,
    /// It has been told that the thread stays as it is.
    told: AtomicBool,
}

/// The thread that looks after steps; it ends when this goes.
#[derive(Debug)]
pub(super) struct Guard<'a> {
    step: &'a Step,
    thread: Thread,
}

/// A step is under way as long as this lives: with the lowest priority.
#[derive(Debug)]
pub(super) struct UnderWay<'a>(&'a Step);

impl Step {
    /// Of a thread that has `usual` but in a step.
    pub(super) fn new(usual: Scheduling) -> Self {
        Self {
            usual,
            under_way: AtomicBool::default(),
            over: AtomicBool::default(),
            thread: AtomicI32::default(),
            told: AtomicBool::default(),
        }
    }

    pub(super) fn usual(&self) -> Scheduling {
        self.usual
    }

    /// Starts the thread that looks after the steps of the calling one, with the priority that this has now.
    pub(super) fn guard<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
    ) -> io::Result<Guard<'scope>> {
        self.thread
            .store(nix::unistd::gettid().as_raw(), Ordering::SeqCst);
        let clock = own_clock()?;
        let guard = thread::Builder::new()
            .name("kernoracle-grd".to_owned())
            .spawn_scoped(scope, move || self.watch(clock))?;
        Ok(Guard {
            step: self,
            thread: guard.thread().clone(),
        })
    }

    /// Lets the step that is under way, if there is one, go on with this. A step that has just ended leaves the thread with it, until the next.
    pub(super) fn hasten(&self, scheduling: Scheduling) {
        if self.under_way.load(Ordering::SeqCst) {
            let thread = Pid::from_raw(self.thread.load(Ordering::SeqCst));
            self.tell(scheduling.give(thread));
        }
    }

    /// Says once that the thread stays as it is.
    pub(super) fn tell(&self, result: io::Result<()>) {
        if let Err(error) = result
            && !self.told.swap(true, Ordering::Relaxed)
        {
            tracing::warn!("the priority of the learning thread cannot be changed: {error}");
        }
    }

    /// Allocates nothing, and takes no lock but in the calls that help the learner: it must not wait for what it is there to free.
    fn watch(&self, learner: ClockId) {
        while !self.over.load(Ordering::SeqCst) {
            if !self.under_way.load(Ordering::SeqCst) {
                thread::park();
                continue;
            }
            let (mut used, mut since) = (clock_ns(learner), Instant::now());
            while self.under_way.load(Ordering::SeqCst) {
                thread::park_timeout(PATIENCE);
                let now = clock_ns(learner);
                if now != used {
                    (used, since) = (now, Instant::now());
                } else if since.elapsed() >= PATIENCE {
                    self.hasten(Scheduling::FAIR);
                    since = Instant::now();
                }
            }
        }
    }
}

impl Guard<'_> {
    /// A step begins.
    pub(super) fn begin(&self) -> UnderWay<'_> {
        self.step.under_way.store(true, Ordering::SeqCst);
        self.thread.unpark();
        let under_way = UnderWay(self.step);
        self.step.tell(priority::lowest());
        under_way
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.step.over.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.tell(self.0.usual.take_on());
        self.0.under_way.store(false, Ordering::SeqCst);
    }
}

/// The clock of the calling thread's CPU time, for others to read.
fn own_clock() -> io::Result<ClockId> {
    let mut clock = 0;
    // SAFETY: the calling thread lives; the place outlives the call.
    let result = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) };
    if result == 0 {
        Ok(ClockId::from_raw(clock))
    } else {
        Err(io::Error::from_raw_os_error(result))
    }
}
