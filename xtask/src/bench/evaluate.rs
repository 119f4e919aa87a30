//! `kernoracle eval` over recordings. Every answer is kept: a bench that was killed does not ask twice.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    figures::{LoadResult, Results, TOP1, at},
    recordings::Recording,
};
use crate::command;

/// How a recording is evaluated.
#[derive(Clone, Debug, Default)]
pub struct Variant {
    /// In file names and messages.
    pub name: &'static str,
    /// Instead of the default model.
    pub model: Option<PathBuf>,
    /// Keep the weights as they are.
    pub frozen: bool,
}

pub struct Evaluator<'a> {
    pub kernoracle: &'a Path,
    /// Directory of the answers.
    pub answers: &'a Path,
    /// Evaluations at a time.
    pub jobs: usize,
}

impl Evaluator<'_> {
    pub fn all(&self, recordings: &[Recording], variant: &Variant) -> Result<Results> {
        fs::create_dir_all(self.answers).with_context(|| self.answers.display().to_string())?;
        let next = AtomicUsize::new(0);
        let answers = Mutex::new(vec![None; recordings.len()]);
        let work = || -> Result<()> {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(recording) = recordings.get(at) else {
                    return Ok(());
                };
                let answer = self.one(recording, variant, at + 1, recordings.len());
                // The others stop after the one that they are at.
                let answer =
                    answer.inspect_err(|_| next.store(recordings.len(), Ordering::Relaxed))?;
                answers.lock().expect("no thread panics")[at] = Some(answer);
            }
        };
        thread::scope(|scope| {
            let jobs: Vec<_> = (0..self.jobs.max(1)).map(|_| scope.spawn(work)).collect();
            jobs.into_iter()
                .try_for_each(|job| job.join().expect("no thread panics"))
        })?;

        let mut results: Vec<LoadResult> = Vec::new();
        let answers = answers.into_inner().expect("no thread panics");
        for (recording, answer) in recordings.iter().zip(answers) {
            let answer = answer.context("an evaluation is missing")?;
            match results.last_mut() {
                Some(result) if result.load == recording.load => result.rounds.push(answer),
                _ => results.push(LoadResult {
                    load: recording.load,
                    rounds: vec![answer],
                }),
            }
        }
        Ok(Results(results))
    }

    fn one(&self, recording: &Recording, variant: &Variant, at: usize, of: usize) -> Result<Value> {
        let name = format!("{}.{}", recording.name(), variant.name);
        let kept = self.answers.join(format!("{name}.json"));
        let asked = self.question(recording, variant)?;
        let step = format!("[{at}/{of}] {name}");
        if let Some(answer) = kept_answer(&kept, &asked) {
            eprintln!("{step}: {}, evaluated before", brief(&answer));
            return Ok(answer);
        }
        let began = Instant::now();
        let answer = self.ask(recording, variant)?;
        let kept_text = json!({ "question": asked, "load": answer }).to_string();
        super::write_whole(&kept, &kept_text)?;
        let seconds = began.elapsed().as_secs_f64();
        eprintln!("{step}: {}, {seconds:.1} s", brief(&answer));
        Ok(answer)
    }

    /// What the answer depends on.
    fn question(&self, recording: &Recording, variant: &Variant) -> Result<Value> {
        let model = variant.model.as_deref().map(identity).transpose()?;
        Ok(json!({
            "kernoracle": identity(self.kernoracle)?,
            "recording": identity(&recording.file)?,
            "model": model,
            "frozen": variant.frozen,
        }))
    }

    fn ask(&self, recording: &Recording, variant: &Variant) -> Result<Value> {
        let mut eval = Command::new(self.kernoracle);
        eval.args(["eval", "--json"]);
        if variant.frozen {
            eval.arg("--no-learn");
        }
        if let Some(model) = &variant.model {
            eval.arg("--model").arg(model);
        }
        eval.arg("--").arg(&recording.file);
        let output = command::output(&mut eval)?;
        ensure!(
            output.status.success(),
            "kernoracle eval {}: {}: {}",
            recording.file.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let mut answer: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("kernoracle eval {}", recording.file.display()))?;
        let load = answer["loads"][0].take();
        ensure!(
            load.is_object(),
            "kernoracle eval {}: its JSON has no loads[0]",
            recording.file.display()
        );
        Ok(load)
    }
}

/// `None` too if the file is damaged: then it is asked anew.
fn kept_answer(kept: &Path, asked: &Value) -> Option<Value> {
    let mut kept: Value = serde_json::from_slice(&fs::read(kept).ok()?).ok()?;
    (kept["question"] == *asked).then(|| kept["load"].take())
}

/// Of a file that is only ever replaced as a whole. The path is part of it: it is in the answer.
pub fn identity(file: &Path) -> Result<Value> {
    let meta = fs::metadata(file).with_context(|| file.display().to_string())?;
    Ok(json!([
        file.display().to_string(),
        meta.size(),
        meta.mtime(),
        meta.mtime_nsec()
    ]))
}

fn brief(load: &Value) -> String {
    let switches = load["all"]["seen"].as_u64().unwrap_or(0);
    match at(load, TOP1) {
        Some(top1) => format!("{switches} switches, top-1 {:.1} %", 100.0 * top1),
        None => format!("{switches} switches, none scored"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{loads::Load, tests::program};

    /// A program in kernoracle's place that counts how often it is asked.
    fn counting(dir: &Path) -> PathBuf {
        let kernoracle = dir.join("kernoracle");
        let script = format!(
            "echo \"$*\" >>{}/asked\necho '{{\"loads\":[{{\"all\":{{\"seen\":7}}}}]}}'",
            dir.display()
        );
        program(&kernoracle, &script);
        kernoracle
    }

    fn asked(dir: &Path) -> usize {
        fs::read_to_string(dir.join("asked")).map_or(0, |text| text.lines().count())
    }

    #[test]
    fn what_was_answered_is_not_asked_again_unless_something_changed() {
        let dir = tempfile::tempdir().unwrap();
        let kernoracle = counting(dir.path());
        let evaluator = Evaluator {
            kernoracle: &kernoracle,
            answers: &dir.path().join("answers"),
            jobs: 2,
        };
        let redis = Load::find("redis").unwrap();
        let recordings = [1, 2].map(|round| Recording::new(dir.path(), redis, round));
        for recording in &recordings {
            fs::write(&recording.file, "a").unwrap();
        }
        let online = Variant {
            name: "online",
            ..Variant::default()
        };
        let results = evaluator.all(&recordings, &online).unwrap();
        assert_eq!(results.0.len(), 1);
        assert_eq!(results.0[0].rounds.len(), 2);
        assert_eq!(asked(dir.path()), 2);

        evaluator.all(&recordings, &online).unwrap();
        assert_eq!(asked(dir.path()), 2);

        fs::write(&recordings[1].file, "bc").unwrap();
        evaluator.all(&recordings, &online).unwrap();
        assert_eq!(asked(dir.path()), 3);

        let frozen = Variant {
            name: "frozen",
            frozen: true,
            ..Variant::default()
        };
        evaluator.all(&recordings, &frozen).unwrap();
        assert_eq!(asked(dir.path()), 5);
        let lines = fs::read_to_string(dir.path().join("asked")).unwrap();
        assert!(lines.lines().last().unwrap().contains("--no-learn"));
    }

    #[test]
    fn a_recording_that_cannot_be_evaluated_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let evaluator = Evaluator {
            kernoracle: Path::new("false"),
            answers: &dir.path().join("answers"),
            jobs: 1,
        };
        let redis = Load::find("redis").unwrap();
        let recording = Recording::new(dir.path(), redis, 1);
        let error = evaluator
            .all(&[recording], &Variant::default())
            .unwrap_err();
        assert!(format!("{error:#}").contains("false"), "{error:#}");
    }
}
