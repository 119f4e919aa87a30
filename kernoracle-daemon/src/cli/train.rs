//! `kernoracle train`.

use super::{
    diagnostics,
    options::check_directory,
    train_paper::{self, Common, PaperArgs},
};
use crate::{
    model::Without,
    report::Format,
    train::{Begun, Epoch, Plan, Recording, Trainer, curve},
};
use anyhow::{Context, bail};
use clap::ValueEnum as _;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime},
};

/// Train a model on trace files
///
/// Replays each file through the oracle, keeps windows of what it saw, and trains
/// on them the LSTM, the scorer of candidates and the linear part together, by
/// back-propagation through time. Every file counts the same, however long it is:
/// record each load for itself. The last 15 % of each file's time are not trained
/// on but validate: after each epoch a line says the bits and the share of right
/// first choices (top-1) there, as the mean over files, without any learning.
/// Training ends when these have not become better for --patience epochs; the
/// best weights are written.
///
/// Twice the same files, options and seed give the same model (with the same date:
/// set SOURCE_DATE_EPOCH). Killed, it goes on where it was when called again with
/// the same arguments: it keeps its state in OUT.state until it is done.
///
/// Examples:
///   kernoracle record -o nginx.kot -- ./nginx-load.sh     for each load
///   kernoracle train *.kot -o model.safetensors --curve curve.csv
///   kernoracle eval --model model.safetensors --no-learn other.kot
///   kernoracle train *.kot -o no-lstm.safetensors --without lstm    what is it worth?
///
/// With --recipe paper, the model of arXiv 2505.15213, for comparison: see
/// docs/forecast.md. One file; no validation but the test part's mean squared error.
///   kernoracle train --recipe paper nginx.kot -o paper.safetensors --loss-curve loss.csv
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// What is trained
    #[arg(long, value_name = "NAME", default_value = "default")]
    recipe: Recipe,

    /// Trace files, as record writes them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Where the model goes (safetensors)
    #[arg(short, long, value_name = "OUT")]
    out: PathBuf,

    /// Begin with the weights of this model instead of untrained ones
    #[arg(long, value_name = "MODEL")]
    from: Option<PathBuf>,

    /// Passes over the windows, at most
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    epochs: u32,

    /// End after so many epochs without a better validation
    #[arg(long, value_name = "EPOCHS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    patience: u32,

    /// Windows of each file in an epoch, at most, drawn evenly over the file
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    windows: u32,

    /// Switches in a window; the first 8 are seen but not counted
    #[arg(long, value_name = "SWITCHES", default_value_t = 72, value_parser = clap::value_parser!(u32).range(16..=4096))]
    length: u32,

    /// Windows in a step
    #[arg(long, value_name = "WINDOWS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,

    /// Highest learning rate; it rises to it and falls along a cosine
    #[arg(long, default_value_t = 2e-3, value_parser = rate)]
    rate: f64,

    /// Replay the files anew with the present weights after so many epochs
    #[arg(long, value_name = "EPOCHS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    refresh: u32,

    /// Leave a part of the model out, in training and in use (may be given more than once)
    #[arg(long, value_name = "PART")]
    without: Vec<PartName>,

    /// Write bits and top-1 of each epoch to this file (CSV)
    #[arg(long, value_name = "FILE.csv")]
    curve: Option<PathBuf>,

    /// Seed of the first weights and of all draws
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Threads; the outcome does not depend on their number
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: u32,

    #[command(flatten)]
    paper: PaperArgs,
}

/// `--recipe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Recipe {
    /// The model that run and replay use
    Default,
    /// That of the paper: one-hot tasks and time differences, two LSTM layers, mean squared error, L-BFGS
    Paper,
}

/// `--without`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum PartName {
    /// The LSTM's state
    Lstm,
    /// Run queues, wake-ups and the scheduler's numbers
    Scheduler,
    /// Counts of what followed the last tasks
    Counts,
}

/// Options that only one of the recipes has.
const RECIPE_OPTIONS: [(&str, Recipe); 16] = [
    ("--from", Recipe::Default),
    ("--patience", Recipe::Default),
    ("--windows", Recipe::Default),
    ("--length", Recipe::Default),
    ("--batch", Recipe::Default),
    ("--rate", Recipe::Default),
    ("--refresh", Recipe::Default),
    ("--without", Recipe::Default),
    ("--curve", Recipe::Default),
    ("--optimizer", Recipe::Paper),
    ("--test", Recipe::Paper),
    ("--cpu", Recipe::Paper),
    ("--sequences", Recipe::Paper),
    ("--sequence-length", Recipe::Paper),
    ("--save-epochs", Recipe::Paper),
    ("--loss-curve", Recipe::Paper),
];

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1.0 => Ok(rate),
        _ => Err("give a number above 0 and at most 1, such as 0.002".to_owned()),
    }
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    only_for_its_recipe(args)?;
    if args.recipe == Recipe::Paper {
        let common = Common {
            files: &args.files,
            out: &args.out,
            epochs: args.epochs,
            seed: args.seed,
            threads: args.threads,
        };
        return train_paper::execute(&common, &args.paper, &progress_bar());
    }
    let _diagnostics = diagnostics::start(Format::Text)?;
    check_directory(&args.out)?;
    if let Some(curve) = &args.curve {
        check_directory(curve)?;
        if curve == &args.out {
            bail!("{}: --curve and --out need two files", curve.display());
        }
    }
    let date = today()?;
    let mut recordings = Vec::new();
    for file in &args.files {
        if file == &args.out {
            bail!("{}: --out would overwrite a trace file", file.display());
        }
        if file == Path::new("-") {
            bail!("-: training reads its files more than once; give files");
        }
        let recording = Recording::survey(file)?;
        if let Some(lost) = &recording.lost {
            tracing::warn!("{}: trained on what is left: {lost}", file.display());
        }
        recordings.push(recording);
    }
    let without = args
        .without
        .iter()
        .fold(Without::default(), |mut all, part| {
            match part {
                PartName::Lstm => all.lstm = true,
                PartName::Scheduler => all.scheduler = true,
                PartName::Counts => all.counts = true,
            }
            all
        });
    let plan = Plan {
        seed: args.seed,
        epochs: args.epochs,
        windows: args.windows as usize,
        length: args.length as usize,
        batch: args.batch as usize,
        rate: args.rate,
        refresh: args.refresh,
        patience: args.patience,
        without,
    };
    let (mut trainer, begun) = Trainer::new(
        plan,
        recordings,
        args.from.as_deref(),
        &args.out,
        args.threads as usize,
    )?;
    let progress = progress_bar();
    let say = |line: &str| progress.suspend(|| writeln!(anstream::stdout().lock(), "{line}"));
    if let Begun::Resumed { epochs } = begun {
        say(&format!("goes on after epoch {epochs}"))?;
    }
    while !trainer.finished() {
        let number = trainer.history().len() + 1;
        let epoch = trainer.epoch(&mut |what, done| {
            progress.set_message(format!("epoch {number}: {what}"));
            progress.set_position((done * 1000.0) as u64);
        })?;
        say(&line(&epoch))?;
        if let Some(path) = &args.curve {
            fs::write(path, curve(trainer.history()))
                .with_context(|| path.display().to_string())?;
        }
    }
    let model = trainer.finish(date)?;
    progress.finish_and_clear();
    writeln!(anstream::stdout().lock(), "{}: {model}", args.out.display())?;
    Ok(ExitCode::SUCCESS)
}

/// An option of the other recipe that is not at its default would be passed over in silence.
fn only_for_its_recipe(args: &Args) -> anyhow::Result<()> {
    let ours = RECIPE_OPTIONS
        .iter()
        .filter(|(_, recipe)| *recipe != args.recipe);
    let given = std::env::args_os()
        .skip(1)
        .filter_map(|arg| arg.into_string().ok());
    let given: Vec<String> = given.collect();
    for (option, recipe) in ours {
        let is = |arg: &String| arg == option || arg.starts_with(&format!("{option}="));
        if given.iter().any(is) {
            let name = recipe.to_possible_value().expect("none is skipped");
            bail!(
                "{option} belongs to --recipe {}; leave it out",
                name.get_name()
            );
        }
    }
    Ok(())
}

fn line(epoch: &Epoch) -> String {
    let refused = match epoch.refused {
        0 => String::new(),
        refused => format!(", {refused} steps refused"),
    };
    format!(
        "epoch {:>3}: training {:.4} bits; validation {:.4} bits, top-1 {:.2} %; refined {:.4} bits, top-1 {:.2} %; rate {:.1e}, {:.1} s, {:.0} windows/s{refused}{}",
        epoch.number,
        epoch.training_bits,
        epoch.validation_bits,
        epoch.validation_top1 * 100.0,
        epoch.refined_bits,
        epoch.refined_top1 * 100.0,
        epoch.rate,
        epoch.seconds,
        epoch.windows as f64 / epoch.step_seconds.max(1e-9),
        if epoch.best { ", best" } else { "" },
    )
}

/// The day (UTC), or that of `SOURCE_DATE_EPOCH` (<https://reproducible-builds.org/specs/source-date-epoch/>).
fn today() -> anyhow::Result<String> {
    let time = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => {
            let seconds = text.parse::<u32>();
            let seconds = seconds.with_context(|| {
                format!("SOURCE_DATE_EPOCH is {text:?}; give seconds since 1970, or unset it")
            })?;
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.into())
        }
        Err(_) => SystemTime::now(),
    };
    let mut date = humantime::format_rfc3339_seconds(time).to_string();
    date.truncate("2026-01-31".len());
    Ok(date)
}

/// Hidden where standard error is no terminal.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:40} {percent}% {elapsed}")
        .expect("the template is well-formed");
    ProgressBar::new(1000).with_style(style)
}
