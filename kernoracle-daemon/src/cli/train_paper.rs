//! `kernoracle train --recipe paper`.

use super::{diagnostics, options::check_directory, units};
use crate::aside;
use crate::{
    paper::{Optimizer, PaperEpoch, PaperPlan, PaperTrainer, csv, sequence::Sequence, svg},
    report::Format,
};
use anyhow::{Context, bail};
use indicatif::ProgressBar;
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// What only the paper's recipe has.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "The paper's recipe")]
pub struct PaperArgs {
    /// What moves the weights
    #[arg(long, value_name = "NAME", default_value = "lbfgs")]
    optimizer: OptimizerName,

    /// Share of the switches, at the end, that is not trained on
    #[arg(long, value_name = "SHARE", default_value = "30%", value_parser = test_share)]
    test: f64,

    /// The CPU whose switches are learned [default: the one with most]
    #[arg(long, value_name = "CPU", value_parser = clap::value_parser!(u32).range(0..=8191))]
    cpu: Option<u32>,

    /// Sequences that the training part, and the test part, is cut into, at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sequences: u32,

    /// Switches in a sequence
    #[arg(long, value_name = "SWITCHES", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    sequence_length: u32,

    /// Keep the model after these epochs too, as OUT.epoch-N
    #[arg(long, value_name = "EPOCHS", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=100_000))]
    save_epochs: Vec<u32>,

    /// Write the mean squared error of each epoch to this file, and a picture beside it (.svg)
    #[arg(long, value_name = "FILE.csv")]
    loss_curve: Option<PathBuf>,
}

/// `--optimizer`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum OptimizerName {
    /// Limited-memory BFGS on all sequences at once, 20 iterations an epoch
    Lbfgs,
    /// AdamW on 32 sequences at a time, 20 passes an epoch
    Adamw,
}

/// What is left to train on must be something.
pub fn test_share(text: &str) -> Result<f64, String> {
    match units::share(text)? {
        share if share < 1.0 => Ok(share),
        _ => Err("must be below 100%".to_owned()),
    }
}

/// What the recipes share.
pub struct Common<'a> {
    pub files: &'a [PathBuf],
    pub out: &'a Path,
    pub epochs: u32,
    pub seed: u64,
    pub threads: u32,
}

pub fn execute(
    common: &Common<'_>,
    args: &PaperArgs,
    progress: &ProgressBar,
) -> anyhow::Result<ExitCode> {
    let _diagnostics = diagnostics::start(Format::Text)?;
    let Common {
        files,
        out,
        epochs,
        seed,
        threads,
    } = *common;
    let [file] = files else {
        bail!(
            "--recipe paper trains on one file, {} are given",
            files.len()
        );
    };
    if file == Path::new("-") {
        bail!("-: give a file");
    }
    let saved = saved(args, out, epochs)?;
    let curve = args.loss_curve.as_deref();
    let picture = curve.map(|path| path.with_extension("svg"));
    let written = [Some(out), curve, picture.as_deref()].into_iter().flatten();
    let written: Vec<&Path> = written
        .chain(saved.iter().map(|(_, path)| &**path))
        .collect();
    for (i, path) in written.iter().enumerate() {
        check_directory(path)?;
        if path == file {
            bail!("{}: would overwrite the trace file", path.display());
        }
        if written[..i].contains(path) {
            bail!(
                "{}: would be written twice; give --out and --loss-curve other names",
                path.display()
            );
        }
    }
    let sequence = Sequence::read(file, args.cpu)?;
    if let Some(lost) = &sequence.lost {
        tracing::warn!("{}: trained on what is left: {lost}", file.display());
    }
    let plan = PaperPlan {
        seed,
        epochs,
        optimizer: match args.optimizer {
            OptimizerName::Lbfgs => Optimizer::Lbfgs,
            OptimizerName::Adamw => Optimizer::AdamW,
        },
        test: args.test,
        sequences: args.sequences as usize,
        length: args.sequence_length as usize,
        threads: threads as usize,
    };
    let name = plan.optimizer.name();
    let mut trainer = PaperTrainer::new(plan, &sequence, file.clone())?;
    let say = |line: &str| progress.suspend(|| writeln!(anstream::stdout().lock(), "{line}"));
    say(&format!(
        "CPU {}: {} switches of {} tasks; trained on {} sequences of {} by {name}",
        sequence.cpu,
        sequence.samples.len(),
        sequence.names.len(),
        trainer.sequences(),
        args.sequence_length,
    ))?;
    say(&line(&trainer.epochs()[0]))?;
    for number in 1..=epochs {
        progress.set_message(format!("epoch {number} of {epochs}"));
        let epoch = trainer.epoch(&mut |done| {
            let all = (f64::from(number - 1) + done) / f64::from(epochs);
            progress.set_position((all * 1000.0) as u64);
        })?;
        say(&line(&epoch))?;
        if let (Some(path), Some(picture)) = (curve, &picture) {
            write(path, csv(trainer.epochs()).as_bytes())?;
            let title = format!("Loss of the paper's recipe, {name}");
            write(picture, svg(trainer.epochs(), &title)?.as_bytes())?;
        }
        if let Some((_, path)) = saved.iter().find(|(epoch, _)| *epoch == number) {
            trainer.model()?.save(path)?;
        }
    }
    let model = trainer.model()?;
    model.save(out)?;
    progress.finish_and_clear();
    writeln!(anstream::stdout().lock(), "{}: {model}", out.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Which epochs are kept, and where.
fn saved(args: &PaperArgs, out: &Path, epochs: u32) -> anyhow::Result<Vec<(u32, PathBuf)>> {
    let mut numbers = args.save_epochs.clone();
    numbers.sort_unstable();
    numbers.dedup();
    if let Some(beyond) = numbers.iter().find(|number| **number > epochs) {
        bail!("--save-epochs {beyond}: there are only {epochs} epochs");
    }
    let extension = out
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let path = |number: u32| match extension.as_str() {
        "" => out.with_extension(format!("epoch-{number}")),
        extension => out.with_extension(format!("epoch-{number}.{extension}")),
    };
    Ok(numbers
        .into_iter()
        .map(|number| (number, path(number)))
        .collect())
}

fn line(epoch: &PaperEpoch) -> String {
    format!(
        "epoch {:>3}: training MSE {:.5}; test MSE {:.5}, top-1 {:.1} %; {} evaluations{}",
        epoch.number,
        epoch.train_mse,
        epoch.test_mse,
        epoch.test_top1 * 100.0,
        epoch.evaluations,
        if epoch.converged { ", converged" } else { "" },
    )
}

/// Writes a file aside, syncs it and puts it in place.
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    aside::write(path, bytes).with_context(|| path.display().to_string())
}
