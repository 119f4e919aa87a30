//! The parts of a prediction, each alone: `cargo bench -p kernoracle-daemon --bench inference`, by criterion.
//!
//! - `-- quantiles`: times of single calls, a line of JSON for each part.
//! - `-- instructions`: instructions a call, counted by callgrind, a line of JSON for each part. They hardly differ from run to run, so
//!   that small changes show. callgrind's CPU has AVX2 and no AVX-512.

#[path = "../common/oracle.rs"]
mod oracle;
mod parts;
#[path = "../common/stream.rs"]
mod stream;

use anyhow::{Context as _, Result, bail, ensure};
use criterion::{BenchmarkId, Criterion};
use hdrhistogram::Histogram;
use parts::{GROUPS, Group};
use serde_json::json;
use std::env;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Calls of each part under callgrind, once and then twice as often.
const COUNTED: usize = 200;
/// Samples of each part.
const SAMPLES: usize = 20_000;
/// ns that a sample takes at least, so that reading the clock matters little: shorter parts are called several times.
const SAMPLE_NS: usize = 2_000;
/// Calls before anything is measured.
const WARM_UP: usize = 100;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        Some("quantiles") => quantiles(),
        Some("instructions") => instructions(),
        Some("calls") => {
            calls();
            Ok(())
        }
        _ => {
            let mut criterion = Criterion::default().configure_from_args();
            // Without whole decisions: making their events would count. They are with benches/growth.rs.
            let (_, alone) = GROUPS.split_last().expect("there are parts");
            for &Group { name, sizes, part } in alone {
                for &size in sizes {
                    let mut group = criterion.benchmark_group(name);
                    let id = BenchmarkId::from_parameter(size);
                    let mut call = None;
                    group.bench_function(id, |bencher| {
                        // Made here, so that parts that are not asked for are not made.
                        let call = call.get_or_insert_with(|| part(size));
                        bencher.iter(call);
                    });
                }
            }
            criterion.final_summary();
            Ok(())
        }
    }
}

fn quantiles() -> Result<()> {
    for Group { name, sizes, part } in GROUPS {
        for &size in sizes {
            let mut call = part(size);
            let mut time = |calls: usize| {
                let begun = Instant::now();
                for _ in 0..calls {
                    call();
                }
                begun.elapsed().as_nanos() as u64
            };
            time(WARM_UP);
            let one_ns = (time(WARM_UP) as usize / WARM_UP).max(1);
            let calls = SAMPLE_NS.div_ceil(one_ns);
            let mut times = Histogram::<u64>::new_with_bounds(1, 1_000_000_000, 3)?;
            for _ in 0..SAMPLES {
                // Tenths of ns: the shortest parts take a few tens of ns.
                times.saturating_record(time(calls) * 10 / calls as u64);
            }
            let us = |quantile| times.value_at_quantile(quantile) as f64 / 10_000.0;
            let line = json!({
                "part": name,
                "size": size,
                "calls": calls,
                "p50_us": us(0.5),
                "p99_us": us(0.99),
                "p999_us": us(0.999),
            });
            println!("{line}");
        }
    }
    Ok(())
}

/// Runs this program under callgrind, which writes what it has counted whenever [`mark`] is called, and takes the differences.
fn instructions() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let out = directory.path().join("out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--dump-before=*bench_mark*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(env::current_exe()?)
        .arg("calls")
        .output()
        .context("valgrind: Debian has it in the package of this name")?;
    ensure!(
        output.status.success(),
        "valgrind: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    // The first file ends where the first part's first mark is; three marks a part.
    let mut dump = 1;
    for Group { name, sizes, .. } in GROUPS {
        for &size in sizes {
            let once = collected(&out, dump + 1)?;
            let twice = collected(&out, dump + 2)?;
            dump += 3;
            let Some(more) = twice.checked_sub(once) else {
                bail!("{name} {size}: {once} instructions for once and {twice} for twice");
            };
            let line = json!({
                "part": name,
                "size": size,
                "instructions": more as f64 / COUNTED as f64,
            });
            println!("{line}");
        }
    }
    Ok(())
}

/// Instructions in the dump of this number.
fn collected(out: &Path, number: usize) -> Result<u64> {
    let path = format!("{}.{number}", out.display());
    let text = fs::read_to_string(&path).context(path.clone())?;
    let totals = text
        .lines()
        .find_map(|line| line.strip_prefix("totals:"))
        .with_context(|| format!("{path}: no line of totals"))?;
    let totals = totals.trim();
    totals
        .parse()
        .with_context(|| format!("{path}: totals: {totals:?}"))
}

fn calls() {
    for Group { sizes, part, .. } in GROUPS {
        for &size in sizes {
            let mut call = part(size);
            let mut repeat = |calls: usize| {
                for _ in 0..calls {
                    call();
                }
            };
            repeat(WARM_UP);
            bench_mark();
            repeat(COUNTED);
            bench_mark();
            repeat(2 * COUNTED);
            bench_mark();
        }
    }
}

/// callgrind knows it by its name.
#[inline(never)]
fn bench_mark() {
    black_box(());
}
