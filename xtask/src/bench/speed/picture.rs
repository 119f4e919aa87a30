//! docs/performance.svg: a panel of bars for each comparison.

use anyhow::Result;
use plotters::prelude::*;

use super::part::{Bars, Measured};
use crate::picture::{self, BLUE, HPos, ORANGE, Page, WIDTH, text};

const LEFT: i32 = 220;
const RIGHT: i32 = 90;
/// px of a bar with the space below it.
const ROW: i32 = 22;
const BAR: i32 = 15;
/// px of a panel's title and of the space below a panel.
const HEAD: i32 = 44;
const FOOT: i32 = 16;

pub fn svg(parts: &[Measured]) -> Result<String> {
    let panels: Vec<&Bars> = parts
        .iter()
        .flat_map(|measured| &measured.part.bars)
        .collect();
    let total: i32 = panels.iter().map(|panel| height(panel)).sum();
    picture::svg("performance.svg", total.max(1), |page| {
        let mut top = 0;
        for panel in panels {
            draw(panel, top, page)?;
            top += height(panel);
        }
        Ok(())
    })
}

fn height(panel: &Bars) -> i32 {
    HEAD + panel.bars.len() as i32 * ROW + FOOT
}

fn draw(panel: &Bars, top: i32, page: &Page<'_>) -> Result<()> {
    let most = panel
        .bars
        .iter()
        .map(|(_, value)| *value)
        .chain(panel.reference)
        .fold(f64::MIN_POSITIVE, f64::max);
    let x = |value: f64| LEFT + (value / most * f64::from(WIDTH - LEFT - RIGHT)).round() as i32;
    let title = format!("{}: {}", panel.title, panel.unit);
    page.draw(&text(title, (LEFT, top + 22), 17, HPos::Left))?;
    for (at, (name, value)) in panel.bars.iter().enumerate() {
        let y = top + HEAD + at as i32 * ROW;
        let middle = y + BAR / 2;
        page.draw(&text(name.as_str(), (LEFT - 8, middle), 14, HPos::Right))?;
        let bar = [(LEFT, y), (x(*value), y + BAR)];
        page.draw(&Rectangle::new(bar, BLUE.filled()))?;
        let digits = if *value < 10.0 { 3 } else { 0 };
        let label = format!("{value:.digits$}");
        page.draw(&text(label, (x(*value) + 5, middle), 13, HPos::Left))?;
    }
    if let Some(reference) = panel.reference {
        let line = [
            (x(reference), top + HEAD - 6),
            (x(reference), top + height(panel) - FOOT),
        ];
        page.draw(&PathElement::new(line, ORANGE.stroke_width(2)))?;
    }
    Ok(())
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
        assert_eq!(svg.matches("<svg").count(), 1);
        assert!(svg.trim_end().ends_with("</svg>"));
    }
}
