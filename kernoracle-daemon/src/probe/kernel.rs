//! The running kernel: what it is and what its BTF says.

use super::{
    Config,
    decode::Present,
    error::ProbeError,
    offsets::{self, BTF_PATH, Layout},
    programs::one_line,
};
use crate::trace::origin::{Origin, Scheduler};
use aya::Btf;
use kernoracle_common::field;
use nix::sys::utsname::uname;
use std::{
    fs,
    time::{Duration, SystemTime},
};

/// Inode of the initial pid name space: `PROC_PID_INIT_INO`, include/linux/proc_ns.h.
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

/// What was found.
#[derive(Debug)]
pub struct Kernel {
    pub btf: Btf,
    pub layout: Layout,
    pub release: String,
    pub machine: String,
    pub possible_cpus: usize,
    /// As the kernel writes the list.
    online: String,
}

impl Kernel {
    pub fn look() -> Result<Self, ProbeError> {
        let layout = Layout::resolve(&offsets::open()?)?;
        let btf = Btf::from_sys_fs().map_err(|error| ProbeError::BadBtf {
            path: BTF_PATH,
            reason: one_line(&error),
        })?;
        let names = uname().map_err(|e| ProbeError::Read {
            what: "uname",
            source: e.into(),
        })?;
        let possible_cpus =
            aya::util::nr_cpus().map_err(|(what, source)| ProbeError::Read { what, source })?;
        Ok(Self {
            btf,
            layout,
            release: names.release().to_string_lossy().into_owned(),
            machine: names.machine().to_string_lossy().into_owned(),
            possible_cpus,
            online: online()?,
        })
    }

    pub fn present(&self) -> Present {
        Present {
            deadline: self.layout.has::<field::OwnDeadline>(),
            slice: self.layout.has::<field::OwnSlice>(),
            vlag: self.layout.has::<field::OwnVlag>(),
            vlag_shared: self.layout.vlag_shared,
            delayed: self.layout.has::<field::OwnDelayed>(),
        }
    }

    pub fn origin(&self, config: &Config, includes_self: bool) -> Origin {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let command: Vec<_> = std::env::args_os()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect();
        Origin {
            kernel: self.release.clone(),
            machine: self.machine.clone(),
            scheduler: self.layout.scheduler(),
            cpus: self.possible_cpus as u32,
            recorded_cpus: config.cpus.clone(),
            clock: "CLOCK_MONOTONIC".to_owned(),
            absent_fields: self
                .layout
                .absent()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            command: command.join(" "),
            started_unix_ns: since_1970.unwrap_or(Duration::ZERO).as_nanos() as u64,
            includes_self,
            recorder: concat!("kernoracle ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// For a person.
    pub fn findings(&self, config: &Config, hooks: &str) -> Vec<String> {
        let absent = self.layout.absent();
        let fields = if absent.is_empty() {
            "every field resolved".to_owned()
        } else {
            format!("absent {}", absent.join(" "))
        };
        let cpus = if config.cpus.is_empty() {
            format!("all ({} online)", self.online)
        } else {
            let list: Vec<String> = config.cpus.iter().map(u32::to_string).collect();
            format!("{} ({} online)", list.join(","), self.online)
        };
        vec![
            format!(
                "kernel: {} {}, scheduler {}",
                self.release,
                self.machine,
                match self.layout.scheduler() {
                    Scheduler::Eevdf => "EEVDF",
                    Scheduler::Cfs => "CFS",
                    Scheduler::Unknown => "unknown",
                }
            ),
            format!("BTF: {BTF_PATH}, {fields}"),
            format!("hooks: {hooks}"),
            format!("CPUs: {cpus}"),
            format!("ring: {} KiB", config.ring_bytes / 1024),
        ]
    }
}

fn online() -> Result<String, ProbeError> {
    const PATH: &str = "/sys/devices/system/cpu/online";
    let list =
        fs::read_to_string(PATH).map_err(|source| ProbeError::Read { what: PATH, source })?;
    Ok(list.trim().to_owned())
}

pub fn in_initial_pid_namespace() -> bool {
    fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == INITIAL_PID_NAMESPACE)
}

/// Returns once no program that began before the call is running: they run inside RCU read sections,
/// and the barrier waits for those (`membarrier` in kernel/sched/membarrier.c calls `synchronize_rcu`).
pub fn wait_for_running_programs() {
    // MEMBARRIER_CMD_GLOBAL, include/uapi/linux/membarrier.h.
    const GLOBAL: libc::c_int = 1;
    // SAFETY: the call takes no pointer.
    if unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) } != 0 {
        // Refused with nohz_full CPUs. A program takes microseconds, and only in an interrupted one
        // another runs: this is ample.
        std::thread::sleep(Duration::from_millis(50));
    }
}
