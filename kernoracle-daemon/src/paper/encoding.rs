//! A switch as the paper's model sees it: the task one-hot, and the time difference scaled to 0..1 by the least and greatest seen in training.

use super::sequence::{Name, Sample, Sequence};
use foldhash::HashMap;
use serde::{Deserialize, Serialize};

/// Tasks that have a place of their own; of more, the most frequent. The others are all zeros.
pub const MOST_TASKS: usize = 255;

/// Which task has which place, and the scale of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Encoding {
    /// Pid and name of each place.
    pub tasks: Vec<(u32, String)>,
    /// ns that become 0 and 1.
    pub least_ns: u64,
    pub greatest_ns: u64,
}

/// An encoded switch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Encoded {
    /// `None`: a task without a place.
    pub place: Option<u32>,
    pub time: f32,
}

impl Encoded {
    /// Fills a row of the encoding's width.
    pub fn write(&self, row: &mut [f32]) {
        row.fill(0.0);
        if let Some(place) = self.place {
            row[place as usize] = 1.0;
        }
        if let Some(time) = row.last_mut() {
            *time = self.time;
        }
    }
}

/// The places of a sequence's tasks.
pub type Places = Vec<Option<u32>>;

impl Encoding {
    /// From the training part.
    pub fn new(names: &[Name], training: &[Sample]) -> Self {
        let mut counts = vec![0_u64; names.len()];
        for sample in training {
            counts[sample.task as usize] += 1;
        }
        let mut seen: Vec<usize> = (0..names.len()).filter(|i| counts[*i] > 0).collect();
        seen.sort_by_key(|i| std::cmp::Reverse(counts[*i]));
        seen.truncate(MOST_TASKS);
        let times = || training.iter().filter(|s| !s.cut).map(|s| s.diff_ns);
        Self {
            tasks: seen
                .into_iter()
                .map(|i| (names[i].pid, names[i].comm.to_string()))
                .collect(),
            least_ns: times().min().unwrap_or(0),
            greatest_ns: times().max().unwrap_or(0),
        }
    }

    /// Numbers in a vector: the tasks, then the time.
    pub fn width(&self) -> usize {
        self.tasks.len() + 1
    }

    /// Where the tasks of `sequence` stand; `None` for those without a place.
    pub fn places(&self, sequence: &Sequence) -> Places {
        let by_pid: HashMap<u32, (usize, &str)> = (self.tasks.iter().enumerate())
            .map(|(i, (pid, name))| (*pid, (i, name.as_str())))
            .collect();
        let place = |name: &Name| {
            let (place, known) = by_pid.get(&name.pid)?;
            (*known == name.comm.to_string()).then_some(*place as u32)
        };
        sequence.names.iter().map(place).collect()
    }

    pub fn encode(&self, places: &Places, sample: Sample) -> Encoded {
        Encoded {
            place: places[sample.task as usize],
            time: self.scale(sample.diff_ns),
        }
    }

    /// 0 at the least, 1 at the greatest of the training part; beyond it where later ones are.
    pub fn scale(&self, ns: u64) -> f32 {
        let span = self.span();
        ((ns as f64 - self.least_ns as f64) / span) as f32
    }

    /// Back to ns; what would be before the switch before is 0.
    pub fn unscale(&self, time: f32) -> f64 {
        (self.least_ns as f64 + f64::from(time) * self.span()).max(0.0)
    }

    fn span(&self) -> f64 {
        (self.greatest_ns.saturating_sub(self.least_ns)).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::event::Comm;

    #[test]
    fn the_most_frequent_tasks_have_places_and_time_is_scaled() {
        let names: Vec<Name> = (0..300)
            .map(|pid| Name {
                pid,
                comm: Comm::new("t"),
            })
            .collect();
        let sample = |task: u32| Sample {
            task,
            diff_ns: 100 + u64::from(task),
            cut: false,
        };
        let mut training: Vec<Sample> = (0..299).map(sample).collect();
        training.extend((280..299).map(sample));
        let encoding = Encoding::new(&names, &training);
        assert_eq!(encoding.tasks.len(), MOST_TASKS);
        assert_eq!(encoding.width(), MOST_TASKS + 1);
        let sequence = Sequence {
            names,
            ..Sequence::default()
        };
        let places = encoding.places(&sequence);
        assert_eq!(places[280], Some(0), "twice seen");
        assert_eq!((places[299], places[270]), (None, None), "unseen; too many");
        assert!(encoding.scale(100).abs() < 1e-6 && (encoding.scale(398) - 1.0).abs() < 1e-6);
        assert!((encoding.unscale(encoding.scale(250)) - 250.0).abs() < 1e-3);
        assert!(encoding.unscale(-100.0).abs() < 1e-9);
    }
}
