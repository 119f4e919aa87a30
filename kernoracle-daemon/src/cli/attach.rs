//! `kernoracle attach`: the eBPF programs without what is behind them, for the bench.

use super::{
    diagnostics,
    live::{CaptureOptions, RingFor},
    signals::Stop,
};
use crate::{
    probe::{self, Discarded, NextCounts, ProgramTime},
    report::Format,
};
use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

/// Attach the eBPF programs and do nothing with what they say, to measure what they cost
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to attach
    what: What,

    /// Of `discard`: let the kernel time the programs, and print what each takes
    #[arg(long)]
    time: bool,

    #[command(flatten)]
    capture: CaptureOptions,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum What {
    /// All programs; of what they record the headers are read and counted, the rest is thrown away
    Discard,
    /// All programs, in a pause as --cpu-budget makes it: switches are counted, and nothing is recorded
    Pause,
    /// One program, which counts switches by the name of the next task
    Count,
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let _diagnostics = diagnostics::start(Format::Text)?;
    let stop = Stop::on_signals()?;
    let begun = Instant::now();
    let duration = args.capture.duration;
    let over = || stop.requested() || duration.is_some_and(|limit| begun.elapsed() >= limit);
    match args.what {
        What::Discard => {
            // Timed as long as this is open.
            let _timing = args.time.then(probe::time_programs).transpose()?;
            let mut capture = args.capture.start(RingFor::Everything)?;
            let mut discarded = Discarded::default();
            while !over() {
                capture.wait()?;
                discarded += capture.discard();
            }
            let Discarded {
                records,
                switches,
                bytes,
            } = discarded;
            println!("{records} records, {switches} of them switches, {bytes} bytes: thrown away");
            if args.time {
                for ProgramTime { name, calls, time } in capture.program_times()? {
                    let ns = time.as_nanos() as f64 / calls as f64;
                    println!("{name} {calls} calls {ns:.1} ns");
                }
            }
        }
        What::Pause => {
            let mut capture = args.capture.start(RingFor::Everything)?;
            capture.pause()?;
            while !over() {
                capture.wait()?;
                capture.discard();
            }
            let passed_by: u64 = capture.activity()?.iter().map(|cpu| cpu.skipped).sum();
            println!("{passed_by} switches passed by");
        }
        What::Count => {
            let counts = NextCounts::start()?;
            while !over() {
                thread::sleep(Duration::from_millis(100));
            }
            for (comm, switches) in counts.read()? {
                println!("{switches:>12} {comm}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
