//! Values with units.

use kernoracle_common::ring::CHUNK_BYTES;
use std::time::Duration;

/// `10ms`, `30s`, `1h 30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; give a time with its unit, such as 10ms or 30s"))?;
    if duration.is_zero() {
        Err("must be longer than nothing".to_owned())
    } else {
        Ok(duration)
    }
}

/// `16M`: bytes, in powers of 1024.
pub fn ring_size(text: &str) -> Result<u32, String> {
    let bytes = parse_size::Config::new()
        .with_binary()
        .parse_size(text)
        .map_err(|error| format!("{error}; give a size such as 16M"))?;
    let least = CHUNK_BYTES as u64;
    match u32::try_from(bytes) {
        Ok(bytes) if bytes.is_power_of_two() && u64::from(bytes) >= least => Ok(bytes),
        Ok(_) => Err(format!(
            "must be a power of two of at least {least} bytes, such as 16M"
        )),
        Err(_) => Err("must be at most 2G".to_owned()),
    }
}

/// `5%` or `0.05`: a share above 0, up to 1.
pub fn share(text: &str) -> Result<f64, String> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse::<f64>(),
    }
    .map_err(|_| "give a share such as 5%".to_owned())?;
    if share > 0.0 && share <= 1.0 {
        Ok(share)
    } else {
        Err("must be above 0% and at most 100%".to_owned())
    }
}

/// A share that limits, or `off`: as 100%, no limit.
pub fn limit(text: &str) -> Result<Limit, String> {
    if text == "off" {
        return Ok(Limit(None));
    }
    let share = share(text).map_err(|error| format!("{error}, or off"))?;
    Ok(Limit((share < 1.0).then_some(share)))
}

/// `--cpu-budget`: a share of one CPU below 1, or none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit(pub Option<f64>);

/// A share that may be nothing, and not all.
pub fn share_from_zero(text: &str) -> Result<f64, String> {
    let share = if matches!(text, "0" | "0%") {
        0.0
    } else {
        share(text)?
    };
    if share < 1.0 {
        Ok(share)
    } else {
        Err("must be below 100%".to_owned())
    }
}

/// Lines a second.
pub fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate >= 0.0 => Ok(rate),
        _ => Err("give a number of lines a second, 0 for none".to_owned()),
    }
}

/// `--cpu 0,2-3`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuList(pub Vec<u32>);

/// As taskset writes it: `0,2-3`.
pub fn cpus(text: &str) -> Result<CpuList, String> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| {
            let cpu = text.trim().parse::<u32>().map_err(|_| {
                format!("'{part}' is not a CPU or a range of them, such as 0 or 2-3")
            })?;
            if (cpu as usize) < kernoracle_common::MAX_CPUS {
                Ok(cpu)
            } else {
                Err(format!(
                    "CPU {cpu}: at most {} can be named",
                    kernoracle_common::MAX_CPUS - 1
                ))
            }
        };
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!("'{part}' runs backwards"));
        }
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    cpus.dedup();
    Ok(CpuList(cpus))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists() {
        assert_eq!(cpus("0,2-3").unwrap().0, [0, 2, 3]);
        assert_eq!(cpus("3,1-3,1").unwrap().0, [1, 2, 3]);
        for bad in ["", "a", "3-1", "1-", "-1", "0,,1", "4096", "0-99999999"] {
            cpus(bad).unwrap_err();
        }
    }

    #[test]
    fn sizes_are_powers_of_two() {
        assert_eq!(ring_size("16M"), Ok(16 << 20));
        assert_eq!(ring_size("65536"), Ok(65536));
        assert_eq!(ring_size("16MiB"), Ok(16 << 20));
        for bad in ["", "12M", "1", "0", "8G", "M"] {
            ring_size(bad).unwrap_err();
        }
    }

    #[test]
    fn shares() {
        assert_eq!(share("5%"), Ok(0.05));
        assert_eq!(share("0.25"), Ok(0.25));
        assert_eq!(share_from_zero("0%"), Ok(0.0));
        for bad in ["0%", "101%", "-1%", "x", "NaN"] {
            share(bad).unwrap_err();
        }
        share_from_zero("100%").unwrap_err();
    }

    #[test]
    fn limits() {
        assert_eq!(limit("10%"), Ok(Limit(Some(0.1))));
        for none in ["off", "100%", "1"] {
            assert_eq!(limit(none), Ok(Limit(None)));
        }
        for bad in ["0%", "0", "101%", "on", ""] {
            let error = limit(bad).unwrap_err();
            assert!(error.contains("off"), "{error}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("10ms"), Ok(Duration::from_millis(10)));
        for bad in ["", "10", "0s", "-1s"] {
            duration(bad).unwrap_err();
        }
    }
}
