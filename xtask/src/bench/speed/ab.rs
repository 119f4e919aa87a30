//! A web server under load on one CPU: what watching costs those who are watched.

use std::{
    fmt, fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{
    brackets::Brackets,
    part::{Bars, Goal, Part, Setup, Spread, TableOf},
    way::{WAYS, Way},
};
use crate::{
    bench::{figures::mean, paired::squared_error},
    command,
};

/// Share of the requests per second that must be left.
const LEFT: f64 = 0.95;
const PORT: u16 = 18081;
/// Of a run. What disturbs a machine comes and goes within seconds, so many short runs tell more than a few long ones.
const SECONDS: u64 = 4;
/// Of a run before it that does not count: what a watcher takes when a load begins, once, is not what it takes of a load.
const WARM_UP: u64 = 1;
/// Rounds for each that the other parts make.
const TIMES: usize = 3;
/// Who watches in a round: most often the way that has a goal, whose error decides whether that is shown.
const ORDER: [Way; 9] = [
    Way::Paused,
    Way::RunSame,
    Way::Programs,
    Way::Record,
    Way::RunSame,
    Way::RunOther,
    Way::PerfSched,
    Way::RunSame,
    Way::Counting,
];
const READY: Duration = Duration::from_secs(10);

/// What one run of `ab` gives.
struct Served {
    /// Requests a second.
    requests: f64,
    p99_ms: f64,
    /// Of `kernoracle run`: scored share, and switches a second.
    covered: Option<(f64, f64)>,
}

pub fn measure(setup: &Setup<'_>) -> Result<Part> {
    let (seconds, rounds) = if setup.quick {
        (3, setup.rounds)
    } else {
        (SECONDS, TIMES * setup.rounds)
    };
    let server = Server::start(setup)?;
    // The first requests open files and fill caches.
    run_ab(setup, WARM_UP)?;
    let served = Brackets::measure(rounds, ORDER.to_vec(), |round, way| {
        let watching = way.start(setup)?;
        run_ab(setup, WARM_UP)?;
        let (requests, p99_ms) = run_ab(setup, seconds)?;
        let said = watching.end()?;
        eprintln!(
            "[{}/{rounds}] ab, {}: {requests:.0} requests/s, p99 {p99_ms:.2} ms",
            round + 1,
            way.name()
        );
        let runs = matches!(way, Way::RunSame | Way::RunOther);
        Ok(Served {
            requests,
            p99_ms,
            covered: runs.then(|| while_loaded(&said)).transpose()?,
        })
    })?;
    drop(server);
    Ok(part(setup, seconds, rounds, &served))
}

/// Coverage and switches a second in the busier half of the summaries: ab did not run in all of them.
fn while_loaded(log: &str) -> Result<(f64, f64)> {
    let mut summaries: Vec<(f64, f64, f64)> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["type"] == "summary")
        .filter_map(|line| {
            Some((
                line["switches_per_s"].as_f64()?,
                line["seen"].as_f64()?,
                line["scored"].as_f64()?,
            ))
        })
        .collect();
    ensure!(
        !summaries.is_empty(),
        "kernoracle run: no summary in its log"
    );
    summaries.sort_by(|a, b| b.0.total_cmp(&a.0));
    summaries.truncate(summaries.len().div_ceil(2));
    let sum = |of: fn(&(f64, f64, f64)) -> f64| summaries.iter().map(of).sum::<f64>();
    let rate = sum(|summary| summary.0) / summaries.len() as f64;
    Ok((sum(|summary| summary.2) / sum(|summary| summary.1), rate))
}

/// Requests a second and the 99th percentile of their time, ms.
fn run_ab(setup: &Setup<'_>, seconds: u64) -> Result<(f64, f64)> {
    let percentiles = setup.work.join("ab.csv");
    let mut ab = Command::new("taskset");
    ab.args(["-c", &setup.cpu.to_string(), "ab", "-q", "-c", "5"])
        .args(["-t", &seconds.to_string(), "-n", "100000000", "-e"])
        .arg(&percentiles)
        .arg(format!("http://127.0.0.1:{PORT}/"));
    let output = command::quiet_output(&mut ab)?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "ab: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let requests = text
        .lines()
        .find_map(|line| line.strip_prefix("Requests per second:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("ab: no requests per second in {text:?}"))?;
    Ok((requests, p99(&percentiles)?))
}

fn p99(file: &Path) -> Result<f64> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    text.lines()
        .find_map(|line| line.strip_prefix("99,"))
        .and_then(|ms| ms.trim().parse().ok())
        .with_context(|| format!("{}: no 99th percentile", file.display()))
}

/// nginx with one worker on the CPU; ended when dropped.
struct Server(Child);

impl Server {
    fn start(setup: &Setup<'_>) -> Result<Self> {
        let dir = setup.work.join("nginx");
        fs::create_dir_all(dir.join("html")).with_context(|| dir.display().to_string())?;
        fs::write(dir.join("html/index.html"), "x".repeat(612))?;
        let place = dir.display();
        let conf = format!(
            "worker_processes 1;\ndaemon off;\nmaster_process off;\npid {place}/pid;\nerror_log {place}/error.log;\n\
             events {{ worker_connections 768; }}\nhttp {{\n access_log off;\n \
             client_body_temp_path {place}/body;\n proxy_temp_path {place}/proxy;\n \
             fastcgi_temp_path {place}/fastcgi;\n uwsgi_temp_path {place}/uwsgi;\n scgi_temp_path {place}/scgi;\n \
             server {{ listen 127.0.0.1:{PORT}; root {place}/html; }}\n}}\n"
        );
        let file = dir.join("nginx.conf");
        fs::write(&file, conf).with_context(|| file.display().to_string())?;
        let mut nginx = command::tied("taskset");
        nginx
            .args(["-c", &setup.cpu.to_string(), "nginx", "-e"])
            .arg(dir.join("error.log"))
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null());
        let mut server = Self(command::spawn(&mut nginx)?);
        let deadline = Instant::now() + READY;
        while std::net::TcpStream::connect(("127.0.0.1", PORT)).is_err() {
            if let Some(status) = server.0.try_wait()? {
                bail!("nginx: ended, {status}: see {place}/error.log");
            }
            ensure!(Instant::now() < deadline, "nginx: does not answer");
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn part(setup: &Setup<'_>, seconds: u64, rounds: usize, served: &Brackets<Served>) -> Part {
    let requests = |way: Way| served.figures(way, |served| served.requests);
    let ratios = |way: Way| -> Vec<f64> {
        let unwatched = served.unwatched(way, |served| served.requests);
        let pairs = requests(way).into_iter().zip(unwatched);
        pairs.map(|(value, base)| value / base).collect()
    };
    let ratio = |way: Way| Spread::of(&ratios(way));
    let mut table = TableOf::new(
        "",
        &[
            "watched by",
            "requests/s",
            "times nothing",
            "p99 ms",
            "switches/s",
            "coverage",
        ],
    );
    let or_dash = |values: &[f64]| {
        if values.is_empty() {
            "-".to_owned()
        } else {
            Spread::of(values).to_string()
        }
    };
    for way in WAYS {
        let runs = served.runs(way);
        let covered = |of: fn((f64, f64)) -> f64| -> Vec<f64> {
            runs.iter().filter_map(|run| run.covered.map(of)).collect()
        };
        let p99_ms = served.figures(way, |served| served.p99_ms);
        table.rows.push(vec![
            way.name().to_owned(),
            Spread::of(&requests(way)).to_string(),
            ratio(way).to_string(),
            Spread::of(&p99_ms).to_string(),
            or_dash(&covered(|(_, switches)| switches)),
            or_dash(&covered(|(coverage, _)| coverage)),
        ]);
    }
    let often = ORDER.iter().filter(|way| **way == Way::RunSame).count();
    let left = Left::of(&ratios(Way::RunSame));
    Part {
        title: "nginx and ab on one CPU".to_owned(),
        about: format!(
            "nginx with one worker and `ab -c 5 -t {seconds}`, both on CPU {}, which they fill, behind one of {WARM_UP} s that does not count; {rounds} rounds, watched and compared as above, \
             `kernoracle run` with its default budget and on the same CPU {often} times a round, for that has a goal. Coverage is the share of switches that were predicted while \
             ab ran; the others passed by, counted.",
            setup.cpu,
        ),
        tables: vec![table],
        goals: vec![Goal {
            what: "ab requests/s with `kernoracle run` on the same single CPU, default budget"
                .to_owned(),
            goal: format!(
                ">= {:.0} % of without, by two standard errors",
                100.0 * LEFT
            ),
            got: left.to_string(),
            met: left.shown(),
        }],
        bars: vec![Bars {
            title: "nginx + ab on one CPU".to_owned(),
            unit: "requests/s, times those with nothing".to_owned(),
            bars: WAYS
                .iter()
                .map(|&way| (way.name().to_owned(), ratio(way).middle))
                .collect(),
            reference: Some(LEFT),
        }],
    }
}

/// The share of the requests that is left. Rounds differ by more than what is looked for, so a median alone may lie on either side by chance.
struct Left {
    mean: f64,
    /// Of the mean; infinite where one round tells nothing of it.
    error: f64,
}

impl Left {
    fn of(ratios: &[f64]) -> Self {
        Self {
            mean: mean(ratios.iter().copied()).unwrap_or(0.0),
            error: squared_error(ratios).map_or(f64::INFINITY, f64::sqrt),
        }
    }

    fn shown(&self) -> bool {
        self.mean - 2.0 * self.error >= LEFT
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mean, error } = self;
        write!(f, "{:.1} % (mean, +- {:.1})", 100.0 * mean, 100.0 * error)?;
        let refuted = mean + 2.0 * error < LEFT;
        if self.shown() || refuted {
            return Ok(());
        }
        write!(f, ": neither shown nor refuted")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::speed::brackets::watched;

    #[test]
    fn every_way_watches() {
        assert!(watched().iter().all(|way| ORDER.contains(way)));
    }

    #[test]
    fn what_may_be_chance_is_not_shown() {
        let said = |ratios: &[f64]| {
            let left = Left::of(ratios);
            (left.shown(), left.to_string())
        };
        assert_eq!(
            said(&[0.97, 0.98, 0.99]),
            (true, "98.0 % (mean, +- 0.6)".to_owned())
        );
        let (shown, text) = said(&[0.8, 1.3, 1.05]);
        assert!(
            !shown && text.ends_with("neither shown nor refuted"),
            "{text}"
        );
        let (shown, text) = said(&[0.9, 0.91, 0.9]);
        assert!(!shown && !text.contains("nor"), "{text}");
        assert!(!said(&[1.0]).0, "one round tells nothing");
    }

    #[test]
    fn coverage_is_of_the_busy_summaries() {
        let line = |rate: u32, seen: u32, scored: u32| {
            format!(
                r#"{{"type":"summary","switches_per_s":{rate},"seen":{seen},"scored":{scored}}}"#
            )
        };
        let log = [
            r#"{"type":"start"}"#.to_owned(),
            line(10, 10, 10),
            line(1000, 1000, 300),
            line(1000, 1000, 100),
            line(20, 20, 20),
        ]
        .join("\n");
        assert_eq!(while_loaded(&log).unwrap(), (0.2, 1000.0));
        while_loaded("no JSON").unwrap_err();
    }
}
