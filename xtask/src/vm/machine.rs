//! A guest from its start to its end: one command, its output, its exit status, its files.

use std::{
    error::Error,
    ffi::{OsStr, OsString},
    fmt::{self, Write as _},
    io::{BufRead as _, BufReader, Write},
    os::unix::{net::UnixStream, process::CommandExt as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use super::{
    accel::Accel,
    cache::Cache,
    child::{self, Child},
    console::Console,
    initramfs,
    kernel::Kernel,
    output,
    qemu::{Qemu, Size},
    results::Unpacking,
    root::Root,
    share::Share,
    terminal::Terminal,
};
use crate::command;

/// From power-on to the command: seconds as a rule, emulated on a busy machine more.
const BOOT: Duration = Duration::from_secs(300);
/// For what is left to do when the command has ended: files to bring back, then power-off.
const END: Duration = Duration::from_secs(600);

/// What every run on one kernel has in common.
pub struct Machine {
    pub kernel: Kernel,
    pub accel: Accel,
    root: Root,
    initramfs: PathBuf,
    size: Size,
    dir: PathBuf,
}

/// What runs in the guest, and where its output goes.
pub struct Job {
    pub share: Share,
    pub command: Runs,
    pub environment: Vec<(String, OsString)>,
    pub stdout: Box<dyn Write + Send>,
    pub stderr: Box<dyn Write + Send>,
    /// The guest is ended when the command takes longer.
    pub limit: Option<Duration>,
    /// Where the files that the command leaves in its working directory go.
    pub results: PathBuf,
}

pub enum Runs {
    Command(Vec<OsString>),
    /// On this terminal.
    Shell,
}

pub struct Ended {
    pub status: u8,
    /// When the guest was up: the moment of a boot prompt.
    pub ready: Instant,
    /// Names of the files in [`Job::results`].
    pub files: Vec<String>,
}

/// By a signal.
#[derive(Debug)]
pub struct Interrupted(i32);

impl Error for Interrupted {}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ended by signal {}", self.0)
    }
}

enum Event {
    Note(String),
    /// QEMU has closed the channel: it ends.
    Gone,
    /// One of the streams has ended.
    Output,
    /// Nobody reads our output any more.
    Refused,
    Unpacked,
    Signal(i32),
}

impl Machine {
    pub fn get(cache: &Cache, kernel: &str, accel: Option<Accel>, size: Size) -> Result<Self> {
        let kernel = Kernel::get(cache, kernel)?;
        let root = Root::get(cache)?;
        let initramfs = initramfs::get(cache, &kernel, &root)?;
        let accel = match accel {
            Some(accel) => accel,
            None => Accel::detect(cache, &kernel.image(), &initramfs)?,
        };
        Ok(Self {
            kernel,
            accel,
            root,
            initramfs,
            size,
            dir: cache.dir.clone(),
        })
    }

    /// A directory for what a run takes along.
    pub fn share(&self) -> Result<Share> {
        Share::new(&self.dir)
    }

    /// Runs it to its end. From the main thread only.
    pub fn run(&self, job: Job) -> Result<Ended> {
        let shell = matches!(job.command, Runs::Shell);
        prepare(&job)?;
        let share = job.share.image()?;

        let mut qemu = Qemu::new(
            self.accel,
            self.size,
            &self.kernel.image(),
            &self.initramfs,
            "quiet",
        );
        qemu.disk(&self.root.image()).disk(&share);
        let console = qemu.console()?;
        let [out, err, note, order, results] = ["out", "err", "note", "order", "results"]
            .map(|name| qemu.port(name))
            .into_iter()
            .collect::<Result<Vec<_>>>()?
            .try_into()
            .ok()
            .context("five channels")?;
        if shell {
            qemu.terminal();
        }
        let messages = tempfile::tempfile()?;
        let (mut command, ends) = qemu.into_parts();
        command.stdout(if shell {
            std::process::Stdio::inherit()
        } else {
            messages.try_clone()?.into()
        });
        command.stderr(messages.try_clone()?);
        if !shell {
            // Ctrl-C is ours, to hand on.
            command.process_group(0);
        }

        let terminal = shell.then(Terminal::save);
        let (events, arrivals) = mpsc::channel();
        signals(events.clone())?;
        let console = Console::read(console, &self.dir.join("console.log"))?;
        let mut child = Child::start(&mut command)?;
        // From here on its ends are its own: when it ends, ours see it. So no other child may start before this.
        drop((ends, command));
        let unpacking = Unpacking::start(results, &job.share.dir().join("results"))?;
        stream(out, job.stdout, events.clone());
        stream(err, job.stderr, events.clone());
        notes(note, events.clone());

        let mut watch = Watch {
            order,
            shell,
            limit: job.limit,
            said: format!(
                "vm: Linux {}, {} ({})",
                self.kernel.release,
                match self.size.cpus {
                    1 => "one CPU".to_owned(),
                    cpus => format!("{cpus} CPUs"),
                },
                self.accel.name()
            ),
            status: None,
            ready: None,
        };
        let watched = watch.until_the_end(&arrivals, unpacking, events);
        if watched.is_err() {
            child.kill();
        }
        let ended = child.wait();
        drop(terminal);
        let console = console.last();
        let (unpacking, status) = match watched {
            Ok(ended) => ended,
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => bail!("{error:#}; {}", self.ends_with(&console, messages)?),
        };
        let Some((status, ready)) = status else {
            bail!(
                "the guest ended before its command did ({}); {}",
                ended?,
                self.ends_with(&console, messages)?
            );
        };
        ensure!(ended?.success(), "{}", self.ends_with(&console, messages)?);
        let files = unpacking.finish(&job.results)?;
        Ok(Ended {
            status,
            ready,
            files,
        })
    }

    fn ends_with(&self, console: &str, messages: std::fs::File) -> Result<String> {
        let messages = child::text(messages)?;
        let mut text = match messages.trim() {
            "" => String::new(),
            messages => format!("QEMU says: {messages}; "),
        };
        if console.trim().is_empty() {
            let _ = write!(
                text,
                "its console said nothing; to make kernel and disks anew, remove {}",
                self.dir.display()
            );
        } else {
            let _ = write!(
                text,
                "the guest's console ({}) ends with\n{console}",
                self.dir.join("console.log").display()
            );
        }
        Ok(text)
    }
}

/// What the script in the guest reads.
fn prepare(job: &Job) -> Result<()> {
    let mut environment = String::new();
    for (key, value) in &job.environment {
        let _ = writeln!(environment, "export {key}={}", command::quote(value));
    }
    job.share.text("environment", &environment)?;
    match &job.command {
        Runs::Shell => job.share.text("shell", ""),
        Runs::Command(words) => {
            let words: Vec<_> = words
                .iter()
                .map(|word| command::quote(OsStr::new(word)))
                .collect();
            let script = format!("#!/bin/sh\nexec {}\n", words.join(" "));
            job.share.script("command", &script)
        }
    }
}

/// Whom a signal goes to: the guest that runs.
static LISTENER: Mutex<Option<Sender<Event>>> = Mutex::new(None);

fn signals(events: Sender<Event>) -> Result<()> {
    let lock = || LISTENER.lock().unwrap_or_else(PoisonError::into_inner);
    // Once: of two guests, one after the other, the second one has what the first one had.
    if lock().replace(events).is_some() {
        return Ok(());
    }
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::spawn(move || {
        for signal in signals.forever() {
            let heard = lock()
                .as_ref()
                .is_some_and(|events| events.send(Event::Signal(signal)).is_ok());
            if !heard {
                // The guest has ended; what is done now may be ended too.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        }
    });
    Ok(())
}

fn stream(from: UnixStream, to: Box<dyn Write + Send>, events: Sender<Event>) {
    thread::spawn(move || {
        output::copy(from, to, || {
            let _ = events.send(Event::Refused);
        });
        let _ = events.send(Event::Output);
    });
}

fn notes(from: UnixStream, events: Sender<Event>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = events.send(Event::Note(line));
        }
        let _ = events.send(Event::Gone);
    });
}

struct Watch {
    order: UnixStream,
    shell: bool,
    limit: Option<Duration>,
    said: String,
    status: Option<u8>,
    ready: Option<Instant>,
}

impl Watch {
    /// Follows the guest until QEMU closes the channels.
    fn until_the_end(
        &mut self,
        arrivals: &Receiver<Event>,
        unpacking: Unpacking,
        events: Sender<Event>,
    ) -> Result<(Unpacking, Option<(u8, Instant)>)> {
        let mut phase = "come up";
        let mut deadline = Some((Instant::now() + BOOT, BOOT));
        let mut left = 3;
        let mut asked = false;
        let mut running = false;
        let unpacked = thread::spawn(move || {
            let mut unpacking = unpacking;
            unpacking.wait();
            let _ = events.send(Event::Unpacked);
            unpacking
        });
        loop {
            let event = match deadline {
                None => arrivals.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some((at, _)) => {
                    arrivals.recv_timeout(at.saturating_duration_since(Instant::now()))
                }
            };
            let event = match (event, deadline) {
                (Ok(event), _) => event,
                (Err(_), Some((_, limit))) => {
                    bail!("the guest did not {phase} in {} s", limit.as_secs())
                }
                (Err(error), None) => bail!("{error}"),
            };
            match event {
                Event::Note(note) => match note.split_once(' ') {
                    Some(("ready", seconds)) => {
                        eprintln!("{}, up after {seconds} s", self.said);
                        phase = "end its command";
                        deadline = self.limit.map(|limit| (Instant::now() + limit, limit));
                        running = true;
                        self.ready = Some(Instant::now());
                    }
                    Some(("status", status)) => {
                        self.status = Some(status.trim().parse().context("exit status")?);
                        phase = "hand over its files and power off";
                        deadline = Some((Instant::now() + END, END));
                        running = false;
                    }
                    _ => bail!("the guest says what it should not: {note}"),
                },
                Event::Output | Event::Unpacked => {
                    left -= 1;
                    if left == 0 && self.status.is_some() {
                        self.say("bye");
                    }
                }
                Event::Refused if running => self.say("TERM"),
                Event::Refused => {}
                Event::Signal(signal) if running && !asked && !self.shell => {
                    asked = true;
                    self.say(match signal {
                        SIGINT => "INT",
                        SIGHUP => "HUP",
                        _ => "TERM",
                    });
                    eprintln!("vm: handed to the command; once more ends the machine");
                }
                // On a terminal of its own it comes as a key.
                Event::Signal(SIGINT) if self.shell => {}
                Event::Signal(signal) => return Err(Interrupted(signal).into()),
                Event::Gone => break,
            }
        }
        let unpacking = unpacked.join().ok().context("tar")?;
        Ok((unpacking, self.status.zip(self.ready)))
    }

    fn say(&mut self, order: &str) {
        // A guest that is gone is noticed elsewhere.
        let _ = writeln!(self.order, "{order}");
    }
}

/// Where files go unless the caller says otherwise.
pub fn default_results(target: &Path) -> PathBuf {
    target.join("vm/results")
}
