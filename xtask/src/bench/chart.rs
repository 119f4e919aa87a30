//! Bar chart of every load's top-1, SVG.

use anyhow::Result;
use plotters::prelude::*;

use super::figures::{REFINED, Results, TOP1};
use crate::picture::{self, BLUE, GREY, HPos, ORANGE, PURPLE, Page, RULE, SKY_BLUE, WIDTH, text};

/// Name, path of the figure, colour.
const SERIES: [(&str, &str, RGBColor); 5] = [
    ("model, at-switch", TOP1, BLUE),
    ("model, refined", REFINED, SKY_BLUE),
    ("back-off-8", "/all/backoff8/all/top1", ORANGE),
    ("order-1", "/all/order1/all/top1", PURPLE),
    ("scheduler", "/all/scheduler/all/top1", GREY),
];

/// px of a bar's height.
const BAR: i32 = 11;
/// px between the bars of two loads.
const BETWEEN: i32 = 12;
/// px of a load's bars with the space between two loads.
const GROUP: i32 = BAR * SERIES.len() as i32 + BETWEEN;
const LEFT: i32 = 150;
const RIGHT: i32 = 60;
const TOP: i32 = 60;
const BOTTOM: i32 = 30;

pub fn svg(results: &Results) -> Result<String> {
    let rows = results.0.len() as i32 + 1;
    let height = TOP + rows * GROUP + BOTTOM;
    picture::svg("accuracy.svg", height, |page| draw(results, height, page))
}

fn draw(results: &Results, height: i32, page: &Page<'_>) -> Result<()> {
    let x = |share: f64| LEFT + (share * f64::from(WIDTH - LEFT - RIGHT)).round() as i32;
    for tenth in 0..=10 {
        let share = f64::from(tenth) / 10.0;
        let line = [(x(share), TOP - 4), (x(share), height - BOTTOM)];
        page.draw(&PathElement::new(line, RULE.stroke_width(1)))?;
        let label = format!("{} %", 10 * tenth);
        let at = (x(share), height - BOTTOM + 12);
        page.draw(&text(label, at, 14, HPos::Center))?;
    }
    let title = "Next task, share of hits (top-1)";
    page.draw(&text(title, (LEFT, 18), 19, HPos::Left))?;
    for (at, (name, _, colour)) in SERIES.iter().enumerate() {
        let left = LEFT + at as i32 * 140;
        page.draw(&Rectangle::new(
            [(left, 35), (left + 12, 45)],
            colour.filled(),
        ))?;
        page.draw(&text(*name, (left + 17, 40), 15, HPos::Left))?;
    }

    let loads = results.0.iter().map(|result| {
        (
            result.load.name,
            SERIES.map(|(_, path, _)| result.median(path)),
        )
    });
    let mean = (
        "macro mean",
        SERIES.map(|(_, path, _)| results.macro_mean(path)),
    );
    for (row, (name, shares)) in loads.chain([mean]).enumerate() {
        let top = TOP + row as i32 * GROUP + BETWEEN / 2;
        let middle = top + (GROUP - BETWEEN) / 2;
        page.draw(&text(name, (LEFT - 8, middle), 16, HPos::Right))?;
        for (at, (share, (_, _, colour))) in shares.into_iter().zip(SERIES).enumerate() {
            let Some(share) = share else { continue };
            let y = top + at as i32 * BAR;
            let bar = [(LEFT, y), (x(share), y + BAR - 1)];
            page.draw(&Rectangle::new(bar, colour.filled()))?;
            let label = format!("{:.1}", 100.0 * share);
            let at = (x(share) + 4, y + BAR / 2);
            page.draw(&text(label, at, 12, HPos::Left))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::tests::results;

    #[test]
    fn every_load_and_the_mean_have_a_bar_a_series() {
        let results = results(
            &[("redis", &[0.9]), ("desktop", &[0.8])],
            [0.1, 0.2, 0.3, 0.4],
        );
        let svg = svg(&results).unwrap();
        // The paper, the legend, two loads and the mean.
        let bars = svg.matches("<rect").count();
        assert_eq!(bars, 1 + SERIES.len() + 3 * SERIES.len());
        for text in ["redis", "desktop", "macro mean", "85.0", "scheduler"] {
            assert!(svg.contains(text), "no {text}");
        }
        assert_eq!(svg.matches("<svg").count(), 1);
        assert!(svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn the_style_sheet_for_dark_readers_fits_what_is_drawn() {
        let svg = svg(&results(&[("redis", &[0.9])], [0.1; 4])).unwrap();
        let (head, drawing) = svg.split_once("</style>").unwrap();
        assert!(head.contains("prefers-color-scheme: dark"));
        assert!(drawing.contains("fill=\"#FFFFFF\""), "the paper");
        assert!(drawing.contains("stroke=\"#D0D7DE\""), "the rules");
    }

    #[test]
    fn a_figure_that_is_missing_has_no_bar() {
        let mut results = results(&[("redis", &[0.9])], [0.1; 4]);
        results.0[0].rounds[0]["all"]["scheduler"] = serde_json::Value::Null;
        let svg = svg(&results).unwrap();
        assert_eq!(svg.matches("<rect").count(), 1 + 5 + 2 * 4);
    }
}
