//! `cargo xtask bench ablate`

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    Common,
    ablation_page::{Ablated, Page},
    evaluate::{Evaluator, Variant, identity},
    loads,
    machine::{self, About},
    recordings::{self, Recording},
};
use crate::{command, workspace::Workspace};

/// Parts that `kernoracle train --without` leaves out, and what the tables call their removal.
const PARTS: [(&str, &str); 3] = [
    ("lstm", "without-lstm"),
    ("scheduler", "without-scheduler"),
    ("counts", "without-counts"),
];

/// Remove each part of the model and say what accuracy it costs
///
/// Trains a model without the LSTM, one without the scheduler's state and one without the counts, each on
/// the training half of the loads, and evaluates them with online learning; and evaluates the default
/// model without online learning. Prints the macro mean and each load beside the full model's, and writes
/// docs/ablation.md if every load was evaluated.
///
/// Needs the recordings of `bench record-training` and of `bench accuracy`.
#[derive(clap::Args)]
pub struct Args {
    /// Recordings to train on; of left-out loads none is used
    #[arg(long, value_name = "DIR", default_value = "target/bench/training")]
    training: PathBuf,

    /// Recordings to evaluate on
    #[arg(
        long,
        value_name = "DIR",
        default_value = "target/bench/accuracy/recordings"
    )]
    recordings: PathBuf,

    /// Evaluate on these loads only, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    loads: Vec<String>,

    /// Train the full model in the same way too, instead of taking the default model for it
    #[arg(long)]
    train_full: bool,

    /// Directory of ablation.md
    #[arg(long, value_name = "DIR", default_value = "docs")]
    out: PathBuf,

    #[command(flatten)]
    common: Common,

    /// Passed on to every `kernoracle train`, after `--`: --epochs, --seed, ...
    #[arg(last = true, value_name = "ARGS")]
    train: Vec<OsString>,
}

pub fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let training = directory("--training", &args.training, "record-training -o DIR")?;
    let mut training = recordings::all(training)?;
    training.retain(|recording| recording.load.trained);
    ensure!(
        !training.is_empty(),
        "--training {}: no recording of a load of the training half in it: cargo xtask bench record-training",
        args.training.display()
    );
    let directory = directory("--recordings", &args.recordings, "accuracy")?;
    let loads = if args.loads.is_empty() {
        recordings::loads(directory)?
    } else {
        loads::chosen(&args.loads)?
    };
    let recordings = recordings::of(directory, &loads)?;
    refuse_the_same(&training, &recordings)?;

    let kernoracle = super::prepare(&workspace, &[], args.common.debug)?;
    let work = workspace.target.join("bench/ablate");
    fs::create_dir_all(&work).with_context(|| work.display().to_string())?;
    let trainer = Trainer {
        kernoracle: &kernoracle,
        files: &training,
        args: &args.train,
        work: &work,
    };
    let evaluator = Evaluator {
        kernoracle: &kernoracle,
        answers: &work.join("eval"),
        jobs: args.common.jobs(),
    };
    let evaluate = |name, model, frozen| -> Result<Ablated> {
        let variant = Variant {
            name,
            model,
            frozen,
        };
        let results = evaluator.all(&recordings, &variant)?;
        Ok(Ablated { name, results })
    };

    let full_model = args
        .train_full
        .then(|| trainer.train("full", None))
        .transpose()?;
    let full = evaluate("full", full_model.clone(), false)?;
    let mut ablated = Vec::new();
    for (part, name) in PARTS {
        let model = trainer.train(name, Some(part))?;
        ablated.push(evaluate(name, Some(model), false)?);
    }
    ablated.push(evaluate("without-online-learning", full_model, true)?);

    let page = Page {
        about: About::read(directory)?,
        commit: machine::commit(&workspace.root),
        trained_full: args.train_full,
        train_args: &args.train,
        full,
        ablated,
    };
    println!("{}", page.tables());
    let missing = page.missing_loads();
    if !missing.is_empty() {
        eprintln!(
            "bench: not every load was evaluated, without {}: ablation.md is left as it is",
            missing.join(", ")
        );
        return Ok(ExitCode::SUCCESS);
    }
    let out = workspace.root.join(&args.out);
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    super::write_whole(&out.join("ablation.md"), &page.markdown())?;
    eprintln!("written: {}/ablation.md", out.display());
    Ok(ExitCode::SUCCESS)
}

fn directory<'a>(option: &str, path: &'a Path, made_by: &str) -> Result<&'a Path> {
    ensure!(
        path.is_dir(),
        "{option} {}: there is no such directory: cargo xtask bench {made_by} makes it",
        path.display()
    );
    Ok(path)
}

/// No tuning on what is evaluated.
fn refuse_the_same(training: &[Recording], evaluation: &[Recording]) -> Result<()> {
    let real = |recording: &Recording| {
        fs::canonicalize(&recording.file).with_context(|| recording.file.display().to_string())
    };
    let training: Vec<PathBuf> = training.iter().map(real).collect::<Result<_>>()?;
    for recording in evaluation {
        let file = real(recording)?;
        ensure!(
            !training.contains(&file),
            "{}: is among the recordings to train on: training and evaluation need separate runs",
            file.display()
        );
    }
    Ok(())
}

struct Trainer<'a> {
    kernoracle: &'a Path,
    files: &'a [Recording],
    args: &'a [OsString],
    work: &'a Path,
}

impl Trainer<'_> {
    /// The model, trained anew unless it was trained from the same before.
    fn train(&self, name: &str, without: Option<&str>) -> Result<PathBuf> {
        let model = self.work.join(format!("{name}.safetensors"));
        let kept = self.work.join(format!("{name}.trained.json"));
        let question = self.question(without)?;
        if model.is_file() && kept_question(&kept).is_some_and(|kept| kept == question) {
            eprintln!("bench: {}: trained before", model.display());
            return Ok(model);
        }
        let mut train = Command::new(self.kernoracle);
        train.arg("train");
        train.args(self.files.iter().map(|recording| &recording.file));
        train.arg("-o").arg(&model);
        if let Some(part) = without {
            train.args(["--without", part]);
        }
        train.args(self.args);
        command::run(&mut train)?;
        ensure!(
            model.is_file(),
            "{}: kernoracle train wrote no model",
            model.display()
        );
        super::write_whole(&kept, &question.to_string())?;
        Ok(model)
    }

    /// What the model depends on.
    fn question(&self, without: Option<&str>) -> Result<Value> {
        let files = self
            .files
            .iter()
            .map(|recording| identity(&recording.file))
            .collect::<Result<Vec<_>>>()?;
        let args: Vec<_> = self.args.iter().map(|arg| arg.to_string_lossy()).collect();
        Ok(json!({
            "kernoracle": identity(self.kernoracle)?,
            "files": files,
            "without": without,
            "args": args,
        }))
    }
}

/// `None` too if the file is damaged: then the model is trained anew.
fn kept_question(kept: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(kept).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{loads::Load, tests::program};
    use std::os::unix::fs::symlink;

    #[test]
    fn a_model_is_trained_once_from_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let kernoracle = dir.path().join("kernoracle");
        // Writes the file behind -o and counts.
        let script = format!(
            "echo \"$*\" >>{}/asked\n\
             while [ $# -gt 0 ]; do [ $1 = -o ] && echo >\"$2\"; shift; done",
            dir.path().display()
        );
        program(&kernoracle, &script);
        let redis = Load::find("redis").unwrap();
        let files = [Recording::new(dir.path(), redis, 1)];
        fs::write(&files[0].file, "a").unwrap();
        let train = |args: &[OsString]| {
            Trainer {
                kernoracle: &kernoracle,
                files: &files,
                args,
                work: dir.path(),
            }
            .train("without-lstm", Some("lstm"))
            .unwrap()
        };
        let asked = || {
            let text = fs::read_to_string(dir.path().join("asked")).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let model = train(&[]);
        assert!(asked()[0].ends_with(&format!("-o {} --without lstm", model.display())));
        train(&[]);
        assert_eq!(asked().len(), 1);
        train(&["--seed".into(), "7".into()]);
        assert!(asked()[1].ends_with("--without lstm --seed 7"));
    }

    #[test]
    fn training_on_what_is_evaluated_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let redis = Load::find("redis").unwrap();
        let training = Recording::new(dir.path(), redis, 1);
        fs::write(&training.file, "").unwrap();
        let evaluation = Recording::new(dir.path(), redis, 2);
        fs::write(&evaluation.file, "").unwrap();
        let linked = Recording::new(dir.path(), redis, 3);
        symlink(&training.file, &linked.file).unwrap();

        let training = [training];
        refuse_the_same(&training, &[evaluation]).unwrap();
        let error = refuse_the_same(&training, &[linked]).unwrap_err();
        assert!(error.to_string().contains("need separate runs"), "{error}");
    }
}
