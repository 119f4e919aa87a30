//! The live kernel: load, attach, read. The only module that needs root.

mod capabilities;
mod config;
mod decode;
mod error;
mod introduced;
mod kernel;
mod next_counts;
mod offsets;
mod pause;
mod programs;
mod ring;
mod streams;
mod tasks;

pub use capabilities::{Check, capabilities};
pub use config::Config;
pub use error::ProbeError;
pub use next_counts::NextCounts;
pub use programs::{ProgramTime, time_programs};

use crate::trace::{event::Event, origin::Origin};
use aya::{
    Ebpf,
    maps::{Array, Map, MapData, PerCpuArray, RingBuf},
};
use aya_log::EbpfLogger;
use config::{available_bytes, check_cpus, check_memory, check_ring};
use decode::{Known, Present, Scratch};
use kernel::Kernel;
use kernoracle_common::{Control, Counters, Kind, Limit, PerCpu};
use ring::Ring;
use std::{collections::VecDeque, fmt, io, ops::AddAssign, time::Duration};
use streams::Streams;
use tracing::{debug, warn};

/// How a drain ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drained {
    /// Events handed out.
    pub events: u64,
    /// Bytes still in the ring: not zero if the budget ended the drain.
    pub backlog_bytes: usize,
    /// The events so far contain the whole snapshot that ends a pause. The drain has ended there.
    pub resumed: bool,
}

/// What [`Capture::discard`] has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discarded {
    pub records: u64,
    /// Of the records.
    pub switches: u64,
    /// In the ring, where each record has eight bytes of the kernel's before it.
    pub bytes: u64,
}

impl AddAssign for Discarded {
    fn add_assign(&mut self, more: Self) {
        let Self {
            records,
            switches,
            bytes,
        } = more;
        self.records += records;
        self.switches += switches;
        self.bytes += bytes;
    }
}

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
    limit: Array<MapData, Pod<Limit>>,
    /// The programs may begin a pause.
    limited: bool,
    /// The kernel has task iterators.
    iterates: bool,
    /// The snapshot that ends a pause ends here.
    resumes_at: Option<ring::Position>,
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

/// A map value that any bytes are.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Pod<T>(T);

// SAFETY: repr(C), integers only, no padding.
unsafe impl aya::Pod for Pod<Control> {}
// SAFETY: as above.
unsafe impl aya::Pod for Pod<PerCpu> {}
// SAFETY: as above.
unsafe impl aya::Pod for Pod<Limit> {}

impl Capture {
    /// Loads and attaches all programs, switches recording on, takes the snapshot.
    ///
    /// In this order: programs attach one after another, and what happened between the first and the
    /// last would be told by halves. So they stay silent until one flag is set. The snapshot comes after
    /// that, among the events, so that no change falls between the two.
    pub fn start(config: &Config) -> Result<Self, ProbeError> {
        check_ring(config.ring_bytes)?;
        let kernel = Kernel::look()?;
        check_cpus(&config.cpus, kernel.possible_cpus)?;
        check_memory(config.ring_bytes, available_bytes())?;

        let mut ebpf =
            programs::object(&kernel.layout, &kernel.btf, config.ring_bytes, &config.cpus)?;
        let records: RingBuf<MapData> =
            take(&mut ebpf, "RECORDS").map_err(|error| ring_unmapped(error, config.ring_bytes))?;
        let mut control: Array<MapData, Pod<Control>> = take(&mut ebpf, "CONTROL")?;
        let limit: Array<MapData, Pod<Limit>> = take(&mut ebpf, "LIMIT")?;
        let per_cpu: PerCpuArray<MapData, Pod<PerCpu>> = take(&mut ebpf, "PER_CPU")?;
        let mut logger = EbpfLogger::init(&mut ebpf).map_err(|error| ProbeError::Object {
            reason: programs::one_line(&error),
        })?;
        let ring = Ring::new(records, config.ring_bytes, &logger)?;

        let hooks = programs::load(&mut ebpf, &kernel.btf)?;
        let iterator = programs::load_iterator(&mut ebpf, &kernel.btf)?;
        programs::attach(&mut ebpf, &hooks)?;

        let mut settings = Control::default();
        if !config.include_self {
            settings.own_tgid = own_tgid(&mut ebpf, &mut control, iterator.is_ok())?;
        }
        settings.recording = 1;
        set(&mut control, settings)?;

        let mut capture = Self {
            ring,
            flush_log: Box::new(move || logger.flush()),
            control,
            per_cpu,
            streams: Streams::new(kernel.possible_cpus),
            known: Known::default(),
            scratch: Scratch::default(),
            present: kernel.present(),
            origin: kernel.origin(config, settings.own_tgid == 0),
            findings: kernel.findings(config, &programs::describe(&hooks)),
            latency: config.latency,
            synthetic: VecDeque::new(),
            synthesised: vec![0; kernel.possible_cpus],
            malformed: 0,
            settings,
            limit,
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
            self.ring.wait(time)?;
        }
        (self.flush_log)();
        Ok(())
    }

    /// Hands out at most `budget` events; losses come as [`crate::trace::event::Body::Gap`] events,
    /// which the budget does not count.
    ///
    /// An event is the capture's own, for it is large to copy: `each` may work on it, but must leave it as it was.
    pub fn drain(
        &mut self,
        budget: usize,
        each: &mut dyn FnMut(&mut Event),
    ) -> Result<Drained, ProbeError> {
        let mut events = 0;
        let mut left = budget;
        while left > 0 && self.drain_synthetic(&mut events, each) {
            left -= 1;
        }
        let mut resumed = self.has_resumed();
        while left > 0 && !resumed && self.drain_ring(&mut events, each) {
            left -= 1;
            resumed = self.has_resumed();
        }
        if left > 0 && !resumed && self.end == End::Stopped {
            self.tell_tails(&mut events, each)?;
            self.end = End::Told;
        }
        Ok(Drained {
            events,
            backlog_bytes: self.ring.backlog_bytes(),
            resumed,
        })
    }

    /// Takes what is queued and looks at no more than the headers.
    pub fn discard(&mut self) -> Discarded {
        let before = self.ring.read_bytes();
        let mut discarded = Discarded::default();
        while let Some(record) = self.ring.next() {
            discarded.records += 1;
            if decode::header(&record).is_ok_and(|header| header.kind == Kind::Switch as u8) {
                discarded.switches += 1;
            }
        }
        discarded.bytes = self.ring.read_bytes() - before;
        discarded
    }

    fn drain_synthetic(&mut self, events: &mut u64, each: &mut dyn FnMut(&mut Event)) -> bool {
        let Some(tasks::Listed { cpu, ts_ns, body }) = self.synthetic.pop_front() else {
            return false;
        };
        if let Some(mut event) = self.streams.event(cpu, ts_ns, body) {
            *events += 1;
            each(&mut event);
        }
        true
    }

    /// False when the ring is empty.
    fn drain_ring(&mut self, events: &mut u64, each: &mut dyn FnMut(&mut Event)) -> bool {
        let Self {
            ring,
            streams,
            known,
            scratch,
            present,
            malformed,
            ..
        } = self;
        let Some(record) = ring.next() else {
            return false;
        };
        let (header, event) = match decode::decode(&record, *present, known, scratch) {
            Ok(Some(decoded)) => decoded,
            Ok(None) => return true,
            Err(error) => {
                *malformed += 1;
                if *malformed == 1 {
                    warn!(%error, "a record cannot be read; it counts as lost");
                }
                return true;
            }
        };
        let cpu = u32::from(header.cpu);
        if let Some(mut gap) = streams.gap(cpu, header.ts_ns, header.lost) {
            *events += 1;
            each(&mut gap);
        }
        let mut hand_out = |event: &mut Event| {
            if streams.number(cpu, header.ts_ns, event) {
                *events += 1;
                each(event);
            } else {
                *malformed += 1;
                warn!(
                    cpu,
                    "a record of a CPU that is not there; it counts as lost"
                );
            }
        };
        if let Some(wakeup) = decode::as_waking(&header, &mut event.body) {
            hand_out(event);
            wakeup.restore(&mut event.body);
        }
        hand_out(event);
        true
    }

    fn tell_tails(
        &mut self,
        events: &mut u64,
        each: &mut dyn FnMut(&mut Event),
    ) -> Result<(), ProbeError> {
        for (cpu, counters) in self.counters()?.into_iter().enumerate() {
            if let Some(mut gap) = self.streams.tail(cpu as u32, counters.produced()) {
                *events += 1;
                each(&mut gap);
            }
        }
        Ok(())
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

fn set(control: &mut Array<MapData, Pod<Control>>, value: Control) -> Result<(), ProbeError> {
    control
        .set(0, Pod(value), 0)
        .map_err(|error| map_error("CONTROL", error))
}

fn take<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, ProbeError>
where
    T: TryFrom<Map, Error = aya::maps::MapError>,
{
    let map = ebpf.take_map(name).ok_or_else(|| ProbeError::Object {
        reason: format!("it has no map {name}"),
    })?;
    T::try_from(map).map_err(|error| map_error(name, error))
}

fn map_error(map: &str, error: aya::maps::MapError) -> ProbeError {
    let source = match error {
        aya::maps::MapError::SyscallError(error) => error.io_error,
        aya::maps::MapError::IoError(error) => error,
        other => io::Error::other(other),
    };
    ProbeError::Map {
        map: map.to_owned(),
        source,
    }
}

/// The kernel made the ring, but this process has no room to map it.
fn ring_unmapped(error: ProbeError, bytes: u32) -> ProbeError {
    match error {
        ProbeError::Map { source, .. } if source.kind() == io::ErrorKind::OutOfMemory => {
            ProbeError::RingTooLarge { bytes, source }
        }
        other => other,
    }
}
