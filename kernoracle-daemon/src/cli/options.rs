//! Options that several commands share.

use super::units;
use crate::{
    oracle::{self, Engine, Learning, StartFrom},
    report::{Choose, Format, Reporter, Settings, WhenFull, lines::Start},
    trace::origin::{Origin, Scheduler},
};
use anyhow::{Context, bail};
use regex::Regex;
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};
use tracing_appender::rolling::{RollingFileAppender, Rotation};

/// Switches that the model looks back on a CPU.
const WINDOW: &str = "64";

/// The oracle's options.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Oracle")]
pub struct OracleOptions {
    /// Switches in the rolling window of each CPU
    #[arg(long, value_name = "SWITCHES", default_value = WINDOW, value_parser = clap::value_parser!(u32).range(1..=4096))]
    window: u32,

    /// Start from the weights in this file (safetensors) instead of the default model's; `untrained`
    /// starts from none (./untrained is a file)
    #[arg(long, value_name = "FILE", value_parser = start)]
    model: Option<StartFrom>,

    /// Keep the weights as they are
    #[arg(long)]
    pub no_learn: bool,

    /// Seed of the untrained weights, of the learner, and of the choice of log lines
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,

    /// What computes the forward step
    #[arg(long, value_name = "NAME", default_value = "plain")]
    engine: EngineName,
}

/// `--model`.
#[expect(clippy::unnecessary_wraps, reason = "the form of clap's parsers")]
pub fn start(text: &str) -> Result<StartFrom, std::convert::Infallible> {
    Ok(match text {
        "untrained" => StartFrom::Untrained,
        path => StartFrom::File(path.into()),
    })
}

/// `--engine`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum EngineName {
    /// Plain arrays; the same numbers, several times faster
    Plain,
    /// candle's own LSTM, the reference
    Candle,
}

impl OracleOptions {
    /// `learning` unless `--no-learn`.
    pub fn config(&self, learning: Learning, live: bool) -> oracle::Config {
        oracle::Config {
            window: self.window as usize,
            seed: self.seed,
            learning: if self.no_learn {
                Learning::Off
            } else {
                learning
            },
            engine: match self.engine {
                EngineName::Plain => Engine::Plain,
                EngineName::Candle => Engine::Candle,
            },
            model: self.model.clone().unwrap_or_default(),
            live,
            timed: live,
        }
    }
}

/// Learning in step with the events: the same in every run.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Oracle")]
pub struct InlineLearning {
    /// A learning step of the network after every so many scored switches; 4294967295: never
    #[arg(long, value_name = "DECISIONS", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    learn_every: u32,
}

impl InlineLearning {
    pub fn learning(&self) -> Learning {
        Learning::Inline {
            every: self.learn_every,
        }
    }
}

/// `--save-model`.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Oracle")]
pub struct SaveModel {
    /// At the end, write the weights to this file (safetensors)
    #[arg(long, value_name = "FILE")]
    save_model: Option<PathBuf>,
}

impl SaveModel {
    /// Refuses a place that cannot be written before the run, not after it.
    pub fn check(&self) -> anyhow::Result<()> {
        self.save_model.as_deref().map_or(Ok(()), check_directory)
    }

    pub fn save(&self, oracle: &oracle::Oracle) -> anyhow::Result<()> {
        if let Some(path) = &self.save_model {
            oracle.save(path)?;
            tracing::info!("weights written to {}", path.display());
        }
        Ok(())
    }
}

/// Log lines and files.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutputOptions {
    /// Log every scored switch, not a sample
    #[arg(long, conflicts_with = "samples_per_second")]
    every_switch: bool,

    /// Log at most so many scored switches a second a CPU, chosen evenly; 0 for none
    #[arg(long, value_name = "LINES", default_value = "5", value_parser = units::rate)]
    samples_per_second: f64,

    /// Log only switches that concern a task whose comm/pid matches (scores are of all)
    #[arg(long, value_name = "REGEX", value_parser = Regex::new)]
    task: Option<Regex>,

    /// How the log is written; the fields of json are in docs/log-fields.md
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: Format,

    /// Write the log to this file (appending) instead of standard output
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,

    /// Begin a new log file with the hour or the day (UTC) in its name
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "never",
        requires = "log_file"
    )]
    log_rotation: LogRotation,

    /// Write every prediction with its outcome to this file, one JSON object a line
    #[arg(long, value_name = "FILE.jsonl")]
    predictions: Option<PathBuf>,
}

/// `--log-rotation`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogRotation {
    Never,
    Hourly,
    Daily,
}

impl OutputOptions {
    /// Refuses what cannot be written before anything is started.
    pub fn check(&self) -> anyhow::Result<()> {
        if let (Some(log), Some(predictions)) = (&self.log_file, &self.predictions)
            && log == predictions
        {
            bail!(
                "{}: --log-file and --predictions need two files",
                log.display()
            );
        }
        for path in [&self.log_file, &self.predictions].into_iter().flatten() {
            check_directory(path)?;
        }
        Ok(())
    }

    /// Opens the outputs.
    pub fn reporter(
        &self,
        when_full: WhenFull,
        seed: u64,
        start_ns: u64,
    ) -> anyhow::Result<Reporter> {
        let choose = if self.every_switch {
            Choose::Every
        } else {
            Choose::PerSecond(self.samples_per_second)
        };
        Ok(Reporter::new(Settings {
            log: self.log()?,
            format: self.log_format,
            choose,
            task: self.task.clone(),
            predictions: self.predictions.clone(),
            when_full,
            seed,
            start_ns,
        })?)
    }

    fn log(&self) -> anyhow::Result<Box<dyn Write + Send>> {
        let Some(path) = &self.log_file else {
            return Ok(Box::new(anstream::AutoStream::auto(io::stdout())));
        };
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .with_context(|| format!("{}: --log-file needs the name of a file", path.display()))?;
        let file = RollingFileAppender::builder()
            .rotation(match self.log_rotation {
                LogRotation::Never => Rotation::NEVER,
                LogRotation::Hourly => Rotation::HOURLY,
                LogRotation::Daily => Rotation::DAILY,
            })
            .filename_prefix(name)
            .build(directory(path))
            .with_context(|| format!("{}: cannot open the log file", path.display()))?;
        let file: Box<dyn Write + Send> = Box::new(file);
        Ok(Box::new(anstream::StripStream::new(file)))
    }
}

/// What the first log line says.
pub fn start_line(
    command: &str,
    origin: &Origin,
    findings: Vec<String>,
    oracle: &oracle::Oracle,
    seed: u64,
) -> Start {
    Start {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        command: command.to_owned(),
        kernel: origin.kernel.clone(),
        machine: origin.machine.clone(),
        scheduler: scheduler_name(origin.scheduler).to_owned(),
        cpus: origin.cpus,
        recorded_cpus: origin.recorded_cpus.clone(),
        absent_fields: origin.absent_fields.clone(),
        findings,
        model: oracle.describe(),
        seed,
    }
}

/// As JSON and the trace file's header name it.
pub fn scheduler_name(scheduler: Scheduler) -> &'static str {
    match scheduler {
        Scheduler::Eevdf => "eevdf",
        Scheduler::Cfs => "cfs",
        Scheduler::Unknown => "unknown",
    }
}

/// The directory that a file is in.
fn directory(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// A file can be created only in a directory that is there.
pub fn check_directory(path: &Path) -> anyhow::Result<()> {
    let directory = directory(path);
    if path.is_dir() {
        bail!("{}: is a directory, a file is needed", path.display());
    }
    if !directory.is_dir() {
        bail!(
            "{}: there is no directory {}",
            path.display(),
            directory.display()
        );
    }
    Ok(())
}
