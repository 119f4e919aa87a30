//! The binary while it runs.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Seek},
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

/// Between two looks at something that does not tell when it changes.
const POLL: Duration = Duration::from_millis(10);

/// `kernoracle`, killed when dropped.
///
/// What it prints is read when the test asks for it: give it a `--duration`, so that a line that does
/// not come ends the test instead of holding it.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    output: BufReader<ChildStdout>,
    diagnostics: File,
    lines: Vec<Value>,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    /// All that it printed, one JSON object a line.
    pub lines: Vec<Value>,
    pub stderr: String,
}

impl Daemon {
    /// Starts it, on one CPU only if one is given.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start(cpu: Option<u32>, arguments: &[&str]) -> Self {
        let binary = crate::binary();
        let mut command = match cpu {
            None => Command::new(binary),
            Some(cpu) => {
                // It replaces itself by the program: the pid is the daemon's.
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", &cpu.to_string()]).arg(binary);
                command
            }
        };
        let diagnostics = tempfile::tempfile().expect("a file for standard error");
        let mut child = command
            .args(arguments)
            .env_remove("RUST_LOG")
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(diagnostics.try_clone().expect("one more handle"))
            .spawn()
            .expect("the daemon starts");
        let output = BufReader::new(child.stdout.take().expect("it was piped"));
        Self {
            child,
            output,
            diagnostics,
            lines: Vec::new(),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of JSON; `None` at the end.
    fn line(&mut self) -> Option<&Value> {
        let mut line = String::new();
        let bytes = self
            .output
            .read_line(&mut line)
            .expect("its output is read");
        if bytes == 0 {
            return None;
        }
        let value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("not a line of JSON: {error}: {line}"));
        self.lines.push(value);
        self.lines.last()
    }

    /// Reads up to the next line of this type that is `wanted`.
    ///
    /// # Panics
    ///
    /// If it ends before that.
    pub fn until(&mut self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        while let Some(line) = self.line() {
            if line["type"] == kind && wanted(line) {
                return line.clone();
            }
        }
        panic!("ended without such a {kind} line: {}", self.diagnostics());
    }

    /// Waits for a file that it writes.
    ///
    /// # Panics
    ///
    /// If it ends before that.
    pub fn until_written(&mut self, file: &Path, bytes: u64) {
        while fs::metadata(file).map_or(0, |metadata| metadata.len()) < bytes {
            let ended = self.child.try_wait().expect("a child can be asked");
            assert_eq!(ended, None, "{}", self.diagnostics());
            thread::sleep(POLL);
        }
    }

    /// # Panics
    ///
    /// If it is gone.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it is still there");
    }

    /// Stops all its threads for that long, as Ctrl-Z does.
    ///
    /// # Panics
    ///
    /// If the kernel does not stop it.
    pub fn stop_for(&self, time: Duration) {
        self.signal(Signal::SIGSTOP);
        let tasks = format!("/proc/{}/task", self.child.id());
        while !all_stopped(&tasks) {
            thread::sleep(POLL);
        }
        thread::sleep(time);
        assert!(all_stopped(&tasks), "something has continued it");
        self.signal(Signal::SIGCONT);
    }

    /// Reads the rest and waits for the end.
    ///
    /// # Panics
    ///
    /// If what it prints is not JSON.
    pub fn end(mut self) -> Ended {
        while self.line().is_some() {}
        let status = self.child.wait().expect("a child can be waited for");
        Ended {
            status,
            lines: std::mem::take(&mut self.lines),
            stderr: self.diagnostics(),
        }
    }

    fn diagnostics(&mut self) -> String {
        let mut text = String::new();
        self.diagnostics
            .rewind()
            .and_then(|()| self.diagnostics.read_to_string(&mut text))
            .expect("its standard error is text");
        text
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The last line, of an orderly end.
    ///
    /// # Panics
    ///
    /// If it failed, panicked, or ended with another line.
    pub fn last(&self) -> &Value {
        assert_eq!(self.status.code(), Some(0), "{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        let last = self.lines.last().expect("it printed something");
        assert_eq!(last["type"], "final", "{last}");
        last
    }

    /// Lines of a type.
    pub fn of_type(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.lines.iter().filter(move |line| line["type"] == kind)
    }
}

/// State T for each thread.
fn all_stopped(tasks: &str) -> bool {
    fs::read_dir(tasks).expect("it is still there").all(|task| {
        let path = task.expect("it is still there").path().join("stat");
        let stat = fs::read_to_string(path).expect("it is still there");
        // The name, in parentheses, may hold anything.
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('T'))
    })
}
