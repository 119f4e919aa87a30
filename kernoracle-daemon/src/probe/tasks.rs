//! The snapshot from /proc, where the kernel has no task iterator: names, priorities and states, without
//! the scheduler's own numbers.

use super::error::ProbeError;
use crate::trace::event::{Body, Comm, Snapshot, Task};
use nix::time::{ClockId, clock_gettime};
use procfs::process::{Process, Stat};
use std::{collections::VecDeque, io};

/// A task as an event of its CPU.
#[derive(Clone, Debug)]
pub struct Listed {
    pub cpu: u32,
    /// `CLOCK_MONOTONIC`, ns.
    pub ts_ns: u64,
    pub body: Body,
}

/// All tasks but those of the thread group `own`; `cpus` is how many CPUs there can be.
pub fn list(own: u32, cpus: usize) -> Result<VecDeque<Listed>, ProbeError> {
    let failed = |error: procfs::ProcError| ProbeError::Read {
        what: "/proc",
        source: io::Error::other(error),
    };
    let mut listed = VecDeque::new();
    for process in procfs::process::all_processes().map_err(failed)? {
        // Processes and threads end while they are listed.
        let Ok(process) = process else { continue };
        let tgid = process.pid() as u32;
        if tgid != own {
            listed.extend(threads(&process, tgid, cpus));
        }
    }
    Ok(listed)
}

fn threads(process: &Process, tgid: u32, cpus: usize) -> Vec<Listed> {
    let Ok(tasks) = process.tasks() else {
        return Vec::new();
    };
    tasks
        .flatten()
        .filter_map(|task| listed(&task.stat().ok()?, tgid, cpus))
        .collect()
}

fn listed(stat: &Stat, tgid: u32, cpus: usize) -> Option<Listed> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).ok()?;
    let cpu = u32::try_from(stat.processor.unwrap_or(0)).ok()?;
    if cpu as usize >= cpus {
        return None;
    }
    let state = state(stat.state);
    // `task_prio` in kernel/sched/syscalls.c takes MAX_RT_PRIO away.
    let prio = (stat.priority + 100).clamp(0, 140) as u8;
    Some(Listed {
        cpu,
        ts_ns: now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64,
        body: Body::Snapshot(Snapshot {
            task: Task {
                pid: stat.pid as u32,
                tgid,
                comm: Comm::new(&stat.comm),
                prio,
                policy: stat.policy.unwrap_or(0) as u8,
                // PF_KTHREAD, include/linux/sched.h.
                kthread: stat.flags & 0x0020_0000 != 0,
                on_rq: state == 0,
                fair: None,
            },
            state,
            target_cpu: cpu,
            on_cpu: false,
        }),
    })
}

/// The bit that the kernel prints as this letter (`task_state_array`, fs/proc/array.c).
fn state(letter: char) -> u32 {
    match letter {
        'R' => 0x00,
        'D' => 0x02,
        'T' => 0x04,
        't' => 0x08,
        'X' => 0x10,
        'Z' => 0x20,
        'P' => 0x40,
        'I' => 0x402,
        _ => 0x01,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process_is_listed_unless_left_out() {
        let own = std::process::id();
        let has_own = |tasks: &VecDeque<Listed>| {
            tasks.iter().any(|listed| match &listed.body {
                Body::Snapshot(snapshot) => snapshot.task.tgid == own,
                _ => false,
            })
        };
        assert!(has_own(&list(0, usize::MAX).unwrap()));
        assert!(!has_own(&list(own, usize::MAX).unwrap()));
    }
}
