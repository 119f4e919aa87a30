//! The thread that writes: the log, and every prediction.

use super::{
    lines::{Final, GapLine, Line, Prediction, Start, Summary},
    prediction::Record,
    table,
    text::Text,
};
use crate::oracle::outcome::Decision;
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// Lines between two headers.
const HEADER_EVERY: u32 = 40;

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For a person.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Output that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("{path}: cannot create: {source}")]
    Create { path: PathBuf, source: io::Error },
    #[error("{path}: cannot write: {source}")]
    Predictions { path: PathBuf, source: io::Error },
    #[error("cannot write the log: {source}")]
    Log { source: io::Error },
    #[error("cannot start the writer thread: {source}")]
    Thread { source: io::Error },
    /// The reader of our standard output went away: a quiet end.
    #[error("the reader of the output is gone")]
    Closed,
}

/// What the writer is given.
#[derive(Debug)]
pub(super) enum Item {
    Start(Box<Start>),
    Sample(Box<Decision>),
    Every(Box<Decision>),
    Gap(GapLine),
    Summary(Box<Summary>),
    Final(Box<Final>),
}

impl Item {
    /// Belongs to `--predictions`, not to the log.
    pub fn is_prediction(&self) -> bool {
        matches!(self, Self::Every(_))
    }
}

/// `--predictions FILE`.
#[derive(Debug)]
pub(super) struct Predictions {
    path: PathBuf,
    file: BufWriter<File>,
    written: u64,
}

impl Predictions {
    pub fn create(path: &Path) -> Result<Self, OutputError> {
        let file = File::create(path).map_err(|source| OutputError::Create {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::with_capacity(1 << 18, file),
            written: 0,
        })
    }

    fn write(&mut self, decision: &Decision) -> Result<(), OutputError> {
        serde_json::to_writer(&mut self.file, &Record::from(decision))
            .map_err(io::Error::from)
            .and_then(|()| self.file.write_all(b"\n"))
            .map_err(|source| OutputError::Predictions {
                path: self.path.clone(),
                source,
            })?;
        self.written += 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), OutputError> {
        self.file
            .flush()
            .map_err(|source| OutputError::Predictions {
                path: self.path.clone(),
                source,
            })
    }
}

/// Writes items in order.
pub(super) struct Writer {
    log: Box<dyn Write + Send>,
    format: Format,
    text: Text,
    predictions: Option<Predictions>,
    lines: u64,
    since_header: Option<u32>,
    /// What is written at once.
    buffer: String,
}

impl Writer {
    pub fn new(
        log: Box<dyn Write + Send>,
        format: Format,
        start_ns: u64,
        predictions: Option<Predictions>,
    ) -> Self {
        Self {
            log,
            format,
            text: Text::new(start_ns),
            predictions,
            lines: 0,
            since_header: None,
            buffer: String::new(),
        }
    }

    /// Writes a batch; a person sees it at once.
    pub fn batch(&mut self, items: Vec<Item>) -> Result<(), OutputError> {
        for item in items {
            if let Item::Every(decision) = &item {
                if let Some(predictions) = &mut self.predictions {
                    predictions.write(decision)?;
                }
                continue;
            }
            match self.format {
                Format::Text => self.text_line(item),
                Format::Json => self.json_line(item)?,
            }
            self.lines += 1;
        }
        if !self.buffer.is_empty() {
            self.log
                .write_all(self.buffer.as_bytes())
                .and_then(|()| self.log.flush())
                .map_err(log_error)?;
            self.buffer.clear();
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<(), OutputError> {
        match &mut self.predictions {
            Some(predictions) => predictions.flush(),
            None => Ok(()),
        }
    }

    fn text_line(&mut self, item: Item) {
        let out = &mut self.buffer;
        match item {
            Item::Start(start) => Text::start(out, &start),
            Item::Sample(decision) => {
                if self.since_header.is_none_or(|lines| lines >= HEADER_EVERY) {
                    Text::header(out);
                    self.since_header = Some(0);
                }
                self.text.prediction(out, &Prediction::from(&*decision));
            }
            Item::Gap(gap) => self.text.gap(out, &gap),
            Item::Summary(summary) => self.text.summary(out, &summary),
            Item::Final(end) => {
                let end = self.complete(*end);
                table::closing(&mut self.buffer, &end);
            }
            Item::Every(_) => {}
        }
        self.since_header = self.since_header.map(|lines| lines + 1);
    }

    fn json_line(&mut self, item: Item) -> Result<(), OutputError> {
        let json = match item {
            Item::Start(start) => serde_json::to_string(&Line::Start(&start)),
            Item::Sample(decision) => {
                serde_json::to_string(&Line::Prediction(&Prediction::from(&*decision)))
            }
            Item::Gap(gap) => serde_json::to_string(&Line::Gap(&gap)),
            Item::Summary(summary) => serde_json::to_string(&Line::Summary(&summary)),
            Item::Final(end) => serde_json::to_string(&Line::Final(&self.complete(*end))),
            Item::Every(_) => return Ok(()),
        };
        self.buffer
            .push_str(&json.map_err(|error| log_error(error.into()))?);
        self.buffer.push('\n');
        Ok(())
    }

    /// Only the writer knows what it wrote.
    fn complete(&self, mut end: Final) -> Final {
        end.output.lines_written = self.lines;
        end.output.predictions_written = self
            .predictions
            .as_ref()
            .map_or(0, |predictions| predictions.written);
        end
    }
}

fn log_error(source: io::Error) -> OutputError {
    if source.kind() == io::ErrorKind::BrokenPipe {
        OutputError::Closed
    } else {
        OutputError::Log { source }
    }
}
