//! Whether the counts in a run's final table add up.

use anyhow::{Context as _, Result, ensure};

/// Of switches.
#[derive(Debug, PartialEq)]
pub struct Counts {
    pub seen: u64,
    pub scored: u64,
}

/// Two lines of the table, e. g.
///
/// ```text
/// switches seen 273 = scored 272 + unscored 1 (first 1, gap 0, broken 0, overload 0, budget 0)
/// kernel side: arrived 772 + lost 0 = produced 772 (dropped 0); switches 273, of them dropped 0; passed by 0; …
/// ```
///
/// Errors: a line is not there, or a sum is wrong.
pub fn check(output: &str) -> Result<Counts> {
    let scores = numbers(output, "switches seen ")?;
    let [seen, scored, unscored, reasons @ ..] = &scores[..] else {
        anyhow::bail!("the line `switches seen` has too few numbers");
    };
    ensure!(
        *seen == scored + unscored && *unscored == reasons.iter().sum::<u64>(),
        "the counts do not add up: seen {seen}, scored {scored}, unscored {unscored} ({reasons:?})"
    );
    let kernel = numbers(output, "kernel side: arrived ")?;
    let [
        arrived,
        lost,
        produced,
        dropped,
        switches,
        switches_dropped,
        passed_by,
        ..,
    ] = &kernel[..]
    else {
        anyhow::bail!("the line `kernel side` has too few numbers");
    };
    ensure!(
        arrived + lost == *produced
            && lost == dropped
            && seen + switches_dropped == switches + passed_by,
        "the counts do not add up: arrived {arrived} + lost {lost} = produced {produced}, dropped {dropped}; \
         seen {seen} + dropped {switches_dropped} = switches {switches} + passed by {passed_by}"
    );
    Ok(Counts {
        seen: *seen,
        scored: *scored,
    })
}

/// The whole numbers in the last line that begins so.
fn numbers(output: &str, begins: &str) -> Result<Vec<u64>> {
    let line = output
        .lines()
        .rfind(|line| line.starts_with(begins))
        .with_context(|| format!("no line `{begins}…`: the run did not end in order"))?;
    line.split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.parse().with_context(|| line.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(seen: u64, arrived: u64) -> String {
        format!(
            "lines\nswitches seen {seen} = scored 270 + unscored 3 (first 1, gap 0, broken 0, overload 0, budget 2)\nlost events 0 in 0 places\n\
             kernel side: arrived {arrived} + lost 4 = produced 776 (dropped 4); switches 272, of them dropped 1; passed by 2; own left out 9\n"
        )
    }

    #[test]
    fn a_table_that_adds_up_passes_and_others_fail() {
        let counts = check(&table(273, 772)).unwrap();
        assert_eq!((counts.seen, counts.scored), (273, 270));
        assert!(check(&table(272, 772)).is_err());
        assert!(check(&table(273, 771)).is_err());
        assert!(check("switches seen 1 = scored 1 + unscored 0 (first 0)\n").is_err());
    }
}
