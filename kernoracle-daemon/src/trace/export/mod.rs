//! A trace file as a table, one row a switch: CSV, or Parquet for pandas, polars and their like.

mod column;
mod csv;
mod parquet;
mod row;

pub use column::markdown;

use super::{
    Lost, ReadError, TraceReader,
    event::{Body, Event},
    origin::Origin,
};
use crate::aside::Aside;
use ::parquet::errors::ParquetError;
use column::{Column, Value, columns};
use foldhash::HashMap;
use row::Row;
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// The kind of table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Comma-separated values with a header; what is absent is empty
    Csv,
    /// Apache Parquet, compressed by zstd; what is absent is null
    Parquet,
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    Parquet { path: PathBuf, source: ParquetError },
    #[error("interrupted: nothing was written")]
    Stopped,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    pub rows: u64,
    /// Gaps of the trace, and the lost events that they stand for.
    pub gaps: u64,
    pub lost_events: u64,
    /// Lost events of gaps that no row follows on their CPU: no row shows them.
    pub lost_behind: u64,
    /// What a cut or damaged file did not give back.
    pub trace_lost: Option<Lost>,
}

/// Why a row cannot be written.
enum Failed {
    Io(io::Error),
    Parquet(::parquet::errors::ParquetError),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<::parquet::errors::ParquetError> for Failed {
    fn from(error: ::parquet::errors::ParquetError) -> Self {
        Self::Parquet(error)
    }
}

/// Takes the rows of a table.
trait Table {
    fn row(&mut self, values: &[Value]) -> Result<(), Failed>;

    fn finish(self: Box<Self>) -> Result<(), Failed>;
}

/// Writes a trace file as a table. `-` is standard input and output. `stop` is asked now and then whether
/// to give up; then nothing is left behind.
pub fn export(
    input: &Path,
    output: &Path,
    format: Format,
    stop: &dyn Fn() -> bool,
) -> Result<Exported, ExportError> {
    let mut reader = TraceReader::open(input)?;
    let failed = |failed| {
        let path = output.to_path_buf();
        match failed {
            Failed::Io(source) => ExportError::Io { path, source },
            // What it only passed on is the file's own error.
            Failed::Parquet(ParquetError::External(source)) => match source.downcast() {
                Ok(source) => ExportError::Io {
                    path,
                    source: *source,
                },
                Err(source) => ExportError::Parquet {
                    path,
                    source: ParquetError::External(source),
                },
            },
            Failed::Parquet(source) => ExportError::Parquet { path, source },
        }
    };
    let io = |source| failed(Failed::Io(source));
    let aside = Aside::new(output).map_err(io)?;
    let stream: Box<dyn Write + Send> = if output == Path::new("-") {
        Box::new(io::stdout())
    } else {
        Box::new(File::options().write(true).open(aside.path()).map_err(io)?)
    };
    let stream = BufWriter::with_capacity(1 << 20, stream);
    let origin = reader.origin().clone();
    let columns = columns(&origin);
    let mut table = table(format, stream, &columns, &origin).map_err(failed)?;

    let mut exported = Exported::default();
    let mut before: HashMap<u32, Before> = HashMap::default();
    let mut values = Vec::with_capacity(columns.len());
    let mut events = 0_u64;
    while let Some(event) = reader.next_event()? {
        events += 1;
        if events.is_multiple_of(4096) && stop() {
            return Err(ExportError::Stopped);
        }
        let Event {
            ts_ns,
            seq: _,
            cpu,
            ref body,
        } = *event;
        let on_cpu = before.entry(cpu).or_default();
        match body {
            Body::Gap { lost } => {
                on_cpu.gap = true;
                on_cpu.lost = on_cpu.lost.saturating_add(*lost);
                exported.gaps += 1;
                exported.lost_events = exported.lost_events.saturating_add(*lost);
            }
            Body::Switch(switch) => {
                let Before {
                    ts_ns: last,
                    gap,
                    lost,
                } = std::mem::take(on_cpu);
                on_cpu.ts_ns = Some(ts_ns);
                let row = Row {
                    ts_ns,
                    diff_ns: last
                        .filter(|_| !gap)
                        .and_then(|last| ts_ns.checked_sub(last)),
                    cpu,
                    lost_before: lost,
                    switch,
                };
                values.clear();
                values.extend(columns.iter().map(|column| (column.get)(&row)));
                table.row(&values).map_err(failed)?;
                exported.rows += 1;
            }
            _ => {}
        }
    }
    table.finish().map_err(failed)?;
    aside.publish().map_err(io)?;
    exported.lost_behind = before
        .values()
        .fold(0, |sum, cpu| sum.saturating_add(cpu.lost));
    exported.trace_lost = reader.lost().cloned();
    Ok(exported)
}

/// What came on a CPU since, and when, its last switch.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    ts_ns: Option<u64>,
    gap: bool,
    lost: u64,
}

fn table<'a>(
    format: Format,
    stream: impl Write + Send + 'a,
    columns: &'a [Column],
    origin: &Origin,
) -> Result<Box<dyn Table + 'a>, Failed> {
    Ok(match format {
        Format::Csv => Box::new(csv::Csv::new(stream, columns)?),
        Format::Parquet => Box::new(parquet::Parquet::new(stream, columns, origin)?),
    })
}
