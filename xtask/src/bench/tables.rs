//! The tables of the page on accuracy.

use super::{
    figures::{
        AGAIN, BITS, ECE, END, FIRST, LoadResult, REFINED, REFINED_ECE, RUN_TIME, RUNNING_MEDIAN,
        Results, TOP1, TOP1_BUSY, TOP5, mean,
    },
    goals::{Goal, Measured, behind},
    markdown::{Unit, headings, markdown, or_dash, prose},
};

struct Column {
    heading: String,
    path: &'static str,
    unit: Unit,
}

/// One row a load, then the macro mean. Columns that no load has are left out.
fn per_load(results: &Results, columns: Vec<Column>) -> String {
    let columns: Vec<Column> = columns
        .into_iter()
        .filter(|column| results.has(column.path))
        .collect();
    let mut names = vec!["load".to_owned()];
    names.extend(columns.iter().map(|column| column.heading.clone()));
    let mut rows: Vec<Vec<String>> = Vec::new();
    for result in &results.0 {
        let mut row = vec![result.load.name.to_owned()];
        row.extend(columns.iter().map(|column| {
            column
                .unit
                .spread(result.spread(column.path), result.rounds.len())
        }));
        rows.push(row);
    }
    let mut row = vec!["**macro mean**".to_owned()];
    row.extend(columns.iter().map(|column| {
        or_dash(results.macro_mean(column.path), |mean| {
            format!("**{}**", column.unit.one(mean))
        })
    }));
    rows.push(row);
    markdown(&names, rows)
}

fn column(heading: impl Into<String>, path: &'static str, unit: Unit) -> Column {
    Column {
        heading: heading.into(),
        path,
        unit,
    }
}

/// The main table: which task is next, against every baseline.
pub fn next_task(online: &Results) -> String {
    let mut columns = vec![
        column("at-switch top-1 %", TOP1, Unit::Share),
        column("refined top-1 %", REFINED, Unit::Share),
        column("top-5 %", TOP5, Unit::Share),
        column("without idle top-1 %", TOP1_BUSY, Unit::Share),
    ];
    for baseline in online.baselines(|baseline| baseline.top1) {
        let heading = format!("{} top-1 %", baseline.name);
        columns.push(column(heading, baseline.top1, Unit::Share));
    }
    per_load(online, columns)
}

pub fn bits_per_switch(online: &Results) -> String {
    let mut columns = vec![column("at-switch", BITS, Unit::Plain)];
    for baseline in online.baselines(|baseline| baseline.bits) {
        columns.push(column(baseline.name, baseline.bits, Unit::Plain));
    }
    per_load(online, columns)
}

pub fn run_time(online: &Results) -> String {
    let columns = vec![
        column("median relative error %", RUN_TIME, Unit::Share),
        column("of the running median %", RUNNING_MEDIAN, Unit::Share),
    ];
    per_load(online, columns)
}

/// `None` if it was not measured.
pub fn calibration(online: &Results) -> Option<String> {
    let columns = vec![
        column("ECE at-switch", ECE, Unit::Plain),
        column("ECE refined", REFINED_ECE, Unit::Plain),
    ];
    online.has(ECE).then(|| per_load(online, columns))
}

pub fn goals(goals: &[Goal]) -> String {
    let rows = goals
        .iter()
        .map(|goal| {
            let holds = match goal.holds {
                Some(true) => "yes",
                Some(false) => "**no**",
                None => "not measured",
            };
            vec![
                goal.figure.clone(),
                goal.wanted.clone(),
                goal.reached.clone(),
                holds.to_owned(),
            ]
        })
        .collect();
    let names = headings(&["figure", "goal", "reached", "holds?"]);
    prose(&names, rows)
}

/// Frozen against frozen after training on everything, and against learning online.
pub fn zero_shot(measured: Measured<'_>, frozen: &Results) -> String {
    let mut names = headings(&[
        "load",
        "trained on it",
        "online top-1 %",
        "frozen top-1 %",
        "frozen bits",
    ]);
    let on_all = measured.frozen_on_all;
    if on_all.is_some() {
        names.extend(headings(&["frozen, trained on all %", "behind, points"]));
    }
    let share = |value| or_dash(value, |value| Unit::Share.one(value));
    let plain = |value| or_dash(value, |value| Unit::Plain.one(value));
    let gaps = on_all.map(|on_all| behind(frozen, on_all));
    let mut rows = Vec::new();
    for result in &frozen.0 {
        let of = |results: &Results| results.get(result.load)?.median(TOP1);
        let trained = if result.load.trained { "yes" } else { "no" };
        let mut row = vec![
            result.load.name.to_owned(),
            trained.to_owned(),
            share(of(measured.online)),
            share(result.median(TOP1)),
            plain(result.median(BITS)),
        ];
        if let (Some(on_all), Some(gaps)) = (on_all, &gaps) {
            row.push(share(of(on_all)));
            let gap = gaps.iter().find(|(load, _)| *load == result.load);
            row.push(share(gap.map(|(_, gap)| *gap)));
        }
        rows.push(row);
    }
    for (name, trained) in [
        ("**mean, trained on**", true),
        ("**mean, left out**", false),
    ] {
        let part = |results: &Results, path: &str| {
            mean(
                results
                    .0
                    .iter()
                    .filter(|result| result.load.trained == trained)
                    .filter_map(|result| result.median(path)),
            )
        };
        let mut row = vec![
            name.to_owned(),
            String::new(),
            share(part(measured.online, TOP1)),
            share(part(frozen, TOP1)),
            plain(part(frozen, BITS)),
        ];
        if let (Some(on_all), Some(gaps)) = (on_all, &gaps) {
            row.push(share(part(on_all, TOP1)));
            let gap = mean(gaps.iter().map(|(_, gap)| *gap)).filter(|_| !trained);
            row.push(share(gap));
        }
        rows.push(row);
    }
    markdown(&names, rows)
}

/// The first 1,000 scored switches of a recording, fresh and once everything is learned, against its last half. `None` if
/// it was not measured.
pub fn start(online: &Results) -> Option<String> {
    let share = |value| or_dash(value, |value| Unit::Share.one(value));
    let row = |name: &str, of: &dyn Fn(&str) -> Option<f64>| {
        let [first, again, end] = [FIRST, AGAIN, END].map(of);
        let less = |more: Option<f64>, less: Option<f64>| {
            share(more.zip(less).map(|(more, less)| more - less))
        };
        vec![
            name.to_owned(),
            share(first),
            share(again),
            share(end),
            less(end, first),
            less(again, first),
            less(end, again),
        ]
    };
    let mut rows: Vec<Vec<String>> = online
        .0
        .iter()
        .map(|result| row(result.load.name, &|path| result.median(path)))
        .collect();
    rows.push(row("**macro mean**", &|path| online.macro_mean(path)));
    let names = headings(&[
        "load",
        "first 1,000 top-1 %",
        "played again, all learned %",
        "last half top-1 %",
        "behind, points",
        "of it not yet learned",
        "of it harder switches",
    ]);
    online.has(FIRST).then(|| markdown(&names, rows))
}

/// Where an evaluation counts its misses by cause.
const MISSES: &str = "/all/misses";

/// Misses by cause, in percent of the scored switches, over all rounds. `None` if none were counted.
pub fn misses(online: &Results) -> Option<String> {
    let causes: Vec<String> = online
        .0
        .iter()
        .flat_map(|result| &result.rounds)
        .find_map(|round| round.pointer(MISSES)?.as_object())?
        .keys()
        .cloned()
        .collect();
    let mut names = headings(&["load", "missed"]);
    names.extend(causes.iter().map(|cause| cause.replace('_', " ")));
    let shares = |result: &LoadResult| -> Vec<Option<f64>> {
        let scored = result.sum("/all/scored") as f64;
        let share = |misses: u64| (scored > 0.0).then(|| misses as f64 / scored);
        let counts: Vec<u64> = causes
            .iter()
            .map(|cause| result.sum(&format!("{MISSES}/{cause}")))
            .collect();
        let mut shares = vec![share(counts.iter().sum())];
        shares.extend(counts.into_iter().map(share));
        shares
    };
    let print = |value: Option<f64>| or_dash(value, |value| format!("{:.2}", 100.0 * value));
    let all: Vec<_> = online.0.iter().map(shares).collect();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (result, shares) in online.0.iter().zip(&all) {
        let mut row = vec![result.load.name.to_owned()];
        row.extend(shares.iter().copied().map(print));
        rows.push(row);
    }
    let mut row = vec!["**macro mean**".to_owned()];
    row.extend((0..=causes.len()).map(|at| print(mean(all.iter().filter_map(|of| of[at])))));
    rows.push(row);
    Some(markdown(&names, rows))
}

/// Every switch is accounted for, over all rounds.
pub fn counts(online: &Results) -> String {
    let columns = [
        ("seen", "/all/seen"),
        ("scored", "/all/scored"),
        ("first", "/all/unscored/first"),
        ("gap", "/all/unscored/gap"),
        ("broken", "/all/unscored/broken"),
        ("overload", "/all/unscored/overload"),
        ("lost events", "/all/lost_events"),
    ];
    let mut names = headings(&["load", "recordings"]);
    names.extend(columns.iter().map(|(name, _)| (*name).to_owned()));
    let rows = online
        .0
        .iter()
        .map(|result| {
            let mut row = vec![result.load.name.to_owned(), result.rounds.len().to_string()];
            row.extend(columns.iter().map(|(_, path)| result.sum(path).to_string()));
            row
        })
        .collect();
    markdown(&names, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::tests::results;
    use serde_json::json;

    /// Cells of the row that begins with `name`.
    fn row<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
        table
            .lines()
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .find(|cells: &Vec<&str>| cells[0] == name)
            .unwrap_or_else(|| panic!("no row {name}:\n{table}"))
    }

    #[test]
    fn the_main_table_has_median_spread_and_macro_mean() {
        let online = results(
            &[("redis", &[0.5, 0.7, 0.6]), ("cpu-4", &[0.8])],
            [0.1, 0.2, 0.4, 0.3],
        );
        let table = next_task(&online);
        assert_eq!(row(&table, "redis")[1], "60.0 (50.0–70.0)");
        assert_eq!(row(&table, "cpu-4")[1], "80.0");
        assert_eq!(row(&table, "**macro mean**")[1], "**70.0**");
        assert_eq!(
            row(&table, "load")[5..],
            [
                "order-1 top-1 %",
                "back-off-8 top-1 %",
                "PPM-8 top-1 %",
                "scheduler top-1 %"
            ]
        );
        // It is Markdown: a line of dashes under the headings, the same number of cells in each.
        let bars: Vec<usize> = table
            .lines()
            .map(|line| line.matches('|').count())
            .collect();
        assert!(bars.iter().all(|count| *count == bars[0]), "{table}");
        assert!(table.lines().nth(1).unwrap().starts_with("|--"), "{table}");
    }

    #[test]
    fn a_column_that_no_load_has_is_left_out() {
        let mut online = results(&[("redis", &[0.5])], [0.1; 4]);
        let table = bits_per_switch(&online);
        assert_eq!(
            row(&table, "load"),
            ["load", "at-switch", "order-1", "back-off-8", "PPM-8"]
        );
        online.0[0].rounds[0]["all"]["ppm8"] = json!(null);
        let table = bits_per_switch(&online);
        assert_eq!(
            row(&table, "load"),
            ["load", "at-switch", "order-1", "back-off-8"]
        );
    }

    #[test]
    fn misses_are_shares_of_all_scored_switches() {
        let mut online = results(&[("redis", &[0.9, 0.9])], [0.1; 4]);
        let table = misses(&online).unwrap();
        assert_eq!(row(&table, "load"), ["load", "missed", "arrival", "model"]);
        assert_eq!(row(&table, "redis"), ["redis", "10.01", "6.01", "4.00"]);
        for round in &mut online.0[0].rounds {
            round["all"].as_object_mut().unwrap().remove("misses");
        }
        assert_eq!(misses(&online), None);
    }

    #[test]
    fn zero_shot_compares_left_out_loads_with_training_on_them() {
        let frozen = results(&[("redis", &[0.8]), ("desktop", &[0.7])], [0.1; 4]);
        let on_all = results(&[("redis", &[0.8]), ("desktop", &[0.72])], [0.1; 4]);
        let measured = Measured {
            online: &frozen,
            frozen: Some(&frozen),
            frozen_on_all: Some(&on_all),
        };
        let table = zero_shot(measured, &frozen);
        assert_eq!(row(&table, "redis")[6], "-");
        assert_eq!(row(&table, "desktop")[5..], ["72.0", "2.0"]);
        assert_eq!(row(&table, "**mean, left out**")[6], "2.0");
    }

    #[test]
    fn a_start_that_is_behind_is_shown_in_points() {
        let online = results(&[("redis", &[0.9])], [0.1; 4]);
        let table = start(&online).unwrap();
        assert_eq!(
            row(&table, "redis")[1..],
            ["88.0", "89.5", "90.0", "2.0", "1.5", "0.5"]
        );
    }
}
