//! `cargo xtask vm demo`

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::mpsc::{self, Sender},
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    Options,
    accel::Accel,
    environment,
    machine::{Job, Runs, default_results},
    output, put_scripts, sums,
    tee::Kept,
};
use crate::workspace::Workspace;

/// A web server under load and the daemon on the guest's one CPU: the live log
///
/// nginx and `ab -c 5` as in the paper. Where the CPU is emulated the daemon runs with `--cpu-budget off`. Fails if the counts in the final table do not add up.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    options: Options,

    /// How long to predict
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    duration: Duration,

    /// Passed on to `kernoracle run`, after `--`
    #[arg(last = true, value_name = "ARGS")]
    passed_on: Vec<String>,
}

pub fn main(args: Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let machine = args
        .options
        .hardware
        .boot(&workspace, &args.options.kernel)?;
    let share = machine.share()?;
    share.program(&args.options.hardware.binary(&workspace), "bin/kernoracle")?;
    put_scripts(&share, &workspace)?;
    let duration = humantime::format_duration(args.duration).to_string();
    let mut command = vec![
        "/host/demo".into(),
        "--duration".into(),
        duration.replace(' ', "").into(),
    ];
    let given = |arg: &String| arg.starts_with("--cpu-budget");
    if machine.accel == Accel::Tcg && !args.passed_on.iter().any(given) {
        eprintln!(
            "vm: emulated, so everything is dear: no CPU budget, or nearly all switches would pass by (-- --cpu-budget 10% for the default)"
        );
        command.extend(["--cpu-budget", "off"].map(Into::into));
    }
    command.extend(args.passed_on.into_iter().map(Into::into));
    let kept = Kept::default();
    let (told, first) = mpsc::channel();
    let ended = machine.run(Job {
        share,
        command: Runs::Command(command),
        environment: environment(),
        stdout: kept.tee(Box::new(FirstPrediction {
            to: output::inherited(false),
            line: Vec::new(),
            told: Some(told),
        })),
        stderr: output::inherited(true),
        limit: None,
        results: default_results(&workspace.target),
    })?;
    if ended.status != 0 {
        return Ok(ExitCode::from(ended.status));
    }
    if let Ok(at) = first.try_recv() {
        let seconds = at.saturating_duration_since(ended.ready).as_secs_f64();
        eprintln!("vm: the first prediction came {seconds:.1} s after the guest was up");
    }
    sums::check(&kept.text())?;
    eprintln!("vm: the counts add up; powered off");
    Ok(ExitCode::SUCCESS)
}

/// Says when the first line with a prediction passes.
struct FirstPrediction {
    to: Box<dyn Write + Send>,
    line: Vec<u8>,
    told: Option<Sender<Instant>>,
}

impl Write for FirstPrediction {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.to.write(bytes)?;
        for &byte in &bytes[..len] {
            if self.told.is_none() {
                break;
            }
            if byte != b'\n' {
                self.line.push(byte);
                continue;
            }
            if is_prediction(&String::from_utf8_lossy(&self.line)) {
                // Nobody may be listening.
                let _ = self.told.take().map(|told| told.send(Instant::now()));
            }
            self.line.clear();
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// A time, then a CPU; a summary has no CPU.
fn is_prediction(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next().is_some_and(|time| time.parse::<f64>().is_ok())
        && words.next().is_some_and(|cpu| cpu.starts_with("cpu"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_a_prediction_is_told_from_headings_and_summaries() {
        assert!(is_prediction(
            "    0.149835  cpu0  idle                      5.6ms     (3.9ms)  ab/93  .93  ab/93  1    -5363µs  HIT"
        ));
        assert!(!is_prediction(
            "      time s   cpu  task that ran               for (predicted)"
        ));
        assert!(!is_prediction(
            "    2.016108       37 sw/s  top-1 86.5% (since start 73.0%)"
        ));
    }
}
