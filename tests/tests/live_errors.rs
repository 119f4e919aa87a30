//! What cannot work: one line that says what and what to do, exit status 2, nothing left behind.

use assert_cmd::Command;
use kernoracle_tests::{binary, kernoracle, limit::MemoryLimit, live_or_skip, one_line_with};
use nix::unistd::geteuid;
use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
};

const NOBODY: u32 = 65534;

/// Refused in one line.
fn refused(mut command: Command, says: &str) {
    command
        .env_remove("RUST_LOG")
        .env_remove("JOURNAL_STREAM")
        .assert()
        .code(2)
        .stdout("")
        .stderr(one_line_with(says));
}

/// Both commands that trace the kernel, for a moment.
fn commands(directory: &Path) -> [Vec<String>; 2] {
    let file = directory.join("a.kot").display().to_string();
    let words = |text: &[&str]| text.iter().map(|&word| word.to_owned()).collect();
    [
        words(&["run", "--duration", "1s"]),
        words(&["record", "--duration", "1s", "-o", &file]),
    ]
}

/// Runs `script` in a mount name space of its own, with the binary and its arguments as `"$@"`.
fn with_mounts(script: &str, arguments: &[String]) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-e", "-c", script, "sh"])
        .arg(binary())
        .args(arguments);
    command
}

#[test]
fn an_ordinary_user_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    // Where this user can reach and write, unlike the directory of the build perhaps.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let program = directory.path().join("kernoracle");
    fs::copy(binary(), &program).unwrap();
    let place = directory.path().join("written");
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).unwrap();
    for arguments in commands(&place) {
        let mut command = std::process::Command::new(&program);
        command.args(&arguments).current_dir(&place);
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        refused(Command::from_std(command), "run as root");
    }
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);

    let private = directory.path().join("private.kot");
    fs::write(&private, "").unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o000)).unwrap();
    for command in ["replay", "eval"] {
        let mut command_line = std::process::Command::new(&program);
        command_line.arg(command).arg(&private);
        if geteuid().is_root() {
            command_line.uid(NOBODY).gid(NOBODY);
        }
        refused(
            Command::from_std(command_line),
            "private.kot: Permission denied",
        );
    }
}

#[test]
fn a_kernel_without_its_types_is_refused() {
    let _alone = live_or_skip!("unshare");
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("written");
    let empty = directory.path().join("empty");
    fs::create_dir(&place).unwrap();
    fs::create_dir(&empty).unwrap();
    let other = directory.path().join("other");
    fs::write(&other, "not the types of a kernel\n").unwrap();
    // Another kernel's, as it were: one trace point has another name.
    let renamed = directory.path().join("renamed");
    let mut types = fs::read("/sys/kernel/btf/vmlinux").unwrap();
    let name = b"\0btf_trace_sched_waking\0";
    let at = types
        .windows(name.len())
        .position(|bytes| bytes == name)
        .expect("the trace point is in the types");
    types[at + name.len() - 2] = b'X';
    fs::write(&renamed, types).unwrap();

    let directory_over = format!(
        "mount --bind '{}' /sys/kernel/btf; exec \"$@\"",
        empty.display()
    );
    let file_over = |file: &Path| {
        format!(
            "mount --bind '{}' /sys/kernel/btf/vmlinux; exec \"$@\"",
            file.display()
        )
    };
    for arguments in commands(&place) {
        refused(
            with_mounts(&directory_over, &arguments),
            "CONFIG_DEBUG_INFO_BTF=y",
        );
        refused(
            with_mounts(&file_over(&other), &arguments),
            "/sys/kernel/btf/vmlinux: ",
        );
        refused(
            with_mounts(&file_over(&renamed), &arguments),
            "no trace point sched_waking",
        );
    }
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
}

#[test]
fn a_kernel_without_its_types_is_diagnosed() {
    let _alone = live_or_skip!("unshare");
    let empty = tempfile::tempdir().unwrap();
    let script = format!(
        "mount --bind '{}' /sys/kernel/btf; exec \"$@\"",
        empty.path().display()
    );
    with_mounts(&script, &["doctor".to_owned()])
        .assert()
        .code(1)
        .stdout(predicates::str::contains("MISSING  BTF"))
        .stdout(predicates::str::contains("CONFIG_DEBUG_INFO_BTF=y"));
}

#[test]
fn a_ring_that_cannot_be_is_refused() {
    let _alone = live_or_skip!("prlimit");
    let directory = tempfile::tempdir().unwrap();
    for (size, says) in [
        ("12M", "power of two"),
        ("1K", "power of two"),
        ("4G", "at most 2G"),
    ] {
        for arguments in commands(directory.path()) {
            let mut command = kernoracle();
            command.args(arguments).args(["--ring-size", size]);
            refused(command, says);
        }
    }
    // The daemon's own address space is too small to map it.
    for arguments in commands(directory.path()) {
        let mut command = Command::new("prlimit");
        command.arg("--as=1500000000").arg(binary());
        command.args(arguments).args(["--ring-size", "2G"]);
        refused(command, "use a smaller --ring-size");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_ring_larger_than_the_memory_is_refused() {
    let _alone = live_or_skip!();
    let limit = match MemoryLimit::new(256 << 20) {
        Ok(limit) => limit,
        Err(reason) => {
            println!("SKIPPED a_ring_larger_than_the_memory_is_refused: {reason}");
            return;
        }
    };
    let directory = tempfile::tempdir().unwrap();
    for arguments in commands(directory.path()) {
        let mut command = Command::new("sh");
        command
            .args(["-e", "-c", "echo $$ >\"$1\"; shift; exec \"$@\"", "sh"])
            .arg(limit.entrance())
            .arg(binary())
            .args(arguments)
            .args(["--ring-size", "1G"]);
        refused(command, "use a smaller --ring-size or free memory");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_disk_that_is_full_at_once_keeps_no_recording() {
    let _alone = live_or_skip!("unshare");
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("disk");
    fs::create_dir(&place).unwrap();
    let listing = directory.path().join("listing");
    // One page: the header fits, the first block does not.
    let script = format!(
        "mount -t tmpfs -o size=4k tmpfs '{place}'; status=0; \"$@\" || status=$?; ls -A '{place}' >'{listing}'; exit $status",
        place = place.display(),
        listing = listing.display(),
    );
    let file = place.join("full.kot");
    let forks = "i=0; while [ $i -lt 400 ]; do /bin/true; i=$((i+1)); done";
    let arguments = [
        "record",
        "-o",
        file.to_str().unwrap(),
        "--",
        "sh",
        "-c",
        forks,
    ];
    refused(
        with_mounts(&script, &arguments.map(str::to_owned)),
        "full.kot: No space left on device (os error 28); nothing was recorded, and no file is left behind",
    );
    assert_eq!(fs::read_to_string(&listing).unwrap(), "");
}
