//! How often each task was scheduled: the paper's figure 4, SVG.

use anyhow::Result;
use plotters::prelude::*;

use super::rows::Summary;
use crate::picture::{self, BLUE, HPos, Page, WIDTH, text};

const ROW: i32 = 18;
const LEFT: i32 = 190;
const RIGHT: i32 = 90;
const MARGIN: i32 = 14;

pub fn svg(summary: &Summary) -> Result<String> {
    let height = summary.tasks.len() as i32 * ROW + 2 * MARGIN;
    picture::svg("schedules.svg", height, |page| draw(summary, page))
}

/// Lengths are logarithmic: one task has thousands, another one.
fn draw(summary: &Summary, page: &Page<'_>) -> Result<()> {
    let most = summary.tasks.first().map_or(1, |(_, count)| *count) as f64;
    let room = f64::from(WIDTH - LEFT - RIGHT);
    for (i, (name, count)) in summary.tasks.iter().enumerate() {
        let top = MARGIN + i as i32 * ROW;
        let middle = top + ROW / 2;
        let share = (*count as f64).ln_1p() / most.ln_1p();
        let right = LEFT + (room * share) as i32;
        page.draw(&text(name.as_str(), (LEFT - 8, middle), 12, HPos::Right))?;
        let bar = [(LEFT, top + 3), (right, top + ROW - 3)];
        page.draw(&Rectangle::new(bar, BLUE.filled()))?;
        page.draw(&text(
            count.to_string(),
            (right + 6, middle),
            12,
            HPos::Left,
        ))?;
    }
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
