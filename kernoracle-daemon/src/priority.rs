//! Scheduling priority of the daemon's own threads.

use nix::unistd::Pid;
use std::io;
use std::os::unix::thread::JoinHandleExt as _;
use std::thread::JoinHandle;

/// The writer falls behind under hundreds of runnable tasks, but must never hold up the reader.
const WRITER_NICE: i32 = -20;
/// The reader, where it may not be of the real-time class.
const READER_NICE: i32 = -20;

/// What the reader's thread got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// `SCHED_FIFO` with this priority.
    Fifo(u32),
    /// The fair class, with this niceness.
    Nice(i32),
}

/// Lets the calling thread run before those of the fair class, so that the ring is drained in time on a
/// CPU that hundreds of tasks share. With `rt_prio` 0: niceness -20. Its threads and children do not
/// inherit it.
pub fn favour_reader(rt_prio: u32) -> io::Result<Reader> {
    let policy = if rt_prio == 0 {
        libc::SCHED_OTHER
    } else {
        libc::SCHED_FIFO
    };
    let parameters = libc::sched_param {
        sched_priority: rt_prio as libc::c_int,
    };
    // SAFETY: pid 0 is the calling thread; the parameters outlive the call.
    let result = unsafe {
        libc::sched_setscheduler(0, policy | libc::SCHED_RESET_ON_FORK, &raw const parameters)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    if rt_prio == 0 {
        nice(READER_NICE)?;
        return Ok(Reader::Nice(READER_NICE));
    }
    Ok(Reader::Fifo(rt_prio))
}

/// Lets the calling thread, which writes the log, get the CPU now and then.
pub fn favour_writer() {
    if let Err(error) = nice(WRITER_NICE) {
        tracing::debug!("writer thread stays at its niceness: {error}");
    }
}

/// The calling thread.
const CALLER: Pid = Pid::from_raw(0);

/// How a thread is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduling {
    policy: libc::c_int,
    rt_priority: libc::c_int,
    /// Of the fair class.
    nice: i32,
}

impl Scheduling {
    /// Of the fair class, ahead of the others there.
    pub const FAIR: Self = Self {
        policy: libc::SCHED_OTHER,
        rt_priority: 0,
        nice: -20,
    };

    /// What the calling thread has.
    pub fn of_caller() -> Self {
        let mut parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: 0 is the calling thread, which there always is; the place outlives the calls.
        let (policy, nice) = unsafe {
            libc::sched_getparam(0, &raw mut parameters);
            (
                libc::sched_getscheduler(0),
                libc::getpriority(libc::PRIO_PROCESS, 0),
            )
        };
        Self {
            policy: policy & !libc::SCHED_RESET_ON_FORK,
            rt_priority: parameters.sched_priority,
            nice,
        }
    }

    /// Before all of the fair class.
    pub fn is_real_time(self) -> bool {
        self.rt_priority > 0
    }

    /// For the calling thread.
    pub fn take_on(self) -> io::Result<()> {
        self.give(CALLER)
    }

    /// For a thread of this process, which must not have ended. Nothing but two system calls.
    pub fn give(self, thread: Pid) -> io::Result<()> {
        let parameters = libc::sched_param {
            sched_priority: self.rt_priority,
        };
        // SAFETY: the parameters outlive the call.
        let result = unsafe {
            libc::sched_setscheduler(thread.as_raw(), self.policy, &raw const parameters)
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        if self.policy == libc::SCHED_OTHER {
            set_nice(thread, self.nice)?;
        }
        Ok(())
    }

    /// For a thread that may not have come to its first line yet. Its niceness stays.
    pub fn give_started<T>(self, thread: &JoinHandle<T>) -> io::Result<()> {
        let parameters = libc::sched_param {
            sched_priority: self.rt_priority,
        };
        // SAFETY: the thread has not been joined, so its handle is valid; the parameters outlive the call.
        let result = unsafe {
            libc::pthread_setschedparam(thread.as_pthread_t(), self.policy, &raw const parameters)
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(result))
        }
    }
}

/// `SCHED_IDLE` for the calling thread: it runs when nothing else wants the CPU.
pub fn lowest() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the structure outlives the call; 0 names the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn nice(value: i32) -> io::Result<()> {
    set_nice(CALLER, value)
}

/// On Linux of one thread, not of its process.
fn set_nice(thread: Pid, value: i32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    let result =
        unsafe { libc::setpriority(libc::PRIO_PROCESS, thread.as_raw() as libc::id_t, value) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
