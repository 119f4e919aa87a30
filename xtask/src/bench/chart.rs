//! Bar chart of every load's top-1, SVG.

use anyhow::{Context as _, Result, anyhow};
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::figures::{REFINED, Results, TOP1};

/// Name, path of the figure, colour (Okabe and Ito's, told apart by the colour-blind too).
const SERIES: [(&str, &str, RGBColor); 5] = [
    ("model, at-switch", TOP1, RGBColor(0x00, 0x72, 0xb2)),
    ("model, refined", REFINED, RGBColor(0x56, 0xb4, 0xe9)),
    (
        "back-off-8",
        "/all/backoff8/all/top1",
        RGBColor(0xe6, 0x9f, 0x00),
    ),
    (
        "order-1",
        "/all/order1/all/top1",
        RGBColor(0xcc, 0x79, 0xa7),
    ),
    (
        "scheduler",
        "/all/scheduler/all/top1",
        RGBColor(0x88, 0x88, 0x88),
    ),
];

/// Colours of the page, which the style sheet replaces where the reader's is dark.
const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
const RULE: RGBColor = RGBColor(0xd0, 0xd7, 0xde);
const DARK: &str = "<style>@media (prefers-color-scheme: dark) {\
    text { fill: #e6edf3 }\
    rect[fill=\"#FFFFFF\"] { fill: #0d1117 }\
    [stroke=\"#D0D7DE\"] { stroke: #30363d }\
    }</style>";

const WIDTH: i32 = 900;
/// px of a bar's height.
const BAR: i32 = 11;
/// px between the bars of two loads.
const BETWEEN: i32 = 12;
const LEFT: i32 = 150;
const RIGHT: i32 = 60;
const TOP: i32 = 60;
const BOTTOM: i32 = 30;
const FONT: &str = "sans-serif";

pub fn svg(results: &Results) -> Result<String> {
    let mut svg = String::new();
    draw(results, &mut svg).map_err(|error| anyhow!("accuracy.svg: {error}"))?;
    let head = svg.find("<svg").context("accuracy.svg: no svg element")?;
    let end = head
        + svg[head..]
            .find('>')
            .context("accuracy.svg: no svg element")?
        + 1;
    svg.insert_str(end, DARK);
    Ok(svg)
}

fn draw(results: &Results, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let group = BAR * SERIES.len() as i32 + BETWEEN;
    let rows = results.0.len() as i32 + 1;
    let height = TOP + rows * group + BOTTOM;
    let root = SVGBackend::with_string(svg, (WIDTH as u32, height as u32)).into_drawing_area();
    let drawn = || -> Result<(), Box<dyn std::error::Error>> {
        root.fill(&PAPER)?;
        let x = |share: f64| LEFT + (share * f64::from(WIDTH - LEFT - RIGHT)).round() as i32;
        let text = |text: String, at: (i32, i32), size: i32, horizontal: HPos| {
            let style = TextStyle::from((FONT, size).into_font())
                .color(&INK)
                .pos(Pos::new(horizontal, VPos::Center));
            Text::new(text, at, style)
        };

        for tenth in 0..=10 {
            let share = f64::from(tenth) / 10.0;
            let line = [(x(share), TOP - 4), (x(share), height - BOTTOM)];
            root.draw(&PathElement::new(line, RULE.stroke_width(1)))?;
            let label = format!("{} %", 10 * tenth);
            let at = (x(share), height - BOTTOM + 12);
            root.draw(&text(label, at, 14, HPos::Center))?;
        }
        let title = "Next task, share of hits (top-1)".to_owned();
        root.draw(&text(title, (LEFT, 18), 19, HPos::Left))?;
        for (at, (name, _, colour)) in SERIES.iter().enumerate() {
            let left = LEFT + at as i32 * 140;
            root.draw(&Rectangle::new(
                [(left, 35), (left + 12, 45)],
                colour.filled(),
            ))?;
            let at = (left + 17, 40);
            root.draw(&text((*name).to_owned(), at, 15, HPos::Left))?;
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
            let top = TOP + row as i32 * group + BETWEEN / 2;
            let middle = top + (group - BETWEEN) / 2;
            let at = (LEFT - 8, middle);
            root.draw(&text(name.to_owned(), at, 16, HPos::Right))?;
            for (at, (share, (_, _, colour))) in shares.into_iter().zip(SERIES).enumerate() {
                let Some(share) = share else { continue };
                let y = top + at as i32 * BAR;
                let bar = [(LEFT, y), (x(share), y + BAR - 1)];
                root.draw(&Rectangle::new(bar, colour.filled()))?;
                let label = format!("{:.1}", 100.0 * share);
                let at = (x(share) + 4, y + BAR / 2);
                root.draw(&text(label, at, 12, HPos::Left))?;
            }
        }
        root.present()?;
        Ok(())
    };
    drawn()
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
