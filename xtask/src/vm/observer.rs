//! `cargo xtask vm observer`

use std::{
    fmt::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{
    Options, environment,
    machine::{Job, Runs, default_results},
    output, put_scripts,
    tee::Kept,
};
use crate::workspace::Workspace;

/// What the daemon costs a load with which it shares the CPU: requests a second of ab with it and without
///
/// nginx and `ab -c 5`, in turn without the daemon, with `kernoracle run`, and with `kernoracle record`, in one guest. Each
/// ratio is taken within its round.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    options: Options,

    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Length of each measurement
    #[arg(long, default_value = "20s", value_parser = humantime::parse_duration)]
    duration: Duration,
}

pub fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let rounds = measure(args, &workspace)?;
    print!("{}", report(&rounds));
    Ok(ExitCode::SUCCESS)
}

/// Requests per second of one round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    pub without: f64,
    pub with: f64,
    pub record: f64,
}

fn measure(args: &Args, workspace: &Workspace) -> Result<Vec<Round>> {
    let machine = args
        .options
        .hardware
        .boot(workspace, &args.options.kernel)?;
    let share = machine.share()?;
    share.program(&args.options.hardware.binary(workspace), "bin/kernoracle")?;
    put_scripts(&share, workspace)?;
    let kept = Kept::default();
    let ended = machine.run(Job {
        share,
        command: Runs::Command(vec![
            "/host/observer".into(),
            args.rounds.to_string().into(),
            args.duration.as_secs().max(1).to_string().into(),
        ]),
        environment: environment(),
        stdout: kept.tee(output::inherited(true)),
        stderr: output::inherited(true),
        limit: None,
        results: default_results(&workspace.target),
    })?;
    ensure!(
        ended.status == 0,
        "the guest's script ended with status {}",
        ended.status
    );
    let rounds = parse(&kept.text())?;
    ensure!(
        rounds.len() == args.rounds as usize,
        "{} rounds of {} came back",
        rounds.len(),
        args.rounds
    );
    Ok(rounds)
}

/// Lines `ROUND MODE REQUESTS`, three a round.
fn parse(text: &str) -> Result<Vec<Round>> {
    let rates: Vec<(&str, f64)> = text
        .lines()
        .map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let mode = words.next().context("mode")?;
            let rate = words.next().context("requests per second")?.parse()?;
            Ok((mode, rate))
        })
        .collect::<Result<_>>()
        .context("the guest's measurements")?;
    rates
        .chunks(3)
        .map(|round| match round {
            [("without", without), ("with", with), ("record", record)] => Ok(Round {
                without: *without,
                with: *with,
                record: *record,
            }),
            other => anyhow::bail!("the guest's measurements: {other:?}"),
        })
        .collect()
}

fn report(rounds: &[Round]) -> String {
    let mut text = String::from("round  alone  with run  with record   [requests per second]\n");
    for (i, round) in rounds.iter().enumerate() {
        let _ = writeln!(
            text,
            "{:>5}  {:>5.1}  {:>8.1}  {:>11.1}",
            i + 1,
            round.without,
            round.with,
            round.record
        );
    }
    let run = Spread::of(rounds.iter().map(|round| round.with / round.without));
    let record = Spread::of(rounds.iter().map(|round| round.record / round.without));
    let _ = writeln!(
        text,
        "kernoracle run leaves the load {run} of its requests, kernoracle record {record}"
    );
    text
}

/// Of ratios.
struct Spread {
    median: f64,
    low: f64,
    high: f64,
}

impl Spread {
    fn of(ratios: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = ratios.collect();
        sorted.sort_by(f64::total_cmp);
        Self {
            median: sorted[sorted.len() / 2],
            low: sorted[0],
            high: sorted[sorted.len() - 1],
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, low, high } = self;
        write!(
            f,
            "{:.1} % ({:.1}-{:.1})",
            median * 100.,
            low * 100.,
            high * 100.
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_a_round() {
        let rounds = parse(
            "1 without 100\n1 with 80.0\n1 record 90\n2 without 200\n2 with 150\n2 record 190\n\
             3 without 50\n3 with 35\n3 record 40\n",
        )
        .unwrap();
        assert_eq!(rounds.len(), 3);
        let text = report(&rounds);
        assert!(
            text.contains("75.0 % (70.0-80.0) of its requests"),
            "{text}"
        );
        assert!(
            text.contains("kernoracle record 90.0 % (80.0-95.0)"),
            "{text}"
        );
    }

    #[test]
    fn a_measurement_that_failed_is_an_error() {
        assert!(parse("1 without 100\n1 with \n1 record 90\n").is_err());
        assert!(parse("1 without 100\n").is_err());
    }
}
