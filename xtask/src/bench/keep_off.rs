//! Keeps the machine's own tasks off the CPU that is recorded.
//!
//! A process of its own does it: it puts everything back when its standard input ends, and that is a pipe
//! from the bench. So masks are put back however the bench ends: done, failed, Ctrl-C, SIGKILL.
//!
//! Kernel threads and unbound workqueues are moved unasked. Programs only if --move-off names them: what
//! they start meanwhile inherits the mask and keeps it, which is for their owner to accept.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{SigSet, Signal};

use super::{
    affinity::{Outcome, Task, Undo, Workqueues, tasks},
    machine::About,
};
use crate::command;

const WORKQUEUES: &str = "/sys/devices/virtual/workqueue";
/// Programs that are named in one message.
const NAMES: usize = 8;

/// What is kept off the CPU of the loads, besides kernel threads.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Programs {
    /// Keep these programs off the CPU of the loads too, by command name (ps -o comm), commas between
    ///
    /// Kernel threads and unbound workqueues always are, as far as they can be moved. All is put back in
    /// the end, on Ctrl-C and SIGKILL too; but processes that these programs start meanwhile stay where
    /// they are (put back with `taskset -a -c -p CPUS PID`), so pid 1 is never moved.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub move_off: Vec<String>,
}

/// Keep tasks off a CPU until standard input ends
#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    cpu: usize,

    #[command(flatten)]
    programs: Programs,
}

/// Tasks are kept off until this is dropped.
pub struct KeptOff(Child);

impl KeptOff {
    /// `None` if there is no other CPU; then it has said so.
    pub fn start(about: &About, programs: &Programs) -> Result<Option<Self>> {
        let cpu = about.cpu;
        if about.other_cpu == cpu {
            eprintln!(
                "bench: one CPU: nothing can be moved off it, all of it is in the recordings"
            );
            return Ok(None);
        }
        // Not by its path: `cargo xtask test` has cargo link this program anew while it runs.
        let own = format!("/proc/{}/exe", std::process::id());
        let mut keep = command::as_root(&own, &[])?;
        keep.args(["bench", "keep-off", "--cpu", &cpu.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if !programs.move_off.is_empty() {
            keep.args(["--move-off", &programs.move_off.join(",")]);
        }
        let mut child = command::spawn(&mut keep)?;
        let mut answer = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output)
                .read_line(&mut answer)
                .context("bench keep-off")?;
        }
        ensure!(
            !answer.is_empty(),
            "cannot keep tasks off CPU {cpu}: {}",
            child.wait()?
        );
        eprint!("bench: {answer}");
        Ok(Some(Self(child)))
    }
}

impl Drop for KeptOff {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        match self.0.wait() {
            Ok(status) if status.success() => {}
            Ok(status) => eprintln!("bench: keep-off: {status}"),
            Err(error) => eprintln!("bench: keep-off: {error}"),
        }
    }
}

/// The process that moves and puts back.
pub fn main(args: &Args) -> Result<ExitCode> {
    // From a terminal they reach the bench too: our input ends then, and everything is put back.
    let mut signals = SigSet::empty();
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ] {
        signals.add(signal);
    }
    signals.thread_block().context("cannot block signals")?;

    let mut moved = Moved::default();
    let told = moved
        .move_off(args.cpu, &args.programs.move_off)
        .and_then(|report| {
            let mut output = io::stdout().lock();
            writeln!(output, "{report}")?;
            output.flush()?;
            io::copy(&mut io::stdin().lock(), &mut io::sink())?;
            Ok(())
        });
    let count = moved.tasks.len();
    let failed = moved.put_back();
    told?;
    if !failed.is_empty() {
        bail!("still off CPU {}: {}", args.cpu, failed.join("; "));
    }
    eprintln!("bench: {count} tasks may run on CPU {} again", args.cpu);
    Ok(ExitCode::SUCCESS)
}

/// Put back when dropped, at the latest.
#[derive(Default)]
struct Moved {
    tasks: Vec<Undo>,
    workqueues: Option<Workqueues>,
}

impl Moved {
    fn move_off(&mut self, cpu: usize, names: &[String]) -> Result<String> {
        let mut report = Report {
            cpu,
            ..Report::default()
        };
        match Workqueues::move_off(Path::new(WORKQUEUES), cpu) {
            Ok(moved) => self.workqueues = moved,
            Err(error) => report.workqueues = Some(error.to_string()),
        }
        let all = tasks().context("/proc")?;
        let chosen = chosen(&all, names)?;
        let programs: BTreeMap<i32, String> = all
            .iter()
            .filter(|task| task.tid == task.tgid)
            .map(|task| (task.tgid, task.comm.clone()))
            .collect();
        for task in all {
            if !task.kernel && !chosen.contains(&task.tgid) {
                if task.may_run_on(cpu) {
                    let program = programs.get(&task.tgid).unwrap_or(&task.comm);
                    report.left.insert(program.clone());
                }
                continue;
            }
            match task.move_off(cpu) {
                Outcome::Moved(undo) => self.tasks.push(*undo),
                Outcome::Elsewhere => {}
                Outcome::Bound => report.bound += 1,
                Outcome::NotPermitted => report.not_permitted += 1,
            }
        }
        report.moved = self.tasks.len();
        Ok(report.line())
    }

    /// What could not be put back.
    fn put_back(&mut self) -> Vec<String> {
        let workqueues = self.workqueues.take();
        let mut failed: Vec<String> = workqueues
            .iter()
            .filter_map(|moved| moved.put_back().err())
            .collect();
        failed.extend(
            self.tasks
                .drain(..)
                .filter_map(|undo| undo.put_back().err()),
        );
        failed
    }
}

impl Drop for Moved {
    fn drop(&mut self) {
        for failed in self.put_back() {
            eprintln!("bench: cannot put back {failed}");
        }
    }
}

/// Processes of these names: of all threads, the first one's name counts.
fn chosen(tasks: &[Task], names: &[String]) -> Result<BTreeSet<i32>> {
    let mut chosen = BTreeSet::new();
    for name in names {
        let of_name = tasks
            .iter()
            .filter(|task| !task.kernel && task.tid == task.tgid && task.comm == *name);
        let mut found = of_name.map(|task| task.tgid).peekable();
        if found.peek().is_none() {
            bail!("--move-off {name}: no program of that name runs (ps -e -o comm)");
        }
        for tgid in found {
            if tgid == 1 {
                bail!(
                    "--move-off {name}: that is pid 1: all that it starts meanwhile would stay moved"
                );
            }
            chosen.insert(tgid);
        }
    }
    Ok(chosen)
}

#[derive(Default)]
struct Report {
    cpu: usize,
    moved: usize,
    bound: usize,
    not_permitted: usize,
    /// Programs that may run on the CPU.
    left: BTreeSet<String>,
    /// Why they were not moved.
    workqueues: Option<String>,
}

impl Report {
    fn line(&self) -> String {
        let cpu = self.cpu;
        let mut parts = vec![
            format!("moved {} tasks off CPU {cpu}", self.moved),
            format!("{} cannot be moved", self.bound),
        ];
        if self.not_permitted > 0 {
            parts.push(format!(
                "{} not permitted (CAP_SYS_NICE is needed), they will be in the recordings",
                self.not_permitted
            ));
        }
        if let Some(error) = &self.workqueues {
            parts.push(format!("workqueues stay ({error})"));
        }
        if !self.left.is_empty() {
            let names: Vec<&str> = self.left.iter().map(String::as_str).take(NAMES).collect();
            let more = match self.left.len() - names.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            parts.push(format!(
                "programs that may run there (--move-off): {}{more}",
                names.join(", ")
            ));
        }
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_chosen_by_name_and_never_pid_1() {
        let all = tasks().unwrap();
        let one = all.iter().find(|task| task.tid == 1).unwrap();
        let error = chosen(&all, std::slice::from_ref(&one.comm)).unwrap_err();
        assert!(error.to_string().contains("that is pid 1"), "{error}");

        let me = std::process::id().cast_signed();
        let own = all.iter().find(|task| task.tid == me).unwrap();
        assert!(
            chosen(&all, std::slice::from_ref(&own.comm))
                .unwrap()
                .contains(&me)
        );
        assert!(chosen(&all, &[]).unwrap().is_empty());

        let error = chosen(&all, &["no such, surely".to_owned()]).unwrap_err();
        assert!(
            error.to_string().contains("no program of that name"),
            "{error}"
        );
    }

    #[test]
    fn the_report_says_what_was_moved_and_what_was_not() {
        let mut report = Report {
            cpu: 3,
            moved: 143,
            bound: 9,
            ..Report::default()
        };
        assert_eq!(
            report.line(),
            "moved 143 tasks off CPU 3; 9 cannot be moved"
        );
        report.not_permitted = 2;
        report.workqueues = Some("denied".to_owned());
        report.left = ('a'..='j').map(String::from).collect();
        assert_eq!(
            report.line(),
            "moved 143 tasks off CPU 3; 9 cannot be moved; 2 not permitted (CAP_SYS_NICE is needed), \
             they will be in the recordings; workqueues stay (denied); programs that may run there \
             (--move-off): a, b, c, d, e, f, g, h and 2 more"
        );
    }
}
