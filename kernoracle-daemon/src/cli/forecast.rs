//! `kernoracle forecast`.

use super::{
    diagnostics,
    options::{check_directory, start},
    train::Recipe,
    train_paper::{test_share, write},
};
use crate::{
    forecast::{
        ForecastError, Latency, Named, OneStep, Path as Foretold, Paths, Report, Scorer, Shown,
        Task, foretell_by_oracle, foretell_by_paper, picture, starts,
    },
    model::Model,
    oracle::{Config, Engine, Learning, Oracle, StartFrom},
    paper::{PaperModel, sequence::Sequence},
    report::Format,
    trace::TraceReader,
};
use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Switches in the oracle's window, as in run.
const WINDOW: usize = 64;
/// Decisions between two steps of the learner, as in replay.
const LEARN_EVERY: u32 = 256;

/// Points before the test part at which the default recipe tries what to trust.
const REHEARSALS: usize = 20;

/// Run a model on from points of a trace file on its own output
///
/// From many points of the test part, the last 30 % of the switches of one CPU,
/// the model foretells the next --steps switches without seeing any of them: who
/// enters, and when. Prints, over all those points:
///   top-1 of step k     share of forecasts whose k-th task is the right one
///   error of step k     median of |foretold - actual| / actual, of the time between two switches
///                       and of the time from the start to the k-th
///   steps right         from the first on, before the first wrong one
/// beside four baselines: order-1, back-off-8, the last cycle repeated, and always
/// the most frequent task. Formulas: docs/forecast.md.
///
/// The default recipe lets the oracle run on in a simulation: who is next and for
/// how long the current task runs is its prediction, what the task does meanwhile
/// are its habits. `forecast` is the task that --draws such simulations think
/// likeliest together, `likeliest path` the one in which always the likeliest
/// comes. The paper's recipe feeds its output back and names the task with the
/// greatest number.
///
/// Examples:
///   kernoracle forecast nginx.kot -o forecast.svg
///   kernoracle train --recipe paper nginx.kot -o paper.safetensors
///   kernoracle forecast nginx.kot --recipe paper --model paper.safetensors -o paper.svg --json paper.json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// A trace file, as record writes it
    file: PathBuf,

    /// Whose forecast
    #[arg(long, value_name = "NAME", default_value = "default")]
    recipe: Recipe,

    /// The model: for --recipe paper one that train --recipe paper wrote; else as in replay [default: the one in the program]
    #[arg(long, value_name = "FILE", value_parser = start)]
    model: Option<StartFrom>,

    /// Switches to foretell
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    steps: u32,

    /// Points to foretell from, at most, evenly over the test part
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    starts: u32,

    /// Draw the forecast from this switch on, counted from 0 [default: the middle of the points]
    #[arg(long, value_name = "SWITCH")]
    from: Option<usize>,

    /// Share of the switches, at the end, that is foretold; at most what the model was not trained on
    #[arg(long, value_name = "SHARE", default_value = "30%", value_parser = test_share)]
    test: f64,

    /// The CPU whose switches are foretold [default: the one with most]
    #[arg(long, value_name = "CPU", value_parser = clap::value_parser!(u32).range(0..=8191))]
    cpu: Option<u32>,

    /// Simulations drawn at each point (default recipe)
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u32).range(0..=1000))]
    draws: u32,

    /// Seed of the learner and of what is drawn
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Draw input, forecast and what came
    #[arg(short, long, value_name = "OUT.svg")]
    out: Option<PathBuf>,

    /// Write all figures to this file; the fields are in docs/forecast.md
    #[arg(long, value_name = "OUT.json")]
    json: Option<PathBuf>,
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let _diagnostics = diagnostics::start(Format::Text)?;
    check_outputs(args)?;
    if args.file == Path::new("-") {
        bail!("-: a forecast reads its file more than once; give a file");
    }
    let chosen = Chosen::new(args)?;
    let sequence = Sequence::read(&args.file, args.cpu)?;
    if let Some(lost) = &sequence.lost {
        tracing::warn!(
            "{}: foretold from what is left: {lost}",
            args.file.display()
        );
    }
    let test = match &chosen {
        Chosen::Paper(model) => args.test.min(model.training.test),
        Chosen::Default(..) => args.test,
    };
    let points = Points::new(args, &sequence, test)?;
    let steps = args.steps as usize;

    let progress = progress_bar(points.all.len());
    let mut scorer = Scorer::new(steps);
    let mut drawn = Foretold::new();
    let each = |from: usize, paths: Paths| {
        if points.scored.binary_search(&from).is_ok() {
            scorer.add(&paths, &sequence.samples[from..from + steps]);
        }
        if from == points.shown {
            drawn = shown_path(&paths);
        }
        progress.inc(1);
    };
    let told = match chosen {
        Chosen::Paper(model) => by_paper(args, &model, &sequence, &points, each)?,
        Chosen::Default(model, name) => by_oracle(args, (*model, name), &sequence, &points, each)?,
    };
    progress.finish_and_clear();
    let report = report(args, &sequence, told, scorer, (&points, &drawn));
    if let Some(path) = &args.out {
        let shown = points.shown;
        let title = format!(
            "{} recipe: {steps} steps from switch {shown}",
            report.recipe
        );
        write(path, picture(&sequence, shown, &drawn, &title)?.as_bytes())?;
    }
    if let Some(path) = &args.json {
        let mut json = serde_json::to_vec_pretty(&report)?;
        json.push(b'\n');
        write(path, &json)?;
    }
    io::stdout().lock().write_all(report.text().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

enum Chosen {
    Paper(Box<PaperModel>),
    /// And what it is called.
    Default(Box<Model>, String),
}

impl Chosen {
    fn new(args: &Args) -> anyhow::Result<Self> {
        if args.recipe == Recipe::Paper {
            let Some(StartFrom::File(path)) = &args.model else {
                bail!("--recipe paper needs --model FILE: one that train --recipe paper wrote");
            };
            return Ok(Self::Paper(Box::new(PaperModel::load(path)?)));
        }
        let from = args.model.clone().unwrap_or_default();
        let (model, name) = from.model(args.seed)?;
        Ok(Self::Default(Box::new(model), name))
    }
}

/// Where forecasts begin.
struct Points {
    /// Index of the first switch of the test part.
    test_from: usize,
    scored: Vec<usize>,
    /// The one that is drawn; it need not be one of those that are scored.
    shown: usize,
    /// Both.
    all: Vec<usize>,
    /// Before the test part.
    rehearsals: Vec<usize>,
}

impl Points {
    fn new(args: &Args, sequence: &Sequence, test: f64) -> Result<Self, ForecastError> {
        let steps = args.steps as usize;
        let len = sequence.samples.len();
        // The first switch has nothing before it.
        let test_from = sequence.test_from(test).max(1);
        let whole = |start: usize| sequence.whole(start..start + steps);
        let scored = starts(whole, test_from, len, steps, args.starts as usize);
        if scored.is_empty() {
            return Err(ForecastError::TooShort {
                path: args.file.clone(),
                cpu: sequence.cpu,
                have: len.saturating_sub(test_from),
                steps,
            });
        }
        let shown = args.from.unwrap_or(scored[scored.len() / 2]);
        if shown < test_from || shown > len - steps || !whole(shown) {
            return Err(ForecastError::From {
                path: args.file.clone(),
                from: shown,
                steps,
                first: test_from,
                end: len,
            });
        }
        let mut all = scored.clone();
        if let Err(place) = all.binary_search(&shown) {
            all.insert(place, shown);
        }
        Ok(Self {
            test_from,
            scored,
            shown,
            all,
            rehearsals: starts(whole, len / 4, test_from, steps, REHEARSALS),
        })
    }
}

/// What a recipe gives beside its paths: what it is called, its figures one step ahead, and its time.
type Told = (String, OneStep, Latency);

fn by_paper(
    args: &Args,
    model: &PaperModel,
    sequence: &Sequence,
    points: &Points,
    each: impl FnMut(usize, Paths),
) -> Result<Told, ForecastError> {
    if model.encoding.places(sequence).iter().all(Option::is_none) {
        return Err(ForecastError::NoTaskKnown {
            model: model.to_string(),
            path: args.file.clone(),
        });
    }
    let steps = args.steps as usize;
    let (one_step, latency) =
        foretell_by_paper(model, sequence, points.test_from, &points.all, steps, each)?;
    Ok((model.to_string(), one_step, latency))
}

fn by_oracle(
    args: &Args,
    (model, name): (Model, String),
    sequence: &Sequence,
    points: &Points,
    each: impl FnMut(usize, Paths),
) -> Result<Told, ForecastError> {
    let task = Task {
        cpu: sequence.cpu,
        test_from: points.test_from,
        starts: &points.all,
        rehearsals: &points.rehearsals,
        steps: args.steps as usize,
        draws: args.draws,
        seed: args.seed,
    };
    let config = Config {
        window: WINDOW,
        seed: args.seed,
        learning: Learning::Inline { every: LEARN_EVERY },
        engine: Engine::Plain,
        model: StartFrom::Default,
        // For the time that predictions take.
        live: true,
    };
    let mut reader = TraceReader::open(&args.file)?;
    let oracle = Oracle::with_model(config, model, name.clone())?;
    let (one_step, latency) = foretell_by_oracle(oracle, &mut reader, &task, each)?;
    Ok((name, one_step, latency))
}

fn check_outputs(args: &Args) -> anyhow::Result<()> {
    for path in [&args.out, &args.json].into_iter().flatten() {
        check_directory(path)?;
        if path == &args.file {
            bail!("{}: would overwrite the trace file", path.display());
        }
    }
    if args.out.is_some() && args.out == args.json {
        bail!("--out and --json need two files");
    }
    if let Some(out) = &args.out
        && out.extension().is_none_or(|extension| extension != "svg")
    {
        bail!(
            "{}: pictures are SVG; give a name that ends in .svg",
            out.display()
        );
    }
    Ok(())
}

/// A path that could be: where there are several, the votes of many do not make one.
fn shown_path(paths: &Paths) -> Foretold {
    let named = |name: &str| paths.iter().find(|(other, _)| *other == name);
    let path = named("drawn")
        .or_else(|| named("path"))
        .or_else(|| named("forecast"));
    path.map(|(_, path)| path.clone()).unwrap_or_default()
}

fn report(
    args: &Args,
    sequence: &Sequence,
    (model, one_step, latency_us): Told,
    scorer: Scorer,
    (points, foretold): (&Points, &Foretold),
) -> Report {
    let scored = scorer.finish();
    Report {
        file: args.file.display().to_string(),
        recipe: match args.recipe {
            Recipe::Default => "default",
            Recipe::Paper => "paper",
        },
        model,
        cpu: sequence.cpu,
        switches: sequence.samples.len(),
        tasks: sequence.names.len(),
        test_from: points.test_from,
        starts: scored.starts,
        steps: args.steps as usize,
        seed: args.seed,
        one_step: one_step.finish(),
        latency_us,
        forecasters: scored.forecasters,
        at_step: scored.at_step,
        horizon: scored.horizon,
        mean_top1: scored.mean_top1,
        beats_until: scored.beats_until,
        top1_by_step: scored.top1_by_step,
        picture: Shown {
            from: points.shown,
            steps: args.steps as usize,
            foretold: (foretold.iter())
                .map(|step| Named {
                    task: step
                        .task
                        .map(|task| sequence.names[task as usize].to_string()),
                    diff_ns: step.diff_ns,
                })
                .collect(),
        },
    }
}

/// Hidden where standard error is no terminal.
fn progress_bar(points: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("forecasts {bar:40} {pos}/{len} {eta}")
        .expect("the template is well-formed");
    ProgressBar::new(points as u64).with_style(style)
}
