//! docs/performance.svg: a panel of bars for each comparison.

use anyhow::{Context as _, Result, anyhow};
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::part::{Bars, Measured};

const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
const BAR_COLOUR: RGBColor = RGBColor(0x00, 0x72, 0xb2);
const REFERENCE: RGBColor = RGBColor(0xe6, 0x9f, 0x00);
const DARK: &str = "<style>@media (prefers-color-scheme: dark) {\
    text { fill: #e6edf3 }\
    rect[fill=\"#FFFFFF\"] { fill: #0d1117 }\
    }</style>";

const WIDTH: i32 = 900;
const LEFT: i32 = 220;
const RIGHT: i32 = 90;
/// px of a bar with the space below it.
const ROW: i32 = 22;
const BAR: i32 = 15;
/// px of a panel's title and of the space below a panel.
const HEAD: i32 = 44;
const FOOT: i32 = 16;
const FONT: &str = "sans-serif";

pub fn svg(parts: &[Measured]) -> Result<String> {
    let panels: Vec<&Bars> = parts
        .iter()
        .flat_map(|measured| &measured.part.bars)
        .collect();
    let mut svg = String::new();
    draw(&panels, &mut svg).map_err(|error| anyhow!("performance.svg: {error}"))?;
    let head = svg
        .find("<svg")
        .context("performance.svg: no svg element")?;
    let end = svg[head..]
        .find('>')
        .context("performance.svg: no svg element")?;
    svg.insert_str(head + end + 1, DARK);
    Ok(svg)
}

fn height(panel: &Bars) -> i32 {
    HEAD + panel.bars.len() as i32 * ROW + FOOT
}

fn draw(panels: &[&Bars], svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let total: i32 = panels.iter().map(|panel| height(panel)).sum();
    let root =
        SVGBackend::with_string(svg, (WIDTH as u32, total.max(1) as u32)).into_drawing_area();
    // A closure: the drawing area must be gone before `svg` is read.
    let drawn = || -> Result<(), Box<dyn std::error::Error>> {
        root.fill(&PAPER)?;
        let mut top = 0;
        for panel in panels {
            let text = |text: String, at: (i32, i32), size: i32, horizontal: HPos| {
                let style = TextStyle::from((FONT, size).into_font())
                    .color(&INK)
                    .pos(Pos::new(horizontal, VPos::Center));
                Text::new(text, at, style)
            };
            let most = panel
                .bars
                .iter()
                .map(|(_, value)| *value)
                .chain(panel.reference)
                .fold(f64::MIN_POSITIVE, f64::max);
            let x =
                |value: f64| LEFT + (value / most * f64::from(WIDTH - LEFT - RIGHT)).round() as i32;
            let title = format!("{}: {}", panel.title, panel.unit);
            root.draw(&text(title, (LEFT, top + 22), 17, HPos::Left))?;
            for (at, (name, value)) in panel.bars.iter().enumerate() {
                let y = top + HEAD + at as i32 * ROW;
                let middle = y + BAR / 2;
                root.draw(&text(name.clone(), (LEFT - 8, middle), 14, HPos::Right))?;
                let bar = [(LEFT, y), (x(*value), y + BAR)];
                root.draw(&Rectangle::new(bar, BAR_COLOUR.filled()))?;
                let digits = if *value < 10.0 { 3 } else { 0 };
                let label = format!("{value:.digits$}");
                root.draw(&text(label, (x(*value) + 5, middle), 13, HPos::Left))?;
            }
            if let Some(reference) = panel.reference {
                let line = [
                    (x(reference), top + HEAD - 6),
                    (x(reference), top + height(panel) - FOOT),
                ];
                root.draw(&PathElement::new(line, REFERENCE.stroke_width(2)))?;
            }
            top += height(panel);
        }
        root.present()?;
        Ok(())
    };
    drawn()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::speed::page::tests::measured;

    #[test]
    fn every_panel_has_its_bars_and_its_line() {
        let svg = svg(&[measured(), measured()]).unwrap();
        // The paper, and two bars a panel.
        assert_eq!(svg.matches("<rect").count(), 1 + 2 * 2);
        assert_eq!(svg.matches("<polyline").count(), 2);
        for text in ["Cost: ns", "nothing", "2.500", "prefers-color-scheme"] {
            assert!(svg.contains(text), "no {text}");
        }
        assert!(svg.trim_end().ends_with("</svg>"));
    }
}
