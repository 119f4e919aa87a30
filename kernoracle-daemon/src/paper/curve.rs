//! The loss, epoch by epoch, as CSV and as a picture.

use super::trainer::PaperEpoch;
use crate::plot::{self, BLUE, INK, ORANGE, PlotError, RULE};
use plotters::prelude::*;
use std::fmt::Write as _;

/// The loss curve as CSV.
pub fn csv(epochs: &[PaperEpoch]) -> String {
    let mut text = "epoch,train_mse,test_mse,test_top1,evaluations\n".to_owned();
    for e in epochs {
        _ = writeln!(
            text,
            "{},{:.7},{:.7},{:.5},{}",
            e.number, e.train_mse, e.test_mse, e.test_top1, e.evaluations
        );
    }
    text
}

/// The loss curve as SVG.
pub fn svg(epochs: &[PaperEpoch], title: &str) -> Result<String, PlotError> {
    plot::svg((900, 480), |root| {
        // Before training is left out: it would flatten the rest.
        let shown = || epochs.iter().filter(|e| e.number > 0 || epochs.len() == 1);
        let last = shown().map(|e| e.number).max().unwrap_or(0).max(1);
        let most = shown()
            .map(|e| e.train_mse.max(e.test_mse))
            .fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(root)
            .caption(title, plot::font(18))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d(0.0..f64::from(last) + 0.5, 0.0..most.max(1e-9) * 1.08)?;
        (chart.configure_mesh())
            .bold_line_style(RULE)
            .light_line_style(TRANSPARENT)
            .axis_style(INK)
            .label_style(plot::font(14))
            .x_desc("epoch")
            .y_desc("mean squared error")
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.4}"))
            .draw()?;
        for (name, colour) in [("training part", BLUE), ("test part", ORANGE)] {
            let value = |e: &PaperEpoch| {
                if colour == BLUE {
                    e.train_mse
                } else {
                    e.test_mse
                }
            };
            let points = shown().map(|e| (f64::from(e.number), value(e)));
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(3))?
                .label(name)
                .legend(move |(x, y)| {
                    Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled())
                });
        }
        (chart.configure_series_labels())
            .background_style(plot::PAPER)
            .border_style(RULE)
            .label_font(plot::font(14))
            .draw()?;
        Ok(())
    })
}
