//! What this kernel and this user can do, as a list to print and to put into a bug report.

use super::{
    config::least_ring,
    error::ProbeError,
    kernel::Kernel,
    offsets::{self, BTF_PATH, FIELDS, Layout, TRACEPOINTS},
    programs,
};
use aya::Btf;
use nix::sys::{
    resource::{RLIM_INFINITY, Resource, getrlimit},
    utsname::uname,
};
use std::{collections::BTreeSet, fs};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: String,
    pub ok: bool,
    /// Without it, nothing can be captured.
    pub required: bool,
    /// What was found.
    pub detail: String,
    /// What to do, where something can be done.
    pub remedy: Option<String>,
}

impl Check {
    fn new(name: &str, required: bool, found: Result<String, (String, String)>) -> Self {
        let name = name.to_owned();
        match found {
            Ok(detail) => Self {
                name,
                ok: true,
                required,
                detail,
                remedy: None,
            },
            Err((detail, remedy)) => {
                let remedy = Some(remedy).filter(|remedy| !remedy.is_empty());
                Self {
                    name,
                    ok: false,
                    required,
                    detail,
                    remedy,
                }
            }
        }
    }
}

/// Looks at everything that a capture needs or likes to have; loads and attaches the programs for a
/// moment, with recording off.
pub fn capabilities() -> Vec<Check> {
    let mut checks = vec![
        Check::new("kernel", true, kernel_version()),
        Check::new("permission", true, permission()),
        Check::new("lockdown", true, lockdown()),
        Check::new("memory limit", false, memory_limit()),
        Check::new("JIT", false, jit()),
        Check::new("unprivileged BPF", false, Ok(unprivileged())),
        Check::new("tracefs", false, Ok("not needed".to_owned())),
    ];
    types(&mut checks);
    trial(&mut checks);
    checks
}

fn failed(error: &ProbeError) -> (String, String) {
    // The variants' text says what to do behind its last colon.
    let text = error.to_string();
    match text.rsplit_once(": ") {
        Some((detail, remedy)) => (detail.to_owned(), remedy.to_owned()),
        None => (text, String::new()),
    }
}

type Found = Result<String, (String, String)>;

fn kernel_version() -> Found {
    let release = match uname() {
        Ok(names) => names.release().to_string_lossy().into_owned(),
        Err(errno) => return Err((format!("uname: {errno}"), String::new())),
    };
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|n| n.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (5, 14) {
        return Ok(release);
    }
    Err((release, "use Linux 5.14 or later".to_owned()))
}

fn permission() -> Found {
    const CAP_SYS_ADMIN: u64 = 1 << 21;
    const CAP_PERFMON: u64 = 1 << 38;
    const CAP_BPF: u64 = 1 << 39;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    if effective & CAP_SYS_ADMIN != 0 {
        return Ok("CAP_SYS_ADMIN".to_owned());
    }
    if effective & CAP_BPF != 0 && effective & CAP_PERFMON != 0 {
        return Ok("CAP_BPF and CAP_PERFMON".to_owned());
    }
    let user = nix::unistd::geteuid();
    Err((
        format!("user {user} has neither CAP_SYS_ADMIN nor CAP_BPF and CAP_PERFMON"),
        "run as root".to_owned(),
    ))
}

fn lockdown() -> Found {
    let Ok(modes) = fs::read_to_string("/sys/kernel/security/lockdown") else {
        return Ok("not in this kernel".to_owned());
    };
    // The mode in force is in brackets.
    let mode = modes
        .split(['[', ']'])
        .nth(1)
        .unwrap_or("unknown")
        .to_owned();
    if mode == "confidentiality" {
        return Err((
            format!("{mode}: BPF may not read the kernel's memory"),
            "boot with lockdown=integrity or less".to_owned(),
        ));
    }
    Ok(mode)
}

fn memory_limit() -> Found {
    // Maps are charged to the memory cgroup since 5.11; the supported kernels are later.
    match getrlimit(Resource::RLIMIT_MEMLOCK) {
        Ok((RLIM_INFINITY, _)) => Ok("memlock unlimited".to_owned()),
        Ok((bytes, _)) => Ok(format!("memlock {bytes} bytes, not applied to BPF")),
        Err(errno) => Err((format!("memlock: {errno}"), String::new())),
    }
}

fn jit() -> Found {
    match fs::read_to_string("/proc/sys/net/core/bpf_jit_enable") {
        Ok(value) if value.trim() == "0" => Err((
            "off: programs are interpreted".to_owned(),
            "sysctl net.core.bpf_jit_enable=1".into(),
        )),
        Ok(_) => Ok("on".to_owned()),
        // Without CONFIG_BPF_JIT_ALWAYS_ON and CONFIG_SYSCTL the file may be missing.
        Err(error) => Ok(format!("not told ({error})")),
    }
}

fn unprivileged() -> String {
    match fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled") {
        Ok(value) if value.trim() == "0" => "allowed; not needed".to_owned(),
        Ok(_) => "disabled; not needed".to_owned(),
        Err(error) => format!("not told ({error}); not needed"),
    }
}

/// What the kernel's BTF has.
fn types(checks: &mut Vec<Check>) {
    let btf = match offsets::open() {
        Ok(btf) => btf,
        Err(error) => return checks.push(Check::new("BTF", true, Err(failed(&error)))),
    };
    checks.push(Check::new("BTF", true, Ok(BTF_PATH.to_owned())));
    for name in TRACEPOINTS {
        let found = if offsets::has_tracepoint(&btf, name) {
            Ok("with its arguments' types".to_owned())
        } else {
            Err(failed(&ProbeError::NoTracepoint { name }))
        };
        checks.push(Check::new(&format!("trace point {name}"), true, found));
    }
    let layout = match Layout::resolve(&btf) {
        Ok(layout) => layout,
        Err(error) => return checks.push(Check::new("fields", true, Err(failed(&error)))),
    };
    let of_kind = |required| {
        let fields = FIELDS.iter().filter(|field| field.required == required);
        fields.map(|field| field.name).collect::<BTreeSet<_>>()
    };
    let required = of_kind(true).len();
    checks.push(Check::new(
        "fields",
        true,
        Ok(format!("all {required} that are needed")),
    ));
    let absent = layout.absent();
    let optional = of_kind(false).len();
    let found = if absent.is_empty() {
        Ok(format!("all {optional}"))
    } else {
        let list = absent.join(" ");
        Err((
            format!("absent {list}"),
            "none needed: they are marked absent".to_owned(),
        ))
    };
    checks.push(Check::new("optional fields", false, found));
    let found = if layout.prev_state_arg {
        Ok("an argument of sched_switch".to_owned())
    } else {
        Ok("read from the task, for sched_switch does not pass it".to_owned())
    };
    checks.push(Check::new("prev_state", false, found));
}

/// Does what a capture does, short of recording.
fn trial(checks: &mut Vec<Check>) {
    let mut push = |name: &str, required, found: Result<String, ProbeError>| {
        let ok = found.is_ok();
        checks.push(Check::new(
            name,
            required,
            found.map_err(|error| failed(&error)),
        ));
        ok
    };
    let Ok(kernel) = Kernel::look() else { return };
    let btf: &Btf = &kernel.btf;
    let mut ebpf = match programs::object(&kernel, least_ring(kernel.possible_cpus), &[]) {
        Ok(ebpf) => {
            push(
                "maps",
                true,
                Ok("arrays that are mapped, per-CPU arrays, ring buffer".to_owned()),
            );
            ebpf
        }
        Err(error) => {
            push("maps", true, Err(error));
            return;
        }
    };
    let loaded = match programs::load(&mut ebpf, &kernel) {
        Ok(loaded) => loaded,
        Err(error) => {
            push("programs", true, Err(error));
            return;
        }
    };
    push("programs", true, Ok(programs::describe(&loaded)));
    let attached = programs::attach(&mut ebpf, &loaded);
    push("attaching", true, attached.map(|()| "all".to_owned()));
    let found = match programs::load_iterator(&mut ebpf, btf) {
        Ok(Ok(())) => programs::run_iterator(&mut ebpf).map(|()| "runs".to_owned()),
        Ok(Err(reason)) => {
            let remedy = "none needed: the snapshot comes from /proc, without scheduler state";
            checks.push(Check::new(
                "task iterator",
                false,
                Err((reason, remedy.to_owned())),
            ));
            return;
        }
        Err(error) => Err(error),
    };
    push("task iterator", false, found);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_tells_and_names_are_unique() {
        let checks = capabilities();
        let mut names: Vec<_> = checks.iter().map(|check| check.name.clone()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), checks.len());
        for check in &checks {
            assert!(!check.detail.is_empty(), "{check:?}");
            assert!(!check.detail.contains('\n'), "{check:?}");
            assert!(!check.ok || check.remedy.is_none(), "{check:?}");
        }
    }
}
