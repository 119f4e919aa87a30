//! `cargo xtask paper`: the paper's experiment, from the load to the page.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{command, vm, workspace::Workspace};

mod agreement;
mod page;
mod rows;
mod schedules;

/// After which epochs the paper shows a forecast (its figures 7 to 11).
const EPOCHS_SHOWN: [u32; 5] = [1, 3, 5, 15, 30];

/// Reproduce the paper in a virtual machine with one CPU, and write docs/paper.md
///
/// Records the paper's load (nginx, `ab -n 1000000 -c 5`), and a few seconds of it beside perf, to compare the two switch for
/// switch; measures what the daemon costs that load (as `vm observer` does); counts the schedules of each task; trains the paper's
/// model; forecasts with it after epochs 1, 3, 5, 15 and 30, and with the default model; writes the page with its pictures.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    machine: vm::Options,

    /// Length of the recording
    #[arg(long, default_value = "50s", value_parser = humantime::parse_duration)]
    duration: Duration,

    /// Length of the recording beside perf
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    beside: Duration,

    #[command(flatten)]
    observer: vm::observer::Plan,

    /// Switches of a forecast
    #[arg(long, default_value_t = 1000)]
    steps: u32,

    /// Forecasts that are made and scored
    #[arg(long, default_value_t = 100)]
    starts: u32,

    /// Take recordings and measurements of the last run's guests instead of making new ones
    #[arg(long)]
    again: bool,

    /// Where paper.md and its pictures go
    #[arg(long, default_value = "docs", value_name = "DIR")]
    out: PathBuf,
}

/// Everything that the page tells.
struct Findings {
    seconds: f64,
    summary: rows::Summary,
    agreement: agreement::Agreement,
    versions: String,
    accel: String,
    observed: vm::observer::Observed,
    /// Rows of the loss curve: epoch, training and test MSE, test top-1.
    losses: Vec<Loss>,
    /// Of the paper's model, per epoch shown.
    forecasts: Vec<(u32, Value)>,
    default: Value,
}

struct Loss {
    epoch: u32,
    train: f64,
    test: f64,
    top1: f64,
}

pub fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let work = workspace.target.join("paper");
    let kernoracle = if args.again {
        let kernoracle = args.machine.built(&workspace)?;
        for name in ["paper.kot", "observer.txt"] {
            let file = work.join(name);
            ensure!(
                file.exists(),
                "{}: not there; run first without --again",
                file.display()
            );
        }
        kernoracle
    } else {
        let seconds = |duration: Duration| format!("{}ms", duration.as_millis());
        let durations = [seconds(args.duration), seconds(args.beside)];
        let kernoracle = vm::record_paper(&args.machine, &workspace, &durations, &work)?;
        let observed = vm::observer::measure(&args.machine, &args.observer, &workspace, &work)?;
        eprintln!("paper: {}", observed.headline());
        kernoracle
    };
    let recording = work.join("paper.kot");

    // Aside first: a page goes with its pictures.
    let pictures = work.join("page/paper");
    if pictures.exists() {
        fs::remove_dir_all(&pictures)?;
    }
    fs::create_dir_all(&pictures)?;

    let agreement = agreement::measure(&kernoracle, &work)?;
    eprintln!("paper: {agreement}");
    agreement.check()?;
    let summary = rows::Summary::of(&rows::read(&kernoracle, &recording, &work)?);
    fs::write(pictures.join("schedules.svg"), schedules::svg(&summary)?)?;
    let losses = train(&kernoracle, &work, &pictures)?;
    let mut forecasts = Vec::new();
    for epoch in EPOCHS_SHOWN {
        let model = work.join(format!("paper.epoch-{epoch}.safetensors"));
        let name = format!("forecast-epoch-{epoch}");
        let mut recipe = Command::new(&kernoracle);
        recipe.arg("forecast").arg(&recording);
        recipe.args(["--recipe", "paper", "--model"]).arg(&model);
        forecasts.push((epoch, forecast(recipe, &name, args, &work, &pictures)?));
    }
    let mut recipe = Command::new(&kernoracle);
    recipe.arg("forecast").arg(&recording);
    recipe.args(["--recipe", "default"]);
    let default = forecast(recipe, "forecast-default", args, &work, &pictures)?;

    let findings = Findings {
        seconds: args.duration.as_secs_f64(),
        summary,
        agreement,
        versions: fs::read_to_string(work.join("versions.txt"))?,
        accel: fs::read_to_string(work.join("accel.txt"))?,
        observed: vm::observer::Observed::read(&work)?,
        losses,
        forecasts,
        default,
    };
    let out = workspace.root.join(&args.out);
    publish(&page::markdown(&findings)?, &pictures, &out)?;
    eprintln!("paper: written: {}", out.join("paper.md").display());
    let behind = page::behind(&findings);
    for what in &behind {
        eprintln!("paper: NOT ahead: {what}");
    }
    Ok(if behind.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn train(kernoracle: &Path, work: &Path, pictures: &Path) -> Result<Vec<Loss>> {
    let shown: Vec<String> = EPOCHS_SHOWN.iter().map(u32::to_string).collect();
    let last = EPOCHS_SHOWN.iter().max().copied().unwrap_or_default();
    command::run(
        Command::new(kernoracle)
            .args(["train", "--recipe", "paper"])
            .arg(work.join("paper.kot"))
            .arg("-o")
            .arg(work.join("paper.safetensors"))
            .args(["--epochs", &last.to_string()])
            .args(["--save-epochs", &shown.join(",")])
            .arg("--loss-curve")
            .arg(work.join("loss.csv")),
    )?;
    fs::copy(work.join("loss.svg"), pictures.join("loss.svg")).context("loss.svg")?;
    let file = work.join("loss.csv");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    losses(&text).with_context(|| file.display().to_string())
}

/// `epoch,train_mse,test_mse,test_top1,…`
fn losses(csv: &str) -> Result<Vec<Loss>> {
    csv.lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let [epoch, train, test, top1, ..] = &fields[..] else {
                anyhow::bail!("too few columns: {line}");
            };
            Ok(Loss {
                epoch: epoch.parse()?,
                train: train.parse()?,
                test: test.parse()?,
                top1: top1.parse()?,
            })
        })
        .collect()
}

fn forecast(
    mut recipe: Command,
    name: &str,
    args: &Args,
    work: &Path,
    pictures: &Path,
) -> Result<Value> {
    let json = work.join(format!("{name}.json"));
    command::run(
        recipe
            .args(["--steps", &args.steps.to_string()])
            .args(["--starts", &args.starts.to_string()])
            .arg("-o")
            .arg(pictures.join(format!("{name}.svg")))
            .arg("--json")
            .arg(&json),
    )?;
    let text = fs::read_to_string(&json).with_context(|| json.display().to_string())?;
    serde_json::from_str(&text).with_context(|| json.display().to_string())
}

fn publish(markdown: &str, pictures: &Path, out: &Path) -> Result<()> {
    let to = out.join("paper");
    if to.exists() {
        fs::remove_dir_all(&to).with_context(|| to.display().to_string())?;
    }
    fs::create_dir_all(&to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(pictures)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    fs::write(out.join("paper.md"), markdown).context("paper.md")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_curve_is_read_row_by_row() {
        let csv = "epoch,train_mse,test_mse,test_top1,evaluations\n0,0.04,0.041,0.01,0\n1,0.02,0.021,0.5,25\n";
        let losses = losses(csv).unwrap();
        assert_eq!((losses.len(), losses[1].epoch), (2, 1));
        assert!(super::losses("head\n1,2\n").is_err());
    }
}
