//! The command line of QEMU: CPUs, two disks, channels to the host, nothing else.

use std::{
    os::{fd::AsRawFd as _, unix::net::UnixStream},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::accel::Accel;

pub const PROGRAM: &str = "qemu-system-x86_64";

/// What the guest has of the host.
#[derive(Clone, Copy)]
pub struct Size {
    pub cpus: u32,
    pub memory_mib: u32,
}

pub struct Qemu {
    command: Command,
    /// The child's ends: it has to find them open.
    ends: Vec<UnixStream>,
}

impl Qemu {
    pub fn new(accel: Accel, size: Size, kernel: &Path, initramfs: &Path, append: &str) -> Self {
        let mut command = Command::new(PROGRAM);
        command
            .args(["-machine", "pc", "-smp", &size.cpus.to_string()])
            .args(["-m", &size.memory_mib.to_string()])
            .args(accel.arguments(size.cpus))
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            // A panic, and a reboot, end it.
            .arg("-no-reboot")
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(initramfs)
            // On a busy machine the emulated timer may miss the kernel's check that there is one, which is a panic.
            .args([
                "-append",
                &format!("console=ttyS0 panic=-1 no_timer_check {append}"),
            ])
            .args(["-device", "virtio-serial-pci,max_ports=8"])
            .stdin(Stdio::null());
        Self {
            command,
            ends: Vec::new(),
        }
    }

    /// What is written to it goes to a temporary file that has no name; the image stays as it is however QEMU ends.
    pub fn disk(&mut self, image: &Path) -> &mut Self {
        // A comma in an option is doubled.
        let image = image.display().to_string().replace(',', ",,");
        self.command.arg("-drive").arg(format!(
            "file={image},format=raw,if=virtio,snapshot=on,cache=unsafe"
        ));
        self
    }

    /// The kernel's console.
    pub fn console(&mut self) -> Result<UnixStream> {
        let ours = self.channel("console")?;
        self.command.args(["-serial", "chardev:console"]);
        Ok(ours)
    }

    /// A port that the guest finds by the name `kernoracle.NAME`.
    pub fn port(&mut self, name: &str) -> Result<UnixStream> {
        let ours = self.channel(name)?;
        self.command.arg("-device").arg(format!(
            "virtserialport,chardev={name},name=kernoracle.{name}"
        ));
        Ok(ours)
    }

    /// This terminal as the guest's `/dev/hvc0`.
    pub fn terminal(&mut self) -> &mut Self {
        self.command
            .args(["-chardev", "stdio,id=terminal,signal=off"])
            .args(["-device", "virtconsole,chardev=terminal"])
            .stdin(Stdio::inherit());
        self
    }

    fn channel(&mut self, name: &str) -> Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair().context("a channel to the guest")?;
        fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty()))?;
        self.command
            .arg("-chardev")
            .arg(format!("socket,id={name},fd={}", theirs.as_raw_fd()));
        self.ends.push(theirs);
        Ok(ours)
    }

    /// To start it with; the ends have to live until then.
    pub fn into_parts(self) -> (Command, Vec<UnixStream>) {
        (self.command, self.ends)
    }
}
