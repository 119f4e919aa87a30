//! How far the model is ahead of the best baseline, in switches: where both miss only what nobody can foretell, shares say nothing.

use super::{
    figures::{LoadResult, Results, TOP1, at, count},
    markdown::{headings, markdown, or_dash},
};

/// Causes of misses that come after the prediction.
const LATER: [&str; 2] = ["/all/misses/arrival", "/all/misses/woken_by_current"];

/// Which baseline is best, by how many switches the model is ahead of it in each recording, and how much of what the model misses came only
/// after the prediction. `None` if no evaluation has a baseline.
pub fn table(online: &Results) -> Option<String> {
    let rows: Vec<Vec<String>> = online.0.iter().filter_map(row).collect();
    let names = headings(&[
        "load",
        "best baseline",
        "ahead of it by, switches",
        "of scored switches",
        "woken after the prediction, % of the misses",
    ]);
    (!rows.is_empty()).then(|| markdown(&names, rows))
}

fn row(result: &LoadResult) -> Option<Vec<String>> {
    let (best, _) = result.best_baseline()?;
    let mut ahead = Vec::new();
    let (mut missed, mut later) = (0.0, 0.0);
    for round in &result.rounds {
        let scored = count(round, "/all/scored") as f64;
        let ours = at(round, TOP1)?;
        ahead.push(format!(
            "{:+.0}",
            (scored * (ours - at(round, best.top1)?)).round() + 0.0
        ));
        missed += scored * (1.0 - ours);
        later += LATER
            .iter()
            .map(|cause| count(round, cause) as f64)
            .sum::<f64>();
    }
    let share = (missed > 0.5).then(|| later / missed);
    Some(vec![
        result.load.name.to_owned(),
        best.name.to_owned(),
        ahead.join(", "),
        result.sum("/all/scored").to_string(),
        or_dash(share, |share| format!("{:.0}", 100.0 * share)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::tests::results;

    #[test]
    fn the_best_baseline_is_compared_switch_by_switch() {
        let online = results(&[("cpu-8", &[0.9, 0.799, 0.85])], [0.1, 0.2, 0.8, 0.7]);
        let table = table(&online).expect("baselines");
        let row = table.lines().nth(2).expect("a row");
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        // Of 999 scored switches a round; of 452 misses 60 a round are arrivals.
        assert_eq!(
            cells[1..6],
            ["cpu-8", "PPM-8", "+100, -1, +50", "2997", "40"],
            "{table}"
        );
    }
}
