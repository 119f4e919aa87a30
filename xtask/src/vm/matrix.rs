//! `cargo xtask vm matrix`

use std::{fs, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, ensure};
use comfy_table::{Table, presets};
use serde_json::Value;

use super::{
    Hardware, cache, environment, kernel,
    machine::{Interrupted, Job, Runs},
    output, put_scripts, tests,
};
use crate::{
    setup::{self, Purpose},
    workspace::Workspace,
};

/// The fair scheduler before and after 6.6: those that have to be seen.
const KERNELS: [&str; 2] = ["6.1", "6.12"];

/// What a guest may take for all of it: a hang must end.
const LIMIT: Duration = Duration::from_secs(45 * 60);

/// Run the live tests, and score two loads, on one kernel after the other; print a table
///
/// Everything runs on the guest's one CPU, with the binaries of the tests (dev profile). Exit status 1 if a test failed, a
/// count does not add up, or the model is behind a baseline.
#[derive(clap::Args)]
pub struct Args {
    /// A kernel, as `cargo xtask vm --kernel` takes it; may be given several times [default: each series that apt offers, and its
    /// real-time flavour]
    #[arg(long, value_name = "VERSION")]
    kernel: Vec<String>,

    /// Seconds of each scored run
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(5..))]
    seconds: u32,

    /// A program of the live tests, such as live_cli; may be given several times [default: all]
    #[arg(long, value_name = "NAME")]
    tests: Vec<String>,

    #[command(flatten)]
    hardware: Hardware,
}

/// Those that every `cargo xtask test` runs in the guest: what differs from kernel to kernel, in a few minutes. The others
/// take longer where the CPU is emulated, and try more of the daemon than of the kernel.
const QUICK: [&str; 3] = ["live_cli", "live_errors", "live_probe"];

impl Args {
    /// The kernel that differs most from that of a machine of today.
    pub fn for_tests() -> Self {
        Self {
            kernel: vec!["6.1".to_owned()],
            seconds: 20,
            tests: QUICK.map(str::to_owned).to_vec(),
            hardware: Hardware::default_debug(),
        }
    }
}

pub fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    setup::ensure(&workspace, Purpose::Build)?;
    setup::ensure_vm()?;
    let kernels = if args.kernel.is_empty() {
        &offered()?
    } else {
        &args.kernel
    };
    let mut all = Vec::new();
    let mut failed = Vec::new();
    for kernel in kernels {
        match on(kernel, args, &workspace) {
            Ok(on) => {
                failed.extend(failures(&on));
                all.push(on);
            }
            Err(error) if error.is::<Interrupted>() => return Err(error),
            // What the other kernels show is worth having.
            Err(error) => failed.push(format!("{kernel}: {error:#}")),
        }
    }
    println!("{}", table(&all));
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    for failure in failed {
        eprintln!("vm: FAILED: {failure}");
    }
    Ok(ExitCode::FAILURE)
}

fn offered() -> Result<Vec<String>> {
    let series = kernel::series(&kernel::offered()?);
    for wanted in KERNELS {
        if !series.iter().any(|name| name == wanted) {
            eprintln!(
                "vm: apt offers no {wanted} here: it is left out; docs/vm.md says how to add it"
            );
        }
    }
    Ok(series)
}

/// What came back from one kernel.
struct On {
    release: String,
    /// Test program, exit status.
    tests: Vec<(String, i32)>,
    runs: Vec<Run>,
}

struct Run {
    load: &'static str,
    start: Value,
    end: Value,
}

const LOADS: [&str; 2] = ["nginx-ab", "hackbench-pipe"];

fn on(kernel: &str, args: &Args, workspace: &Workspace) -> Result<On> {
    let machine = args.hardware.machine(workspace, kernel)?;
    let share = machine.share()?;
    let names = tests::put(&share, workspace, &args.tests)?;
    put_scripts(&share, workspace)?;
    let release = machine.kernel.release.clone();
    let results = workspace.target.join("vm/matrix").join(&release);
    cache::remove(&results)?;
    let mut command = vec!["/host/matrix".into(), args.seconds.to_string().into()];
    command.extend(names.iter().map(Into::into));
    let ended = machine.run(Job {
        share,
        command: Runs::Command(command),
        environment: environment(),
        stdout: output::inherited(true),
        stderr: output::inherited(true),
        limit: Some(LIMIT),
        results: results.clone(),
    })?;
    ensure!(
        ended.status == 0,
        "the guest's script ended with status {}",
        ended.status
    );
    let tests = statuses(&fs::read_to_string(results.join("tests.txt"))?)?;
    ensure!(
        tests.len() == names.len(),
        "{} test programs of {} ran",
        tests.len(),
        names.len()
    );
    let runs = LOADS
        .into_iter()
        .map(|load| run_of(load, &results))
        .collect::<Result<_>>()?;
    Ok(On {
        release,
        tests,
        runs,
    })
}

fn statuses(text: &str) -> Result<Vec<(String, i32)>> {
    text.lines()
        .map(|line| {
            let (name, status) = line.split_once(' ').context("tests.txt")?;
            Ok((name.to_owned(), status.parse()?))
        })
        .collect()
}

fn run_of(load: &'static str, results: &Path) -> Result<Run> {
    let file = results.join(format!("{load}.jsonl"));
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let line = |line: Option<&str>| -> Result<Value> {
        let line = line.with_context(|| format!("{}: empty", file.display()))?;
        serde_json::from_str(line).with_context(|| file.display().to_string())
    };
    let (start, end) = (line(text.lines().next())?, line(text.lines().next_back())?);
    ensure!(end["type"] == "final", "{}: not whole", file.display());
    Ok(Run { load, start, end })
}

impl Run {
    fn count(&self, pointer: &str) -> Option<u64> {
        self.end.pointer(pointer)?.as_u64()
    }

    fn top1(&self, who: &str) -> f64 {
        self.end
            .pointer(&format!("/scores/{who}/all/top1"))
            .and_then(Value::as_f64)
            .unwrap_or(f64::NAN)
    }

    /// A count that is not there is wrong too.
    fn adds_up(&self) -> Option<bool> {
        let scores = &self.end["scores"];
        let mut unscored = 0;
        for count in scores["unscored"].as_object()?.values() {
            unscored += count.as_u64()?;
        }
        let (seen, scored) = (scores["seen"].as_u64()?, scores["scored"].as_u64()?);
        let kernel = |name: &str| self.count(&format!("/kernel/{name}"));
        Some(
            seen == scored + unscored
                && kernel("arrived_events")? + kernel("lost_events")? == kernel("produced")?
                && seen + kernel("dropped_switches")? == kernel("switches")? + kernel("passed_by")?
                && scored > 0,
        )
    }

    /// The baselines know nothing that the model does not.
    fn is_ahead(&self) -> bool {
        ["order1", "backoff8", "scheduler"]
            .iter()
            .all(|baseline| self.top1("at_switch") > self.top1(baseline))
    }
}

fn failures(on: &On) -> Vec<String> {
    let release = &on.release;
    let tests = on
        .tests
        .iter()
        .filter(|(_, status)| *status != 0)
        .map(|(name, status)| format!("{release}: {name}: exit status {status}"));
    let sums = on
        .runs
        .iter()
        .filter(|run| run.adds_up() != Some(true))
        .map(|run| format!("{release}: {}: the counts do not add up", run.load));
    let behind = on
        .runs
        .iter()
        .filter(|run| !run.is_ahead())
        .map(|run| format!("{release}: {}: the model is behind a baseline", run.load));
    tests.chain(sums).chain(behind).collect()
}

fn table(all: &[On]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header([
        "kernel",
        "scheduler",
        "hook",
        "absent fields",
        "tests",
        "load",
        "switches",
        "scored",
        "events",
        "lost",
        "top-1",
        "refined",
        "order-1",
        "back-off-8",
        "scheduler's rules",
    ]);
    for on in all {
        let passed = on.tests.iter().filter(|(_, status)| *status == 0).count();
        for run in &on.runs {
            let percent = |who| format!("{:.1} %", run.top1(who) * 100.);
            let count = |pointer| run.count(pointer).map_or("-".to_owned(), |n| n.to_string());
            table.add_row([
                on.release.clone(),
                word(&run.start["scheduler"]),
                hook(&run.start["findings"]),
                absent(&run.start["absent_fields"]),
                format!("{passed} of {}", on.tests.len()),
                run.load.to_owned(),
                count("/scores/seen"),
                count("/scores/scored"),
                count("/kernel/produced"),
                count("/kernel/lost_events"),
                percent("at_switch"),
                percent("refined"),
                percent("order1"),
                percent("backoff8"),
                percent("scheduler"),
            ]);
        }
    }
    table
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

/// `tp_btf` of `hooks: tp_btf sched_switch …`.
fn hook(findings: &Value) -> String {
    findings
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .find_map(|line| line.strip_prefix("hooks: "))
        .and_then(|line| line.split_whitespace().next())
        .unwrap_or("-")
        .to_owned()
}

fn absent(fields: &Value) -> String {
    let names: Vec<&str> = fields
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|name| name.rsplit('.').next().unwrap_or(name))
        .collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(" ")
}
