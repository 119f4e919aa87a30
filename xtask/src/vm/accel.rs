//! Whether this machine runs guests itself (KVM) or QEMU has to emulate them.

use std::{
    fs::{self, File},
    io::Read as _,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use super::{
    cache::Cache,
    child,
    qemu::{Qemu, Size},
};

/// What a guest that comes up under KVM needs at most.
const PROBE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Accel {
    /// The machine's own CPU
    Kvm,
    /// Emulation: works everywhere, ten to fifty times slower
    Tcg,
}

impl Accel {
    pub fn arguments(self, cpus: u32) -> [&'static str; 4] {
        match (self, cpus) {
            (Self::Kvm, _) => ["-accel", "kvm", "-cpu", "host"],
            (Self::Tcg, 1) => ["-accel", "tcg", "-cpu", "max"],
            // With a thread for each CPU guests hang where a kernel patches its code, as it does for a trace point.
            (Self::Tcg, _) => ["-accel", "tcg,thread=single", "-cpu", "max"],
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "KVM",
            Self::Tcg => "emulated",
        }
    }

    /// KVM where a guest comes up under it. Tried, because a device that opens says little: where this machine is itself
    /// a guest, the first instruction may fail. The answer is kept until the machine boots anew.
    pub fn detect(cache: &Cache, kernel: &Path, initramfs: &Path) -> Result<Self> {
        let device = Path::new("/dev/kvm");
        if let Err(error) = File::options().read(true).write(true).open(device) {
            eprintln!("vm: {}: {error}: emulating", device.display());
            return Ok(Self::Tcg);
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let dir = cache.get("kvm", boot, |dir| {
            let answer = match comes_up(kernel, initramfs)? {
                Ok(()) => "works".to_owned(),
                Err(reason) => reason,
            };
            fs::write(dir.join("answer"), answer)?;
            Ok(())
        })?;
        let answer = fs::read_to_string(dir.join("answer"))?;
        if answer == "works" {
            return Ok(Self::Kvm);
        }
        eprintln!("vm: KVM does not work here ({answer}): emulating");
        Ok(Self::Tcg)
    }
}

/// The reason if it does not.
fn comes_up(kernel: &Path, initramfs: &Path) -> Result<Result<(), String>> {
    let mut qemu = Qemu::new(
        Accel::Kvm,
        Size {
            cpus: 1,
            memory_mib: 512,
        },
        kernel,
        initramfs,
        "quiet kernoracle.probe",
    );
    let mut console = qemu.console()?;
    let (mut command, ends) = qemu.into_parts();
    let log = tempfile::tempfile()?;
    command.stdout(log.try_clone()?).stderr(log.try_clone()?);
    let mut child = child::Child::start(&mut command)?;
    drop(ends);
    console.set_read_timeout(Some(PROBE))?;
    let mut said = Vec::new();
    // It ends with QEMU, or with the time-out.
    let in_time = console.read_to_end(&mut said).is_ok();
    child.kill();
    if String::from_utf8_lossy(&said).contains("kernoracle: up") {
        return Ok(Ok(()));
    }
    let text = child::text(log).context("QEMU's messages")?;
    let last = text.lines().next_back().unwrap_or_default();
    Ok(Err(match (in_time, last) {
        (false, _) => format!("a guest does not come up in {} s", PROBE.as_secs()),
        (true, "") => "a guest stops at once".to_owned(),
        (true, last) => last.to_owned(),
    }))
}
