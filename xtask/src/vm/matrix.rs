//! `cargo xtask vm matrix`

use std::{fs, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, ensure};
use comfy_table::{Table, presets};
use serde_json::Value;

use super::{
    Hardware, cache, environment, kernel,
    machine::{Interrupted, Job, Runs},
    output, put_scripts,
};
use crate::{
    setup::{self, Purpose},
    workspace::Workspace,
};

/// The fair scheduler before and after 6.6: those that have to be seen.
const KERNELS: [&str; 2] = ["6.1", "6.12"];

/// Share of the switches seen that must be scored where every one is to be predicted. The first has no prediction.
const SCORED: f64 = 0.95;

/// What a guest may take for all of it: a hang must end.
const LIMIT: Duration = Duration::from_secs(45 * 60);

/// Run the live tests, and score two loads, on one kernel after the other; print a table
///
/// Everything runs on the guest's CPU, of which there is one but for `--cpus`, with the binaries of the tests (dev profile). Exit status 1 if a test failed, a
/// count does not add up, events were lost, switches were not scored, or the model is behind a baseline.
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
const QUICK: [&str; 4] = ["live_cli", "live_errors", "live_probe", "live_ring"];

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
    let names = super::tests::put(&share, workspace, &args.tests)?;
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

    /// What did not reach the model. Without a budget nothing passes by, so nothing may: the reader stood still, or was too slow.
    fn missed(&self) -> Option<String> {
        let (Some(lost), Some(seen), Some(scored)) = (
            self.count("/kernel/lost_events"),
            self.count("/scores/seen"),
            self.count("/scores/scored"),
        ) else {
            return Some("no counts of what was lost and scored".to_owned());
        };
        (lost > 0 || (scored as f64) < SCORED * seen as f64)
            .then(|| format!("{lost} events lost, {scored} switches of {seen} scored"))
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
    let missed = on.runs.iter().filter_map(|run| {
        let missed = run.missed()?;
        Some(format!("{release}: {}: {missed}", run.load))
    });
    let behind = on
        .runs
        .iter()
        .filter(|run| !run.is_ahead())
        .map(|run| format!("{release}: {}: the model is behind a baseline", run.load));
    tests.chain(sums).chain(missed).chain(behind).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A run in which all is well, but for what `change` does to its end.
    fn on(change: impl FnOnce(&mut Value)) -> On {
        let mut end = json!({
            "type": "final",
            "scores": {
                "seen": 10_000, "scored": 9_999, "unscored": { "first": 1, "gap": 0 },
                "at_switch": { "all": { "top1": 0.9 } },
                "order1": { "all": { "top1": 0.1 } },
                "backoff8": { "all": { "top1": 0.2 } },
                "scheduler": { "all": { "top1": 0.8 } },
            },
            "kernel": {
                "arrived_events": 30_000, "lost_events": 0, "produced": 30_000,
                "switches": 10_000, "dropped_switches": 0, "passed_by": 0,
            },
        });
        change(&mut end);
        On {
            release: "6.1".to_owned(),
            tests: vec![("live_cli".to_owned(), 0)],
            runs: vec![Run {
                load: "hackbench-pipe",
                start: Value::Null,
                end,
            }],
        }
    }

    #[test]
    fn a_run_that_missed_nothing_passes() {
        assert_eq!(failures(&on(|_| ())), [""; 0]);
    }

    #[test]
    fn lost_events_fail_though_the_counts_add_up() {
        let on = on(|end| {
            end["kernel"]["arrived_events"] = json!(29_990);
            end["kernel"]["lost_events"] = json!(10);
        });
        assert_eq!(
            failures(&on),
            ["6.1: hackbench-pipe: 10 events lost, 9999 switches of 10000 scored"]
        );
    }

    #[test]
    fn too_few_scored_switches_fail_though_nothing_is_lost() {
        let scored = |scored: u64| {
            on(|end| {
                end["scores"]["scored"] = json!(scored);
                end["scores"]["unscored"]["overload"] = json!(9_999 - scored);
            })
        };
        assert_eq!(failures(&scored(9_500)), [""; 0]);
        assert_eq!(
            failures(&scored(9_499)),
            ["6.1: hackbench-pipe: 0 events lost, 9499 switches of 10000 scored"]
        );
    }

    #[test]
    fn counts_that_are_not_there_fail() {
        let on = on(|end| end["kernel"] = Value::Null);
        assert_eq!(
            failures(&on),
            [
                "6.1: hackbench-pipe: the counts do not add up",
                "6.1: hackbench-pipe: no counts of what was lost and scored"
            ]
        );
    }

    #[test]
    fn a_failed_test_and_a_model_behind_a_baseline_fail() {
        let mut on = on(|end| end["scores"]["scheduler"]["all"]["top1"] = json!(0.95));
        on.tests[0].1 = 101;
        assert_eq!(
            failures(&on),
            [
                "6.1: live_cli: exit status 101",
                "6.1: hackbench-pipe: the model is behind a baseline"
            ]
        );
    }
}
