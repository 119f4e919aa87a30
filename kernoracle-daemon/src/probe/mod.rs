//! The live kernel: load, attach, read. The only module that needs root.

mod bell;
mod capabilities;
mod config;
mod decode;
mod drain;
mod error;
mod introduced;
mod kernel;
mod maps;
mod next_counts;
mod offsets;
mod pause;
mod programs;
mod ring;
mod streams;
mod tasks;

pub use capabilities::{Check, capabilities};
pub use config::Config;
pub use drain::{Discarded, Drained};
pub use error::ProbeError;
pub use next_counts::NextCounts;
pub use programs::{ProgramTime, time_programs};

use crate::trace::origin::Origin;
use aya::{
    Ebpf,
    maps::{Array, MapData, PerCpuArray},
};
use aya_log::EbpfLogger;
use bell::Bell;
use config::{available_bytes, check_cpus, check_memory};
use decode::{Known, Present, Scratch};
use kernel::Kernel;
use kernoracle_common::{Control, Counters, PerCpu};
use maps::{Pod, map_error, set, take};
use ring::Ring;
use std::{collections::VecDeque, fmt, time::Duration};
use streams::Streams;
use tracing::debug;

/// What happened on a CPU while nothing was recorded there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Switches during pauses, since the start.
    pub skipped: u64,
    /// ns that the idle task has run, up to its last switch-out.
    pub idle_ns: u64,
}

/// A running capture. Dropping it removes the programs.
pub struct Capture {
    ebpf: Ebpf,
    ring: Ring,
    bell: Bell,
    /// Hands the programs' own messages to the log.
    flush_log: Box<dyn FnMut() + Send>,
    control: Array<MapData, Pod<Control>>,
    per_cpu: PerCpuArray<MapData, Pod<PerCpu>>,
    streams: Streams,
    known: Known,
    scratch: Scratch,
    present: Present,
    origin: Origin,
    findings: Vec<String>,
    latency: Duration,
    /// Snapshot events that did not come through the ring, still to be handed out.
    synthetic: VecDeque<tasks::Listed>,
    /// How many of those there were, for each CPU: the kernel's counters do not have them.
    synthesised: Vec<u64>,
    malformed: u64,
    settings: Control,
    /// The programs may begin a pause.
    limited: bool,
    /// The kernel has task iterators.
    iterates: bool,
    /// The snapshot that ends a pause ends where so many bytes have been read.
    resumes_at: Option<u64>,
    end: End,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Recording,
    /// Nothing is produced any more.
    Stopped,
    /// The gaps behind the last records have been handed out.
    Told,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture")
            .field("ring", &self.ring)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl Capture {
    /// Loads and attaches all programs, switches recording on, takes the snapshot.
    ///
    /// In this order: programs attach one after another, and what happened between the first and the
    /// last would be told by halves. So they stay silent until one flag is set. The snapshot comes after
    /// that, among the events, so that no change falls between the two.
    pub fn start(config: &Config) -> Result<Self, ProbeError> {
        let kernel = Kernel::look()?;
        check_cpus(&config.cpus, kernel.possible_cpus)?;
        check_memory(config.ring_bytes, available_bytes())?;

        let mut ebpf = programs::object(&kernel, config.ring_bytes, &config.cpus)?;
        let mut control: Array<MapData, Pod<Control>> = take(&mut ebpf, "CONTROL")?;
        let per_cpu: PerCpuArray<MapData, Pod<PerCpu>> = take(&mut ebpf, "PER_CPU")?;
        let mut logger = EbpfLogger::init(&mut ebpf).map_err(|error| ProbeError::Object {
            reason: programs::one_line(&error),
        })?;
        let ring = Ring::new(&ebpf, config.ring_bytes)?;
        let bell = Bell::new(&mut ebpf, &logger)?;

        let loaded = programs::load(&mut ebpf, &kernel)?;
        let iterator = programs::load_iterator(&mut ebpf, &kernel.btf)?;
        programs::attach(&mut ebpf, &loaded)?;

        let mut settings = Control::default();
        if !config.include_self {
            settings.own_tgid = own_tgid(&mut ebpf, &mut control, iterator.is_ok())?;
        }
        settings.recording = 1;
        set(&mut control, settings)?;

        let mut capture = Self {
            ring,
            bell,
            flush_log: Box::new(move || logger.flush()),
            control,
            per_cpu,
            streams: Streams::new(kernel.possible_cpus),
            known: Known::default(),
            scratch: Scratch::default(),
            present: kernel.present(),
            origin: kernel.origin(config, settings.own_tgid == 0),
            findings: kernel.findings(config, &programs::describe(&loaded)),
            latency: config.latency,
            synthetic: VecDeque::new(),
            synthesised: vec![0; kernel.possible_cpus],
            malformed: 0,
            settings,
            limited: false,
            iterates: true,
            resumes_at: None,
            end: End::Recording,
            ebpf,
        };
        capture.snapshot(iterator)?;
        if settings.own_tgid == 0 && !config.include_self {
            capture.findings.push(
                "own switches: kept, for own tasks cannot be told in this pid name space"
                    .to_owned(),
            );
        }
        Ok(capture)
    }

    /// Through the iterator, else from /proc.
    fn snapshot(&mut self, iterator: Result<(), String>) -> Result<(), ProbeError> {
        let how = match iterator {
            Ok(()) => {
                programs::run_iterator(&mut self.ebpf)?;
                "snapshot: by task iterator, in the ring among the events".to_owned()
            }
            Err(reason) => {
                self.iterates = false;
                self.list_tasks()?;
                format!(
                    "snapshot: from /proc, without scheduler state: no task iterator ({reason})"
                )
            }
        };
        self.findings.push(how);
        Ok(())
    }

    fn list_tasks(&mut self) -> Result<(), ProbeError> {
        self.synthetic = tasks::list(self.settings.own_tgid, self.synthesised.len())?;
        for task in &self.synthetic {
            self.synthesised[task.cpu as usize] += 1;
        }
        Ok(())
    }

    /// Kernel, scheduler, absent fields.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What was found at start, in a few lines for a person: kernel, scheduler, BTF offsets or the missing
    /// fields, hook type of each program, CPUs, ring size.
    pub fn findings(&self) -> Vec<String> {
        self.findings.clone()
    }

    /// Sleeps until enough is queued, the latency is over, or a signal came.
    pub fn wait(&mut self) -> Result<(), ProbeError> {
        self.wait_for(self.latency)
    }

    /// As [`Self::wait`], with another time than the latency.
    pub fn wait_for(&mut self, time: Duration) -> Result<(), ProbeError> {
        if self.end == End::Recording {
            self.bell.wait(time)?;
        }
        (self.flush_log)();
        Ok(())
    }

    /// Bytes of memory that the ring takes, all of which is mapped.
    pub fn ring_memory_bytes(&self) -> u64 {
        self.ring.memory_bytes()
    }

    /// Bytes that have been read from the ring.
    pub fn read_bytes(&self) -> u64 {
        self.ring.read_bytes()
    }

    /// Of each CPU.
    pub fn activity(&self) -> Result<Vec<Activity>, ProbeError> {
        let values = self
            .per_cpu
            .get(&0, 0)
            .map_err(|error| map_error("PER_CPU", error))?;
        let activity = values.iter().map(|Pod(state)| Activity {
            skipped: state.counters.skipped,
            idle_ns: state.idle_ns,
        });
        Ok(activity.collect())
    }

    /// Switches recording off. What is queued can still be drained; a last drain also hands out gaps
    /// at the end, so that `seen + lost == produced`.
    pub fn stop(&mut self) -> Result<(), ProbeError> {
        if self.end != End::Recording {
            return Ok(());
        }
        set(&mut self.control, Control::default())?;
        kernel::wait_for_running_programs();
        self.end = End::Stopped;
        (self.flush_log)();
        Ok(())
    }

    /// The kernel side's counters of each CPU.
    pub fn counters(&self) -> Result<Vec<Counters>, ProbeError> {
        let values = self
            .per_cpu
            .get(&0, 0)
            .map_err(|error| map_error("PER_CPU", error))?;
        let counters = values
            .iter()
            .zip(&self.synthesised)
            .map(|(Pod(state), synthesised)| Counters {
                others: state.counters.others + synthesised,
                ..state.counters
            });
        Ok(counters.collect())
    }

    /// Times that the kernel skipped a program because it was already running on that CPU.
    pub fn recursion_misses(&self) -> Result<u64, ProbeError> {
        programs::recursion_misses(&self.ebpf)
    }

    /// What the programs have taken while the kernel timed them (`BPF_ENABLE_STATS`): their bodies, without what calls them.
    pub fn program_times(&self) -> Result<Vec<ProgramTime>, ProbeError> {
        programs::times(&self.ebpf)
    }

    /// Records in the ring that could not be read; the gaps at the end have them.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }
}

/// The daemon's thread group as the programs see it: in the initial pid name space.
///
/// Who reads an iterator runs its program, so the iterator can say. Without one, the number that this
/// process knows is the right one only in the initial name space; 0 if that cannot be told.
fn own_tgid(
    ebpf: &mut Ebpf,
    control: &mut Array<MapData, Pod<Control>>,
    iterator: bool,
) -> Result<u32, ProbeError> {
    if !iterator {
        return Ok(if kernel::in_initial_pid_namespace() {
            std::process::id()
        } else {
            0
        });
    }
    set(
        control,
        Control {
            identify: 1,
            ..Control::default()
        },
    )?;
    programs::run_iterator(ebpf)?;
    let Pod(answer) = control
        .get(&0, 0)
        .map_err(|error| map_error("CONTROL", error))?;
    debug!(
        tgid = answer.own_tgid,
        "own thread group in the initial pid name space"
    );
    Ok(answer.own_tgid)
}
