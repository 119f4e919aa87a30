//! Input, forecast and what came, as the paper's figures 7 to 11, which leave the last out.

use super::Path;
use crate::paper::sequence::{Sample, Sequence};
use crate::plot::{self, BLUE, GREEN, INK, ORANGE, PlotError, RULE};
use plotters::coord::Shift;
use plotters::prelude::*;

/// Rows of tasks: the most frequent ones of what is shown.
const TASKS: usize = 28;
const WIDTH: u32 = 1200;

/// A picture of a forecast from switch `from` on.
pub fn picture(
    sequence: &Sequence,
    from: usize,
    path: &Path,
    title: &str,
) -> Result<String, PlotError> {
    let before = from - path.len().min(from);
    let input = &sequence.samples[before..from];
    let truth = &sequence.samples[from..(from + path.len()).min(sequence.samples.len())];
    let mut counts = vec![0_usize; sequence.names.len()];
    let shown = input.iter().chain(truth).map(|sample| sample.task);
    for task in shown.chain(path.iter().filter_map(|step| step.task)) {
        counts[task as usize] += 1;
    }
    let mut rows: Vec<usize> = (0..counts.len()).filter(|i| counts[*i] > 0).collect();
    rows.sort_by_key(|i| std::cmp::Reverse(counts[*i]));
    rows.truncate(TASKS);
    let row_of = |task: u32| rows.iter().position(|i| *i == task as usize);
    let labels: Vec<String> = rows
        .iter()
        .map(|i| sequence.names[*i].to_string())
        .collect();

    let tasks =
        |samples: &[Sample]| -> Vec<Option<u32>> { samples.iter().map(|s| Some(s.task)).collect() };
    let times =
        |samples: &[Sample]| -> Vec<f64> { samples.iter().map(|s| s.diff_ns as f64).collect() };
    let foretold: Vec<Option<u32>> = path.iter().map(|step| step.task).collect();
    let foretold_times: Vec<f64> = path.iter().map(|step| step.diff_ns).collect();

    let panel = (rows.len() as u32 * 16 + 60).max(120);
    let times_panel = 160;
    plot::svg((WIDTH, 40 + 2 * panel + 2 * times_panel), |root| {
        let (head, rest) = root.split_vertically(40);
        let legend = [("input", BLUE), ("forecast", ORANGE), ("what came", GREEN)];
        head.draw(&Text::new(title.to_owned(), (20, 12), plot::font(18)))?;
        for (i, (name, colour)) in legend.into_iter().enumerate() {
            let left = WIDTH as i32 - 330 + 105 * i as i32;
            head.draw(&Rectangle::new(
                [(left, 14), (left + 12, 26)],
                colour.filled(),
            ))?;
            head.draw(&Text::new(name, (left + 17, 13), plot::font(14)))?;
        }
        let areas = rest.split_by_breakpoints(
            Vec::<i32>::new(),
            vec![panel, panel + times_panel, 2 * panel + times_panel],
        );
        let truth_tasks = tasks(truth);
        let truth_times = times(truth);
        for (half, (tasks_after, times_after, colour)) in [
            (&foretold, &foretold_times, ORANGE),
            (&truth_tasks, &truth_times, GREEN),
        ]
        .into_iter()
        .enumerate()
        {
            let frame = Frame {
                from,
                input: input.len(),
                after: path.len(),
                colour,
            };
            let input_tasks = tasks(input);
            frame.tasks(
                &areas[2 * half],
                &labels,
                &input_tasks,
                tasks_after,
                &row_of,
            )?;
            frame.times(&areas[2 * half + 1], &times(input), times_after)?;
        }
        Ok(())
    })
}

struct Frame {
    from: usize,
    input: usize,
    after: usize,
    colour: RGBColor,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

impl Frame {
    fn x(&self) -> std::ops::Range<f64> {
        (self.from - self.input) as f64..(self.from + self.after) as f64
    }

    /// Indices and colours of the input's points and of those behind it.
    fn parts<'a, T: Copy>(
        &self,
        input: &'a [T],
        after: &'a [T],
    ) -> [(usize, &'a [T], RGBColor); 2] {
        [
            (self.from - self.input, input, BLUE),
            (self.from, after, self.colour),
        ]
    }

    fn tasks(
        &self,
        area: &Area<'_>,
        labels: &[String],
        input: &[Option<u32>],
        after: &[Option<u32>],
        row_of: &impl Fn(u32) -> Option<usize>,
    ) -> Result<(), PlotError> {
        let rows = labels.len() as f64;
        let mut chart = ChartBuilder::on(area)
            .margin_right(20)
            .margin_top(6)
            .x_label_area_size(28)
            .y_label_area_size(150)
            .build_cartesian_2d(self.x(), -0.5..rows - 0.5)?;
        (chart.configure_mesh())
            .disable_mesh()
            .axis_style(INK)
            .x_labels(9)
            .y_labels(0)
            .label_style(plot::font(13))
            .x_label_formatter(&|x| format!("{x:.0}"))
            .draw()?;
        let first = self.x().start;
        for (row, label) in labels.iter().enumerate() {
            let at = chart.backend_coord(&(first, row as f64));
            let (left, top) = area.get_base_pixel();
            let place = (at.0 - left - 146, at.1 - top - 7);
            area.draw(&Text::new(label.clone(), place, plot::font(13)))?;
        }
        let (bottom, top) = (-0.5, rows - 0.5);
        let border = self.from as f64;
        chart.draw_series([PathElement::new(
            [(border, bottom), (border, top)],
            RULE.stroke_width(2),
        )])?;
        for (start, tasks, colour) in self.parts(input, after) {
            let points = tasks.iter().enumerate().filter_map(|(i, task)| {
                let row = row_of((*task)?)?;
                Some(((start + i) as f64, row as f64))
            });
            chart.draw_series(points.map(|(x, y)| {
                // A switch is a tick as high as its row.
                PathElement::new([(x, y - 0.36), (x, y + 0.36)], colour.stroke_width(1))
            }))?;
        }
        Ok(())
    }

    fn times(&self, area: &Area<'_>, input: &[f64], after: &[f64]) -> Result<(), PlotError> {
        // Logarithm of us: intervals span decades.
        let log = |ns: &f64| (ns.max(100.0) / 1e3).log10();
        let all = || input.iter().chain(after).map(log);
        let low = all().fold(f64::INFINITY, f64::min).min(0.0).floor();
        let high = all()
            .fold(f64::NEG_INFINITY, f64::max)
            .max(low + 1.0)
            .ceil();
        let mut chart = ChartBuilder::on(area)
            .margin_right(20)
            .x_label_area_size(30)
            .y_label_area_size(150)
            .build_cartesian_2d(self.x(), low..high)?;
        (chart.configure_mesh())
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(RULE)
            .axis_style(INK)
            .x_labels(9)
            .y_labels(5)
            .y_desc("interval, µs")
            .label_style(plot::font(13))
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{}", 10_f64.powf(*y)))
            .draw()?;
        for (start, times, colour) in self.parts(input, after) {
            let points = times.iter().enumerate();
            chart.draw_series(LineSeries::new(
                points.map(|(i, ns)| ((start + i) as f64, log(ns))),
                colour.stroke_width(1),
            ))?;
        }
        Ok(())
    }
}
