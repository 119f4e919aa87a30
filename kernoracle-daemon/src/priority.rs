//! Scheduling priority of the daemon's own threads.

use std::io;

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

fn nice(value: i32) -> io::Result<()> {
    // SAFETY: takes numbers only; on Linux 0 is the calling thread, not its process.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, value) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
