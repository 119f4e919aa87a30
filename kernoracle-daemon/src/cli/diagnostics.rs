//! What the program says about itself: `tracing` events to standard error, or to the journal.

use crate::{priority::Scheduling, report::Format};
use anyhow::Context;
use std::{
    fmt,
    io::{self, IsTerminal},
    os::unix::fs::MetadataExt,
};
use tracing_appender::non_blocking::{ErrorCounter, WorkerGuard};
use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt};

/// Lines that may wait for a slow standard error.
const MAX_WAITING: usize = 8192;

/// Keeps the diagnostics going; says at the end what was left out.
pub struct Diagnostics {
    _guard: WorkerGuard,
    shed: ErrorCounter,
}

impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Diagnostics").finish_non_exhaustive()
    }
}

impl Drop for Diagnostics {
    fn drop(&mut self) {
        let shed = self.shed.dropped_lines();
        if shed > 0 {
            tracing::warn!("{shed} diagnostic lines were left out: standard error was too slow");
        }
        // The guard waits for its thread by yielding, which gives that nothing on the CPU of a real-time reader: for up to a
        // second, nothing else would run there.
        if Scheduling::of_caller().is_real_time()
            && let Err(error) = Scheduling::FAIR.take_on()
        {
            tracing::debug!("the reader keeps its priority to the end: {error}");
        }
    }
}

/// Sends events to standard error, or to the journal where systemd connected it.
pub fn start(format: Format) -> anyhow::Result<Diagnostics> {
    // Of its own thread: the reader of events must not wait for a terminal.
    let (stderr, guard) = tracing_appender::non_blocking::NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(MAX_WAITING)
        .finish(io::stderr());
    let shed = stderr.error_counter();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(stderr)
        .with_target(false);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = if stderr_is_journal() {
        Box::new(tracing_journald::layer().context("cannot reach the journal")?)
    } else if format == Format::Json {
        Box::new(lines.json())
    } else {
        let colour = io::stderr().is_terminal()
            && anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
        Box::new(lines.with_ansi(colour))
    };
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .try_from_env()
        .or_else(|error| match std::env::var_os("RUST_LOG") {
            None => Ok(EnvFilter::new("info")),
            Some(_) => Err(error),
        })
        .context("RUST_LOG")?;
    // The eBPF side's messages come through the `log` crate.
    tracing_log::LogTracer::init().context("cannot start the diagnostics")?;
    tracing::subscriber::set_global_default(Registry::default().with(layer.with_filter(filter)))
        .context("cannot start the diagnostics")?;
    Ok(Diagnostics {
        _guard: guard,
        shed,
    })
}

/// systemd sets `JOURNAL_STREAM` to the device and inode of the stream that it made: a child with its
/// own standard error inherits the variable, but not the stream.
fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else {
        return false;
    };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
}
