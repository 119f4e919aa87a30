//! `cargo xtask vm observer`

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    fs,
    path::Path,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{
    Options, environment,
    machine::{Job, Runs, default_results},
    output, put_scripts, sums,
};
use crate::workspace::Workspace;

/// What the daemon costs a load with which it shares the CPU: requests a second of ab with it and without
///
/// nginx and `ab -c 5`, in turn alone, beside `kernoracle run`, beside the same without its CPU budget, and beside `kernoracle
/// record`, in one guest. Each ratio is taken within its round; every second round is in reverse order.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    options: Options,

    #[command(flatten)]
    plan: Plan,
}

#[derive(clap::Args)]
pub struct Plan {
    /// Rounds of the observer effect's measurement
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Length of each of its measurements
    #[arg(long, default_value = "20s", value_parser = humantime::parse_duration)]
    each: Duration,
}

pub fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let observed = measure(
        &args.options,
        &args.plan,
        &workspace,
        &default_results(&workspace.target),
    )?;
    println!("{observed}");
    Ok(ExitCode::SUCCESS)
}

/// Measures in a guest; its files go to `results`, where [`Observed::read`] finds them.
pub fn measure(
    options: &Options,
    plan: &Plan,
    workspace: &Workspace,
    results: &Path,
) -> Result<Observed> {
    let machine = options.hardware.boot(workspace, &options.kernel)?;
    let share = machine.share()?;
    share.program(&options.hardware.binary(workspace), "bin/kernoracle")?;
    put_scripts(&share, workspace)?;
    let ended = machine.run(Job {
        share,
        command: Runs::Command(vec![
            "/host/observer".into(),
            plan.rounds.to_string().into(),
            plan.each.as_secs().max(1).to_string().into(),
        ]),
        environment: environment(),
        stdout: output::inherited(true),
        stderr: output::inherited(true),
        limit: None,
        results: results.to_owned(),
    })?;
    ensure!(
        ended.status == 0,
        "the guest's script ended with status {}",
        ended.status
    );
    let observed = Observed::read(results)?;
    ensure!(
        observed.rounds.len() == plan.rounds as usize,
        "{} rounds of {} came back",
        observed.rounds.len(),
        plan.rounds
    );
    Ok(observed)
}

/// Beside what ab runs: the script's name for it, ours.
const MODES: [(&str, &str); 4] = [
    ("alone", "alone"),
    ("run", "beside `kernoracle run`"),
    ("all", "beside `kernoracle run --cpu-budget off`"),
    ("record", "beside `kernoracle record`"),
];

/// Requests per second of one round, in the order of [`MODES`].
pub type Round = [f64; MODES.len()];

pub struct Observed {
    rounds: Vec<Round>,
    /// Share of the switches that `run` predicted, with its budget and without, in each round.
    covered: [Vec<f64>; 2],
}

impl Observed {
    /// From the files of a measurement.
    pub fn read(results: &Path) -> Result<Self> {
        let read = |name: &str| {
            let file = results.join(name);
            fs::read_to_string(&file).with_context(|| file.display().to_string())
        };
        let rounds = parse(&read("observer.txt")?)?;
        let covered = |mode: &str| -> Result<Vec<f64>> {
            (1..=rounds.len())
                .map(|round| {
                    let name = format!("{mode}-{round}.txt");
                    covered(&read(&name)?).with_context(|| name)
                })
                .collect()
        };
        let covered = [covered("run")?, covered("all")?];
        Ok(Self { rounds, covered })
    }

    /// One that was never measured.
    #[cfg(test)]
    pub fn of(rounds: &[Round], covered: &[f64; 2]) -> Self {
        Self {
            rounds: rounds.to_vec(),
            covered: covered.map(|share| vec![share; rounds.len()]),
        }
    }

    /// What a mode leaves the load of its requests.
    fn left(&self, mode: usize) -> Spread {
        Spread::of(self.rounds.iter().map(|round| round[mode] / round[0]))
    }

    /// The figure that sums it up, in a sentence.
    pub fn headline(&self) -> String {
        let [budget, off] = [0, 1].map(|i| Spread::of(self.covered[i].iter().copied()).median);
        format!(
            "With `kernoracle run` on its only CPU the load keeps {} of its requests per second (median of {} rounds, lowest and highest), and {} \
             of the switches are predicted; without the budget it keeps {} and {} are; with `kernoracle record` it keeps {}.",
            self.left(1),
            self.rounds.len(),
            percent(budget),
            self.left(2),
            percent(off),
            self.left(3)
        )
    }

    /// A row for each mode.
    pub fn table(&self) -> String {
        let mut text = String::from("| requests per second of `ab -c 5` |");
        for round in 1..=self.rounds.len() {
            let _ = write!(text, " round {round} |");
        }
        text.push_str(" median | of those alone | switches predicted |\n|---|");
        text.push_str(&"---|".repeat(self.rounds.len() + 3));
        for (mode, (_, name)) in MODES.iter().enumerate() {
            let _ = write!(text, "\n| {name} |");
            for round in &self.rounds {
                let _ = write!(text, " {:.1} |", round[mode]);
            }
            let median = Spread::of(self.rounds.iter().map(|round| round[mode])).median;
            let left = match mode {
                0 => "-".to_owned(),
                _ => self.left(mode).to_string(),
            };
            let covered = match mode {
                1 | 2 => percent(Spread::of(self.covered[mode - 1].iter().copied()).median),
                _ => "-".to_owned(),
            };
            let _ = write!(text, " {median:.1} | {left} | {covered} |");
        }
        text
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{}", self.table(), self.headline())
    }
}

/// Lines `ROUND MODE REQUESTS`, one for each mode a round.
fn parse(text: &str) -> Result<Vec<Round>> {
    let mut rounds: BTreeMap<usize, [Option<f64>; MODES.len()]> = BTreeMap::new();
    for line in text.lines() {
        let measured = || -> Option<(usize, usize, f64)> {
            let mut words = line.split_whitespace();
            let round = words.next()?.parse().ok()?;
            let name = words.next()?;
            let mode = MODES.iter().position(|(known, _)| *known == name)?;
            let rate: f64 = words.next()?.parse().ok()?;
            (rate > 0.0).then_some((round, mode, rate))
        };
        let (round, mode, rate) =
            measured().with_context(|| format!("no measurement of the guest: `{line}`"))?;
        rounds.entry(round).or_default()[mode] = Some(rate);
    }
    ensure!(
        !rounds.is_empty() && rounds.keys().copied().eq(1..=rounds.len()),
        "the guest's measurements: rounds are missing"
    );
    rounds
        .into_iter()
        .map(|(number, round)| {
            let whole: Option<Vec<f64>> = round.into_iter().collect();
            whole
                .and_then(|rates| Round::try_from(rates).ok())
                .with_context(|| format!("the guest's measurements: round {number} is not whole"))
        })
        .collect()
}

/// Share of the switches that a run predicted, from its table.
fn covered(table: &str) -> Result<f64> {
    let counts = sums::check(table)?;
    ensure!(counts.seen > 0, "no switches");
    Ok(counts.scored as f64 / counts.seen as f64)
}

fn percent(share: f64) -> String {
    let share = share * 100.;
    if share < 1. {
        return format!("{share:.2} %");
    }
    format!("{share:.1} %")
}

struct Spread {
    median: f64,
    low: f64,
    high: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let (below, above) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Self {
            median: f64::midpoint(below, above),
            low: sorted[0],
            high: sorted[sorted.len() - 1],
        }
    }
}

/// Of ratios.
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

    const MEASURED: &str = "1 alone 100\n1 run 80.0\n1 all 50\n1 record 90\n\
        2 record 190\n2 all 100\n2 run 150\n2 alone 200\n3 alone 50\n3 run 35\n3 all 30\n3 record 40\n";

    #[test]
    fn ratios_are_taken_within_a_round() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("observer.txt"), MEASURED).unwrap();
        for round in 1..=3 {
            let table = |scored: u64| {
                format!(
                    "switches seen 1000 = scored {scored} + unscored {} (first 1, budget {})\n\
                     kernel side: arrived 9 + lost 0 = produced 9 (dropped 0); switches 900, of them dropped 0; passed by 100; own left out 3\n",
                    1000 - scored,
                    999 - scored
                )
            };
            let write =
                |name: &str, scored| fs::write(dir.path().join(name), table(scored)).unwrap();
            write(&format!("run-{round}.txt"), 50 * round);
            write(&format!("all-{round}.txt"), 999);
        }
        let observed = Observed::read(dir.path()).unwrap();
        let table = observed.table();
        assert!(
            table.contains("| beside `kernoracle run` | 80.0 | 150.0 | 35.0 | 80.0 | 75.0 % (70.0-80.0) | 10.0 % |"),
            "{table}"
        );
        assert!(table.contains("| 90.0 % (80.0-95.0) | - |"), "{table}");
        let headline = observed.headline();
        assert!(
            headline.contains("keeps 50.0 % (50.0-60.0) and 99.9 % are"),
            "{headline}"
        );
    }

    #[test]
    fn a_measurement_that_failed_is_an_error() {
        parse(MEASURED).unwrap();
        assert!(parse("1 alone 100\n1 run \n1 all 50\n1 record 90\n").is_err());
        assert!(parse("1 alone 100\n1 run 1\n1 all 0.0\n1 record 90\n").is_err());
        assert!(parse("1 alone 100\n1 run 90\n1 all 50\n").is_err());
        assert!(parse(&MEASURED.replace("1 ", "4 ")).is_err());
        assert!(parse("").is_err());
    }
}
