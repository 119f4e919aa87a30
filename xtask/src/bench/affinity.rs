//! Which CPUs a task may run on: taking one away, and giving it back.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// `PF_KTHREAD`, include/linux/sched.h: flags in /proc/PID/stat.
const PF_KTHREAD: u64 = 0x0020_0000;

/// A thread, as /proc names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub tid: i32,
    pub tgid: i32,
    pub comm: String,
    pub kernel: bool,
    /// Clock ticks since boot: with the tid, it names a task for good.
    started: u64,
}

/// What came of taking a CPU away from a task.
#[derive(Debug)]
pub enum Outcome {
    Moved(Box<Undo>),
    /// It does not run there anyway, or has ended.
    Elsewhere,
    /// It runs there alone, or the kernel keeps it where it is (`PF_NO_SETAFFINITY`).
    Bound,
    NotPermitted,
}

#[derive(Debug)]
pub struct Undo {
    task: Task,
    before: CpuSet,
    after: CpuSet,
}

impl Task {
    fn read(tgid: i32, tid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{tgid}/task/{tid}/stat")).ok()?;
        Self::of(&stat, tgid)
    }

    /// proc_pid_stat(5): the name is in brackets and may hold any character; flags are field 9, the start
    /// is field 22.
    fn of(stat: &str, tgid: i32) -> Option<Self> {
        let (tid, rest) = stat.split_once(" (")?;
        let (comm, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let flags: u64 = fields.get(6)?.parse().ok()?;
        Some(Self {
            tid: tid.parse().ok()?,
            tgid,
            comm: comm.to_owned(),
            kernel: flags & PF_KTHREAD != 0,
            started: fields.get(19)?.parse().ok()?,
        })
    }

    pub fn may_run_on(&self, cpu: usize) -> bool {
        sched_getaffinity(Pid::from_raw(self.tid)).is_ok_and(|set| holds(&set, cpu))
    }

    pub fn move_off(self, cpu: usize) -> Outcome {
        let tid = Pid::from_raw(self.tid);
        let Ok(before) = sched_getaffinity(tid) else {
            return Outcome::Elsewhere;
        };
        if !holds(&before, cpu) {
            return Outcome::Elsewhere;
        }
        let Some(after) = without(before, cpu) else {
            return Outcome::Bound;
        };
        match sched_setaffinity(tid, &after) {
            Ok(()) => Outcome::Moved(Box::new(Undo {
                task: self,
                before,
                after,
            })),
            Err(Errno::ESRCH) => Outcome::Elsewhere,
            Err(Errno::EPERM) => Outcome::NotPermitted,
            Err(_) => Outcome::Bound,
        }
    }
}

impl Undo {
    /// Leaves alone what has ended and what someone else has moved since. `Err` names what is still moved.
    pub fn put_back(&self) -> Result<(), String> {
        let tid = Pid::from_raw(self.task.tid);
        let same = Task::read(self.task.tgid, self.task.tid)
            .is_some_and(|now| now.started == self.task.started);
        if !same || sched_getaffinity(tid) != Ok(self.after) {
            return Ok(());
        }
        match sched_setaffinity(tid, &self.before) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(format!("{} ({}): {error}", self.task.comm, self.task.tid)),
        }
    }
}

/// Every thread of the machine; those that end meanwhile are not in it.
pub fn tasks() -> io::Result<Vec<Task>> {
    let mut tasks = Vec::new();
    for tgid in numbers(Path::new("/proc"))? {
        let Ok(tids) = numbers(Path::new(&format!("/proc/{tgid}/task"))) else {
            continue;
        };
        tasks.extend(tids.into_iter().filter_map(|tid| Task::read(tgid, tid)));
    }
    Ok(tasks)
}

fn numbers(directory: &Path) -> io::Result<Vec<i32>> {
    let mut numbers: Vec<i32> = fs::read_dir(directory)?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn holds(set: &CpuSet, cpu: usize) -> bool {
    set.is_set(cpu).unwrap_or(false)
}

/// `None` if no CPU would be left.
fn without(mut set: CpuSet, cpu: usize) -> Option<CpuSet> {
    set.unset(cpu).ok()?;
    (0..CpuSet::count())
        .any(|other| holds(&set, other))
        .then_some(set)
}

/// Where workers of unbound workqueues run: their threads refuse to be moved one by one.
#[derive(Debug)]
pub struct Workqueues {
    file: PathBuf,
    before: String,
}

impl Workqueues {
    /// `Ok(None)` if there is nothing to take away.
    pub fn move_off(directory: &Path, cpu: usize) -> io::Result<Option<Self>> {
        let file = directory.join("cpumask");
        // What was asked for, where the kernel tells: cpumask is that without isolated CPUs.
        let before = fs::read_to_string(directory.join("cpumask_requested"))
            .or_else(|_| fs::read_to_string(&file))?;
        let Some(after) = hex_without(before.trim(), cpu) else {
            return Ok(None);
        };
        fs::write(&file, after)?;
        let before = before.trim().to_owned();
        Ok(Some(Self { file, before }))
    }

    pub fn put_back(&self) -> Result<(), String> {
        fs::write(&self.file, &self.before)
            .map_err(|error| format!("{}: {error}", self.file.display()))
    }
}

/// A mask as `%*pb` prints it: words of 32 CPUs in hexadecimal, the highest first. `None` if the CPU is not
/// in it, or nothing else is.
fn hex_without(mask: &str, cpu: usize) -> Option<String> {
    let mut words = mask
        .split(',')
        .map(|word| u32::from_str_radix(word, 16).ok())
        .collect::<Option<Vec<u32>>>()?;
    let at = words.len().checked_sub(1 + cpu / 32)?;
    let bit = 1 << (cpu % 32);
    if words[at] & bit == 0 {
        return None;
    }
    words[at] &= !bit;
    if words.iter().all(|word| *word == 0) {
        return None;
    }
    let words: Vec<String> = words.iter().map(|word| format!("{word:08x}")).collect();
    Some(words.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn set(cpus: &[usize]) -> CpuSet {
        let mut set = CpuSet::new();
        for cpu in cpus {
            set.set(*cpu).unwrap();
        }
        set
    }

    #[test]
    fn a_mask_loses_one_cpu_and_is_never_empty() {
        assert_eq!(without(set(&[0, 1, 70]), 0), Some(set(&[1, 70])));
        assert_eq!(without(set(&[1]), 0), Some(set(&[1])));
        assert_eq!(without(set(&[0]), 0), None);
        assert_eq!(without(set(&[0]), 1 << 20), None);
    }

    #[test]
    fn a_hexadecimal_mask_loses_one_cpu_and_is_never_empty() {
        assert_eq!(hex_without("3", 0).unwrap(), "00000002");
        assert_eq!(hex_without("ff,ffffffff", 33).unwrap(), "000000fd,ffffffff");
        assert_eq!(hex_without("ff,ffffffff", 31).unwrap(), "000000ff,7fffffff");
        for (mask, cpu) in [("1", 0), ("2", 0), ("3", 32), ("", 0), ("x", 0)] {
            assert_eq!(hex_without(mask, cpu), None, "{mask} {cpu}");
        }
    }

    #[test]
    fn workqueues_get_back_what_was_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cpumask");
        fs::write(&file, "7\n").unwrap();
        fs::write(dir.path().join("cpumask_requested"), "f\n").unwrap();
        let moved = Workqueues::move_off(dir.path(), 0).unwrap().unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "0000000e");
        moved.put_back().unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "f");
        assert!(Workqueues::move_off(dir.path(), 9).unwrap().is_none());
    }

    #[test]
    fn names_may_hold_anything() {
        let tail = "S 2 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 77 0 0";
        let task = Task::of(&format!("15 (a) (b c) {tail}"), 15).unwrap();
        assert_eq!(
            task,
            Task {
                tid: 15,
                tgid: 15,
                comm: "a) (b c".to_owned(),
                kernel: true,
                started: 77,
            }
        );
        assert_eq!(Task::of("15 (short) S 2", 15), None);
        assert_eq!(Task::of("", 15), None);
    }

    struct Sleeper(Child);

    impl Sleeper {
        fn start() -> Self {
            Self(Command::new("sleep").arg("1000").spawn().unwrap())
        }

        fn tid(&self) -> i32 {
            self.0.id().cast_signed()
        }

        fn mask(&self) -> CpuSet {
            sched_getaffinity(Pid::from_raw(self.tid())).unwrap()
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    /// On a machine with one CPU, or pinned to one, the sleeper is bound and stays.
    #[test]
    fn a_task_is_moved_and_put_back() {
        let sleeper = Sleeper::start();
        let before = sleeper.mask();
        let cpu = (0..CpuSet::count())
            .find(|cpu| holds(&before, *cpu))
            .unwrap();
        let task = Task::read(sleeper.tid(), sleeper.tid()).unwrap();
        assert!(!task.kernel && task.may_run_on(cpu));
        match (task.move_off(cpu), without(before, cpu)) {
            (Outcome::Moved(undo), Some(after)) => {
                assert_eq!(sleeper.mask(), after);
                undo.put_back().unwrap();
            }
            (Outcome::Bound, None) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(sleeper.mask(), before);
    }

    #[test]
    fn what_someone_else_moved_since_is_left_there() {
        let sleeper = Sleeper::start();
        let before = sleeper.mask();
        let task = Task::read(sleeper.tid(), sleeper.tid()).unwrap();
        let undo = Undo {
            task,
            before: set(&[0]),
            after: set(&[CpuSet::count() - 1]),
        };
        undo.put_back().unwrap();
        assert_eq!(sleeper.mask(), before);
    }
}
