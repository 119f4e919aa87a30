//! The bounded queue between the reader of events and the writer of lines.

use super::writer::{Item, OutputError, Writer};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

/// Items that may wait to be written: some tens of MB when all are predictions.
const MAX_WAITING: usize = 1 << 15;
/// Items that are handed over at once: each hand-over may wake the writer, and that is a switch.
const BATCH: usize = 256;
/// Batches that may wait. Small ones come at most once a drain.
const MAX_BATCHES: usize = 4096;

/// What to do when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Live: never block; count what is left out.
    Shed,
    /// Replay: wait.
    Wait,
}

/// What a full queue left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shed {
    pub lines: u64,
    pub predictions: u64,
}

impl Shed {
    fn add(&mut self, item: &Item) {
        *if item.is_prediction() {
            &mut self.predictions
        } else {
            &mut self.lines
        } += 1;
    }
}

/// The end of the queue that never blocks the reader.
#[derive(Debug)]
pub(super) struct Outlet {
    /// `None` once the queue is closed.
    queue: Option<Sender<Vec<Item>>>,
    batch: Vec<Item>,
    /// Items handed over and not yet written.
    waiting: Arc<AtomicUsize>,
    when_full: WhenFull,
    shed: Shed,
    /// The writer gave up; why is known when it is joined.
    closed: bool,
    thread: JoinHandle<Result<(), OutputError>>,
}

impl Outlet {
    pub fn start(writer: Writer, when_full: WhenFull) -> Result<Self, OutputError> {
        let (queue, receiver) = bounded(match when_full {
            WhenFull::Shed => MAX_BATCHES,
            WhenFull::Wait => MAX_WAITING / BATCH,
        });
        let waiting = Arc::new(AtomicUsize::new(0));
        let thread = thread::Builder::new()
            .name("writer".to_owned())
            .spawn({
                let waiting = Arc::clone(&waiting);
                move || write_all(writer, &receiver, &waiting, when_full)
            })
            .map_err(|source| OutputError::Thread { source })?;
        Ok(Self {
            queue: Some(queue),
            batch: Vec::new(),
            waiting,
            when_full,
            shed: Shed::default(),
            closed: false,
            thread,
        })
    }

    pub fn push(&mut self, item: Item) {
        let waiting = self.waiting.load(Ordering::Relaxed) + self.batch.len();
        if self.when_full == WhenFull::Shed && waiting >= MAX_WAITING {
            self.shed.add(&item);
            return;
        }
        self.batch.push(item);
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    /// Hands over what is gathered.
    pub fn flush(&mut self) {
        let Some(queue) = &self.queue else { return };
        if self.batch.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.batch);
        let count = batch.len();
        self.waiting.fetch_add(count, Ordering::Relaxed);
        let refused = match self.when_full {
            WhenFull::Shed => queue.try_send(batch).err(),
            WhenFull::Wait => queue
                .send(batch)
                .err()
                .map(|error| TrySendError::Disconnected(error.0)),
        };
        if let Some(refused) = refused {
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            self.closed |= refused.is_disconnected();
            for item in refused.into_inner() {
                self.shed.add(&item);
            }
        }
    }

    pub fn shed(&self) -> Shed {
        self.shed
    }

    /// Nothing more can be written.
    pub fn closed(&self) -> bool {
        self.closed
    }

    /// Waits until all is written. `last` is never shed.
    pub fn finish(mut self, last: Item) -> Result<(), OutputError> {
        self.when_full = WhenFull::Wait;
        self.batch.push(last);
        self.flush();
        self.queue = None;
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn write_all(
    mut writer: Writer,
    queue: &Receiver<Vec<Item>>,
    waiting: &AtomicUsize,
    when_full: WhenFull,
) -> Result<(), OutputError> {
    if when_full == WhenFull::Shed {
        crate::priority::favour_writer();
    }
    for batch in queue {
        let count = batch.len();
        writer.batch(batch)?;
        waiting.fetch_sub(count, Ordering::Relaxed);
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{
        lines::GapLine,
        writer::{Format, Writer},
    };
    use std::{
        io::{self, Write},
        sync::mpsc,
    };

    /// Writes nothing before it is let go.
    struct Stuck {
        go: mpsc::Receiver<()>,
        lines: Arc<AtomicUsize>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            _ = self.go.recv();
            let lines = bytes.split(|&byte| byte == b'\n').count() - 1;
            self.lines.fetch_add(lines, Ordering::Relaxed);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gap() -> Item {
        Item::Gap(GapLine {
            ts_ns: 0,
            cpu: 0,
            gaps: 1,
            lost_events: 1,
        })
    }

    #[test]
    fn what_is_shed_and_what_is_written_add_up() {
        let (go, stuck) = mpsc::channel();
        let lines = Arc::new(AtomicUsize::new(0));
        let log = Stuck {
            go: stuck,
            lines: Arc::clone(&lines),
        };
        let writer = Writer::new(Box::new(log), Format::Json, 0, None);
        let mut outlet = Outlet::start(writer, WhenFull::Shed).unwrap();
        let pushed = MAX_WAITING + 1000;
        for _ in 0..pushed {
            outlet.push(gap());
        }
        let shed = outlet.shed();
        assert_eq!(
            shed,
            Shed {
                lines: 1000,
                predictions: 0
            }
        );
        drop(go);
        outlet.finish(gap()).unwrap();
        assert_eq!(lines.load(Ordering::Relaxed), pushed - 1000 + 1);
    }

    #[test]
    fn waiting_sheds_nothing() {
        let (go, stuck) = mpsc::channel();
        let lines = Arc::new(AtomicUsize::new(0));
        let log = Stuck {
            go: stuck,
            lines: Arc::clone(&lines),
        };
        let writer = Writer::new(Box::new(log), Format::Json, 0, None);
        let mut outlet = Outlet::start(writer, WhenFull::Wait).unwrap();
        drop(go);
        let pushed = MAX_WAITING * 2;
        for _ in 0..pushed {
            outlet.push(gap());
        }
        assert_eq!(outlet.shed(), Shed::default());
        outlet.finish(gap()).unwrap();
        assert_eq!(lines.load(Ordering::Relaxed), pushed + 1);
    }

    /// A reader that went away.
    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_broken_pipe_closes_the_outlet() {
        let writer = Writer::new(Box::new(Gone), Format::Text, 0, None);
        let mut outlet = Outlet::start(writer, WhenFull::Wait).unwrap();
        while !outlet.closed() {
            outlet.push(gap());
        }
        assert!(matches!(outlet.finish(gap()), Err(OutputError::Closed)));
    }
}
