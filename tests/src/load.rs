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

/// `timeout`, which ends what it is given the arguments of, in a process group of its own.
fn bounded() -> Command {
    let mut command = Command::new("timeout");
    command
        .args(["--signal=KILL", AT_MOST])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Ends a command of [`bounded`] with all that it has started. Gone already is as good.
fn end(child: &mut Child) {
    let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
    let _ = child.wait();
}

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
        let child = bounded()
            .args(["taskset", "--cpu-list", &cpu.to_string()])
            .args(command)
            .env("PATH", live::path())
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
        end(&mut self.child);
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

/// A script that forks, until it is dropped. It has begun: what a task does to get there, others may wake it from.
struct Python {
    child: Child,
    /// What it said when it had begun.
    said: String,
}

impl Python {
    /// # Panics
    ///
    /// If there is no python3, or the script ends before it says a line that starts with `begun`.
    fn begin(script: &str, argument: &str) -> Self {
        let mut child = bounded()
            .args(["python3", "-c", script, argument])
            .stdout(Stdio::piped())
            .spawn()
            .expect("timeout starts");
        let out = child.stdout.take().expect("it is piped");
        let mut python = Self {
            child,
            said: String::new(),
        };
        let said = BufReader::new(out).lines().next();
        let said = said.and_then(Result::ok).unwrap_or_default();
        assert!(said.starts_with("begun"), "python3 runs: {said:?}");
        python.said = said;
        python
    }

    /// The pids that it said.
    fn pids(&self) -> impl Iterator<Item = u32> {
        let words = self.said.split_whitespace().skip(1);
        words.map(|word| word.parse().expect("a pid"))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Two processes that hand a byte back and forth, until dropped.
pub struct PingPong(Python);

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
    while True: os.write(b[1], os.read(a[0], 1))
rounds = 0
while True:
    os.write(a[1], b'x')
    os.read(b[0], 1)
    rounds += 1
    if rounds == 100: print('begun', os.getpid(), flush=True)";
        Self(Python::begin(script, &other.to_string()))
    }

    /// The pid of the first one, which is on CPU 0.
    ///
    /// # Panics
    ///
    /// If the load did not say it.
    pub fn first(&self) -> u32 {
        self.0.pids().next().expect("it said so")
    }
}

/// Many that sleep on CPU 1, each of which is woken by turns: from CPU 0, and by one on its own CPU, with a tenth of a second between.
pub struct TakingTurns(Python);

impl TakingTurns {
    /// # Panics
    ///
    /// If there is no python3.
    #[must_use]
    pub fn start() -> Self {
        let script = "import os, sys, time
sleepers = int(sys.argv[1])
pipes = [os.pipe() for _ in range(sleepers)]
near_in, near_out = os.pipe()
def fork(work):
    pid = os.fork()
    if pid: return pid
    os.sched_setaffinity(0, [1])
    work()
def sleeper(i):
    while True:
        os.read(pipes[i][0], 1)
        os.write(near_out, bytes([i]))
        os.read(pipes[i][0], 1)
def near():
    waiting = []
    while True:
        waiting += os.read(near_in, 1)
        if len(waiting) > sleepers // 2: os.write(pipes[waiting.pop(0)][1], b'x')
pids = [fork(near)] + [fork(lambda: sleeper(i)) for i in range(sleepers)]
os.sched_setaffinity(0, [0])
rounds = 0
while True:
    for _, pipe in pipes:
        os.write(pipe, b'x')
        time.sleep(.003)
    rounds += 1
    if rounds == 2: print('begun', *pids, flush=True)";
        Self(Python::begin(script, "64"))
    }

    /// The pid of the one on CPU 1 that wakes, and of those that it wakes.
    ///
    /// # Panics
    ///
    /// If the load did not say them.
    pub fn pids(&self) -> (u32, Vec<u32>) {
        let mut pids = self.0.pids();
        (pids.next().expect("it said so"), pids.collect())
    }
}
