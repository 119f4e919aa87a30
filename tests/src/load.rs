//! Loads: they run until they are dropped, a failing test included.

use crate::live;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// s; a load ends by itself when the test program was killed and could not end it.
const AT_MOST: &str = "180";

/// A command that keeps a CPU busy, with all that it starts.
#[derive(Debug)]
pub struct Load {
    child: Child,
    command: String,
}

impl Load {
    /// Starts a command that may only use this CPU.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start(cpu: u32, command: &[&str]) -> Self {
        let child = Command::new("timeout")
            .args(["--signal=KILL", AT_MOST])
            .args(["taskset", "--cpu-list", &cpu.to_string()])
            .args(command)
            .env("PATH", live::path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("timeout starts");
        Self {
            child,
            command: command.join(" "),
        }
    }

    /// Eight groups of twenty senders and twenty receivers over pipes.
    pub fn hackbench(cpu: u32) -> Self {
        Self::start(cpu, &["hackbench", "-p", "-g", "8", "-l", "100000000"])
    }

    /// Two senders and two receivers: switches without end, and yet the test gets its turn.
    pub fn small(cpu: u32) -> Self {
        Self::start(
            cpu,
            &["hackbench", "-p", "-g", "1", "-f", "2", "-l", "100000000"],
        )
    }

    /// Twenty senders and twenty receivers over sockets.
    pub fn messaging(cpu: u32) -> Self {
        Self::start(
            cpu,
            &[
                "perf",
                "bench",
                "sched",
                "messaging",
                "-g",
                "1",
                "-l",
                "100000000",
            ],
        )
    }

    /// # Panics
    ///
    /// If it has ended: what was measured was not under load.
    pub fn assert_running(&mut self) {
        let ended = self.child.try_wait().expect("a child can be asked");
        assert_eq!(ended, None, "{} has ended", self.command);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// nginx with one worker, and `ab` that asks it for a page, five requests at a time.
#[derive(Debug)]
pub struct Web {
    // Dropped in this order.
    ab: Load,
    nginx: Load,
    _directory: TempDir,
}

impl Web {
    /// # Panics
    ///
    /// If nginx does not come up.
    pub fn start(cpu: u32) -> Self {
        let directory = tempfile::tempdir().expect("a directory for nginx");
        let at = directory.path().display();
        // Free now; nobody else on this machine asks for ports by number.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        fs::write(
            directory.path().join("index.html"),
            "<p>hello</p>\n".repeat(40),
        )
        .expect("a page");
        let user = if nix::unistd::geteuid().is_root() {
            "user root;"
        } else {
            ""
        };
        let configuration = format!(
            "{user}
daemon off;
worker_processes 1;
pid {at}/pid;
error_log {at}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {at}/body;
    proxy_temp_path {at}/proxy;
    fastcgi_temp_path {at}/fastcgi;
    uwsgi_temp_path {at}/uwsgi;
    scgi_temp_path {at}/scgi;
    server {{ listen 127.0.0.1:{port}; root {at}; }}
}}
"
        );
        let file = directory.path().join("nginx.conf");
        fs::write(&file, configuration).expect("a configuration");
        let log = directory.path().join("error.log");
        let mut nginx = Load::start(
            cpu,
            &[
                "nginx",
                "-p",
                &at.to_string(),
                "-e",
                &log.display().to_string(),
                "-c",
                &file.display().to_string(),
            ],
        );
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = nginx.child.try_wait().expect("a child can be asked");
            assert_eq!(
                ended,
                None,
                "nginx: {}",
                fs::read_to_string(&log).unwrap_or_default()
            );
            thread::sleep(Duration::from_millis(20));
        }
        let ab = Load::start(
            cpu,
            &[
                "ab",
                "-q",
                "-n",
                "1000000",
                "-c",
                "5",
                &format!("http://127.0.0.1:{port}/index.html"),
            ],
        );
        Self {
            ab,
            nginx,
            _directory: directory,
        }
    }

    /// # Panics
    ///
    /// If one of the two has ended.
    pub fn assert_running(&mut self) {
        self.ab.assert_running();
        self.nginx.assert_running();
    }
}

/// Two processes that hand a byte back and forth, until killed. They have begun: what a task does to get there, a disk may wake it from.
pub struct PingPong(Child);

impl PingPong {
    /// Both on CPU 0.
    #[must_use]
    pub fn start() -> Self {
        Self::start_on(0)
    }

    /// The second one on CPU `other`.
    ///
    /// # Panics
    ///
    /// If there is no python3.
    #[must_use]
    pub fn start_on(other: u32) -> Self {
        let script = "import os, sys
a, b = os.pipe(), os.pipe()
os.sched_setaffinity(0, [0])
if os.fork() == 0:
    os.sched_setaffinity(0, [int(sys.argv[1])])
    os.close(a[1]); os.close(b[0])
    while os.read(a[0], 1): os.write(b[1], b'x')
    os._exit(0)
rounds = 0
while True:
    os.write(a[1], b'x')
    os.read(b[0], 1)
    rounds += 1
    if rounds == 100: print('begun', flush=True)";
        let mut child = Command::new("python3")
            .args(["-c", script, &other.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 runs");
        let begun = child
            .stdout
            .take()
            .map(|out| BufReader::new(out).lines().next());
        let load = Self(child);
        assert!(
            begun.flatten().is_some_and(|line| line.is_ok()),
            "python3 runs"
        );
        load
    }

    /// The pid of the first one, which is on CPU 0.
    pub fn first(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for PingPong {
    fn drop(&mut self) {
        // The other one ends when the pipe breaks: it holds no other end. Gone already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
