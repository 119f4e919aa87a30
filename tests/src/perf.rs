//! The reference: perf's own recording of `sched_switch` on a CPU.

use crate::sequence::{State, Switch, Who};
use nix::{sys::stat::Mode, unistd::mkfifo};
use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// `perf record`, killed when dropped.
#[derive(Debug)]
pub struct Perf {
    child: Child,
    directory: TempDir,
}

/// What perf saw.
#[derive(Debug)]
pub struct Seen {
    pub switches: Vec<Sample>,
    /// `LOST` records and what they sum up to, as perf prints them; empty if nothing was lost.
    pub lost: Vec<String>,
}

/// A switch, and the thread group of the task that left.
#[derive(Clone, Debug)]
pub struct Sample {
    pub prev_tgid: u32,
    pub switch: Switch,
}

impl Perf {
    /// Records the switches of `cpu`, from `reader_cpu`; returns when it does.
    ///
    /// # Panics
    ///
    /// If perf does not start.
    pub fn start(cpu: u32, reader_cpu: u32) -> Self {
        let directory = tempfile::tempdir().expect("a directory for perf");
        let control = fifo(directory.path(), "control");
        let answer = fifo(directory.path(), "answer");
        let log = File::create(directory.path().join("log")).expect("a log for perf");
        let child = Command::new("taskset")
            .args(["--cpu-list", &reader_cpu.to_string()])
            // It takes its time to come and go, more of it the more the load leaves it none.
            .args(["nice", "-n", "-20"])
            .args(["perf", "record", "-k", "CLOCK_MONOTONIC"])
            .args(["-e", "sched:sched_switch", "-C", &cpu.to_string()])
            // Pages enough for seconds without a reader.
            .args(["-m", "64M", "--delay=-1"])
            .arg(format!(
                "--control=fifo:{},{}",
                control.display(),
                answer.display()
            ))
            .arg("-o")
            .arg(data(&directory))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("one more handle"))
            .stderr(log)
            .spawn()
            .expect("perf starts");
        let mut perf = Self { child, directory };
        perf.ask(&control, &answer, "enable");
        perf
    }

    /// Sends a command, waits until it is done.
    fn ask(&mut self, control: &Path, answer: &Path, command: &str) {
        // Read and write: opening must not wait for perf to come.
        let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path);
        let mut control = open(control).expect("the pipe to perf");
        let mut answer = open(answer).expect("the pipe from perf");
        writeln!(control, "{command}").expect("a pipe takes a word");
        let waiting = thread::spawn(move || {
            let mut word = [0; 3];
            answer.read_exact(&mut word).map(|()| word)
        });
        while !waiting.is_finished() {
            // The thread then waits for ever, without harm.
            let ended = self.child.try_wait().expect("a child can be asked");
            assert_eq!(ended, None, "{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
        let word = waiting.join().expect("reading does not panic");
        assert_eq!(&word.expect("perf answers"), b"ack", "{}", self.log());
    }

    /// Ends the recording.
    ///
    /// # Panics
    ///
    /// If it has ended before.
    pub fn stop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("perf still runs");
        // It ends by the signal that it was sent; whether all went well, the file tells.
        self.child.wait().expect("a child can be waited for");
    }

    /// Reads what was recorded.
    ///
    /// # Panics
    ///
    /// If perf cannot read what it wrote.
    pub fn seen(&self) -> Seen {
        let script = self.read(&["script", "--ns", "-F", "pid,tid,cpu,time,event,trace"]);
        let stats = self.read(&["report", "--stats"]);
        assert!(stats.contains("SAMPLE events:"), "{stats}{}", self.log());
        Seen {
            switches: script
                .lines()
                .map(|line| parse(line).unwrap_or_else(|| panic!("perf script: {line}")))
                .collect(),
            lost: stats
                .lines()
                .filter(|line| line.contains("LOST"))
                .map(str::to_owned)
                .collect(),
        }
    }

    /// What `perf script` prints of it.
    ///
    /// # Panics
    ///
    /// If perf cannot read what it wrote.
    pub fn script(&self, options: &[&str]) -> String {
        self.read(&[&["script"], options].concat())
    }

    fn read(&self, arguments: &[&str]) -> String {
        let output = Command::new("perf")
            .args(arguments)
            .arg("-i")
            .arg(data(&self.directory))
            .stdin(Stdio::null())
            .output()
            .expect("perf starts");
        assert!(
            output.status.success(),
            "perf {arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stderr),
            self.log()
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Perf {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn data(directory: &TempDir) -> PathBuf {
    directory.path().join("perf.data")
}

fn fifo(directory: &Path, name: &str) -> PathBuf {
    let path = directory.join(name);
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a named pipe");
    path
}

/// `PID/TID [CPU] S.NS: sched:sched_switch: prev_comm=… prev_pid=… prev_prio=… prev_state=… ==> next_comm=…`
fn parse(line: &str) -> Option<Sample> {
    let (head, body) = line.split_once(": sched:sched_switch: ")?;
    let (tasks, rest) = head.trim().split_once(' ')?;
    let (tgid, _) = tasks.split_once('/')?;
    let (seconds, ns) = rest.split_whitespace().last()?.split_once('.')?;
    let (prev, next) = body.split_once(" ==> ")?;
    let (prev, state) = prev.rsplit_once(" prev_state=")?;
    Some(Sample {
        // -1: the task had no number any more.
        prev_tgid: tgid.parse::<i32>().ok()?.cast_unsigned(),
        switch: Switch {
            ts_ns: seconds.parse::<u64>().ok()? * 1_000_000_000 + ns.parse::<u64>().ok()?,
            prev: who(prev, "prev")?,
            state: match state.trim() {
                "R+" => State::Preempted,
                "R" => State::Runnable,
                _ => State::Sleeps,
            },
            next: who(next, "next")?,
        },
    })
}

/// `prev_comm=… prev_pid=… prev_prio=…`; a name may hold anything.
fn who(text: &str, side: &str) -> Option<Who> {
    let text = text.trim_end().strip_prefix(&format!("{side}_comm="))?;
    let (text, prio) = text.rsplit_once(&format!(" {side}_prio="))?;
    let (comm, pid) = text.rsplit_once(&format!(" {side}_pid="))?;
    Some(Who {
        pid: pid.parse().ok()?,
        comm: comm.to_owned(),
        prio: prio.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_perf_script_is_understood() {
        let line = "   15/77 [000]  4479.324359871: sched:sched_switch: prev_comm=a prev_pid=1 b prev_pid=77 \
                    prev_prio=120 prev_state=R+ ==> next_comm=swapper/0 next_pid=0 next_prio=120";
        let sample = parse(line).unwrap();
        assert_eq!(sample.prev_tgid, 15);
        let Switch {
            ts_ns,
            prev,
            state,
            next,
        } = sample.switch;
        assert_eq!(ts_ns, 4_479_324_359_871);
        assert_eq!((prev.pid, prev.comm.as_str()), (77, "a prev_pid=1 b"));
        assert_eq!(state, State::Preempted);
        assert_eq!(
            (next.pid, next.comm.as_str(), next.prio),
            (0, "swapper/0", 120)
        );
    }
}
