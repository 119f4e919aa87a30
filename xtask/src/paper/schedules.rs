//! How often each task was scheduled: the paper's figure 4, SVG.

use anyhow::{Result, anyhow};
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::rows::Summary;

const BAR: RGBColor = RGBColor(0x00, 0x72, 0xb2);
const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
const WIDTH: i32 = 900;
const ROW: i32 = 18;
const LEFT: i32 = 190;
const RIGHT: i32 = 90;
const MARGIN: i32 = 14;

pub fn svg(summary: &Summary) -> Result<String> {
    let mut svg = String::new();
    draw(summary, &mut svg).map_err(|error| anyhow!("schedules.svg: {error}"))?;
    Ok(svg)
}

/// Lengths are logarithmic: one task has thousands, another one.
fn draw(summary: &Summary, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let rows = summary.tasks.len() as i32;
    let size = (WIDTH as u32, (rows * ROW + 2 * MARGIN) as u32);
    let area = SVGBackend::with_string(svg, size).into_drawing_area();
    area.fill(&WHITE)?;
    let most = summary.tasks.first().map_or(1, |(_, count)| *count) as f64;
    let room = f64::from(WIDTH - LEFT - RIGHT);
    let font = ("sans-serif", 12).into_font().color(&INK);
    for (i, (name, count)) in summary.tasks.iter().enumerate() {
        let top = MARGIN + i as i32 * ROW;
        let middle = top + ROW / 2;
        let share = (*count as f64).ln_1p() / most.ln_1p();
        let right = LEFT + (room * share) as i32;
        area.draw(&Text::new(
            name.clone(),
            (LEFT - 8, middle),
            font.pos(Pos::new(HPos::Right, VPos::Center)),
        ))?;
        area.draw(&Rectangle::new(
            [(LEFT, top + 3), (right, top + ROW - 3)],
            BAR.filled(),
        ))?;
        area.draw(&Text::new(
            count.to_string(),
            (right + 6, middle),
            font.pos(Pos::new(HPos::Left, VPos::Center)),
        ))?;
    }
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_has_a_bar() {
        let summary = Summary {
            switches: 7,
            tasks: vec![("nginx/1".to_owned(), 6), ("ab/2".to_owned(), 1)],
        };
        let svg = svg(&summary).unwrap();
        assert!(svg.contains("nginx/1") && svg.contains("ab/2"), "{svg}");
        assert_eq!(svg.matches("#0072B2").count(), 2, "{svg}");
    }
}
