//! Learning in a thread of the lowest priority, with a budget.

use super::frame::Window;
use super::kept::Kept;
use super::learner::{Learner, LearnerProgress};
use super::weights::Weights;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use nix::time::ClockId;
use std::os::unix::thread::JoinHandleExt as _;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Windows that may wait for the learner.
const QUEUE: usize = 2;

#[derive(Debug, Default)]
struct Shared {
    fresh: Mutex<Option<Arc<Weights>>>,
    steps: AtomicU64,
    refused: AtomicU64,
    fallbacks: AtomicU64,
    cpu_ns: AtomicU64,
    loss_bits: AtomicU32,
    /// No step begins.
    held: AtomicBool,
}

/// The thread and what it gives back.
#[derive(Debug)]
pub struct Background {
    windows: Option<Sender<Kept>>,
    /// Windows that the learner is through with: their memory is used again.
    spare: Receiver<Kept>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts learning from `weights` on, with `cpu_share` (0 to 1) of one CPU.
    pub fn start(weights: &Weights, seed: u64, cpu_share: f64) -> candle_core::Result<Self> {
        let learner = Learner::new(weights, seed)?;
        let shared = Arc::new(Shared::default());
        let (sender, receiver) = bounded(QUEUE);
        let (through, spare) = bounded(QUEUE);
        let thread = std::thread::Builder::new()
            .name("kernoracle-lrn".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || {
                    lowest_priority();
                    if let Err(error) = learn(learner, (&receiver, &through), &shared, cpu_share) {
                        tracing::error!("learning has ended: {error}");
                    }
                }
            })?;
        Ok(Self {
            windows: Some(sender),
            spare,
            shared,
            thread: Some(thread),
        })
    }

    /// The learner has room for another window.
    pub fn wants(&self) -> bool {
        !self.shared.held.load(Ordering::Relaxed)
            && self
                .windows
                .as_ref()
                .is_some_and(|windows| !windows.is_full())
    }

    /// Begins no step while `hold`: where no CPU has idle time, a thread of the lowest priority comes nowhere,
    /// but as long as it waits for the CPU it makes each switch of the others dearer (on pipe ping-pong by a
    /// third). A step that has begun is ended with the caller's priority.
    pub fn hold(&self, hold: bool) {
        let held = self.shared.held.swap(hold, Ordering::Relaxed);
        if hold
            && !held
            && let Some(thread) = &self.thread
        {
            inherit_priority(thread);
        }
    }

    /// Hands over a copy of a full window. Never waits: a window that finds no room is not needed.
    pub fn offer(&self, window: &Window) {
        if let Some(windows) = &self.windows {
            let mut kept = self.spare.try_recv().unwrap_or_default();
            kept.fill(window);
            let _ = windows.try_send(kept);
        }
    }

    /// New weights, whole, if there are any since the last call.
    pub fn take(&self) -> Option<Arc<Weights>> {
        // A learner that holds the lock is about to let it go, or is preempted: not now, then.
        self.shared.fresh.try_lock().ok()?.take()
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
        self.windows = None;
        let Some(thread) = self.thread.take() else {
            return;
        };
        // Among hundreds of runnable tasks a thread of the lowest priority would end its step in a minute.
        inherit_priority(&thread);
        if thread.join().is_err() {
            tracing::error!("the learning thread panicked");
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop();
    }
}

fn learn(
    mut learner: Learner,
    (windows, through): (&Receiver<Kept>, &Sender<Kept>),
    shared: &Shared,
    cpu_share: f64,
) -> candle_core::Result<()> {
    let wall = Instant::now();
    let cpu_before = thread_cpu_ns();
    loop {
        let used = thread_cpu_ns().saturating_sub(cpu_before);
        shared.cpu_ns.store(used, Ordering::Relaxed);
        // Sleeps until the budget covers what was used.
        let due = Duration::from_secs_f64(used as f64 / 1e9 / cpu_share.max(1e-6));
        let pause = due
            .saturating_sub(wall.elapsed())
            .max(Duration::from_millis(1));
        if shared.held.load(Ordering::Relaxed) {
            // Without a timeout, which would make it wait for the CPU. A window comes when the hold is over.
            match windows.recv() {
                Ok(window) => {
                    if let Some(oldest) = learner.add_kept(window) {
                        let _ = through.try_send(oldest);
                    }
                }
                Err(_) => return Ok(()),
            }
            lowest_priority();
            continue;
        }
        match windows.recv_timeout(pause) {
            Ok(window) => {
                if let Some(oldest) = learner.add_kept(window) {
                    // With enough of them on the way, this one's memory is given back.
                    let _ = through.try_send(oldest);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        if !learner.ready() || wall.elapsed() < due {
            continue;
        }
        match learner.step()? {
            Some(report) => {
                shared.steps.fetch_add(1, Ordering::Relaxed);
                shared
                    .fallbacks
                    .fetch_add(u64::from(report.fell_back), Ordering::Relaxed);
                shared
                    .loss_bits
                    .store(report.loss_bits.to_bits(), Ordering::Relaxed);
                let weights = Arc::new(learner.weights().clone());
                *shared.fresh.lock().unwrap_or_else(PoisonError::into_inner) = Some(weights);
            }
            None => {
                shared.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn thread_cpu_ns() -> u64 {
    nix::time::clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(0, |time| {
        time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
    })
}

/// Gives a thread the caller's policy and priority.
fn inherit_priority(thread: &JoinHandle<()>) {
    let mut policy = 0;
    let mut parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: both places outlive the calls; the thread has not been joined, so its handle is valid.
    let result = unsafe {
        libc::pthread_getschedparam(libc::pthread_self(), &raw mut policy, &raw mut parameters);
        libc::pthread_setschedparam(thread.as_pthread_t(), policy, &raw const parameters)
    };
    if result != 0 {
        let error = std::io::Error::from_raw_os_error(result);
        tracing::debug!("the learning thread keeps its low priority: {error}");
    }
}

/// `SCHED_IDLE`: runs when nothing else wants the CPU.
fn lowest_priority() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the structure outlives the call; 0 names the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
    if result != 0 {
        let error = std::io::Error::last_os_error();
        tracing::warn!("the learning thread keeps its normal priority: {error}");
    }
}
