//! Run times whose law is known.

use super::*;
use crate::model::frame::QUANTILE_LEVELS;
use crate::runqueue::RunQueues;
use crate::trace::event::{Body, Comm, Event, Switch, Task, Wake, WakeKind};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// One CPU on which tasks run for as long as a test says.
struct Machine {
    queues: RunQueues,
    times: RunTimes,
    course: Course,
    now_ns: u64,
    current: Task,
}

fn task(pid: u32, comm: &str) -> Task {
    Task {
        pid,
        tgid: pid,
        comm: Comm::new(comm),
        prio: if pid == 0 { 140 } else { 120 },
        ..Task::default()
    }
}

impl Machine {
    fn new() -> Self {
        Self {
            queues: RunQueues::new(),
            times: RunTimes::default(),
            course: Course::default(),
            now_ns: 1_000_000_000,
            current: task(0, "swapper/0"),
        }
    }

    /// The current task has run for `ran_ns` and sleeps; `next`, woken `waited_ns` before, enters. Returns its forecast.
    fn switch(&mut self, ran_ns: u64, next: Task, waited_ns: u64) -> Forecast {
        self.now_ns += ran_ns;
        if next.pid != 0 {
            let wake = Wake {
                kind: WakeKind::Wakeup,
                waker_pid: 0,
                target_cpu: 0,
                task: next.clone(),
            };
            self.queues.apply(&Event {
                ts_ns: self.now_ns - waited_ns,
                seq: 0,
                cpu: 0,
                body: Body::Wake(wake),
            });
        }
        let switch = Switch {
            prev: self.current.clone(),
            next: next.clone(),
            prev_state: u32::from(self.current.pid != 0),
            preempt: false,
            merged: false,
            hidden_ns: 0,
        };
        let (prev, entered) = self.queues.switch(self.now_ns, 0, &switch);
        self.times.learn(&mut self.course, Some(ran_ns), true);
        self.times.enter(
            &mut self.course,
            (self.queues.task(prev), self.queues.task(entered)),
            self.now_ns,
            0,
        );
        self.current = next;
        self.course.forecast()
    }

    /// Lets task 1 run for each of `runs_ns` in turn, idle for 50 us between; gives the forecasts of its runs.
    fn alone(&mut self, runs_ns: &[u64]) -> Vec<Forecast> {
        let idle = task(0, "swapper/0");
        runs_ns
            .iter()
            .map(|ran_ns| {
                let forecast = self.switch(50_000, task(1, "one"), 2_000);
                self.switch(*ran_ns, idle.clone(), 0);
                forecast
            })
            .collect()
    }
}

/// Largest `|forecast - actual| / actual` of all but the first `skip` runs.
fn worst(forecasts: &[Forecast], runs_ns: &[u64], skip: usize) -> f32 {
    forecasts
        .iter()
        .zip(runs_ns)
        .skip(skip)
        .map(|(forecast, ran_ns)| (forecast.middle.exp() / *ran_ns as f32 - 1.0).abs())
        .fold(0.0, f32::max)
}

#[test]
fn alternating_runs() {
    let runs_ns: Vec<u64> = (0..200).map(|i| [10_000, 900_000][i % 2]).collect();
    let forecasts = Machine::new().alone(&runs_ns);
    assert!(worst(&forecasts, &runs_ns, 100) < 1e-3);
}

#[test]
fn periodic_runs() {
    // The period cannot be told from the last run or the last two: 20 us is followed by 20, 20, 500 and 20.
    let period = [20_000, 20_000, 20_000, 500_000];
    let runs_ns: Vec<u64> = (0..400).map(|i| period[i % 4]).collect();
    let forecasts = Machine::new().alone(&runs_ns);
    assert!(worst(&forecasts, &runs_ns, 200) < 1e-3);
}

/// A CPU-bound task leaves at the tick: the runs are equal but for the clock's noise, and the quantiles close in on them.
#[test]
fn runs_that_end_at_the_tick() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let runs_ns: Vec<u64> = (0..300)
        .map(|_| 4_000_000 + random.random_range(0..2_000))
        .collect();
    let forecasts = Machine::new().alone(&runs_ns);
    assert!(worst(&forecasts, &runs_ns, 20) < 2e-3);
    for forecast in &forecasts[50..] {
        assert!(
            forecast.below < 5e-3 && forecast.above < 5e-3,
            "{forecast:?}"
        );
    }
}

#[test]
fn what_the_previous_task_did_tells() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let mut machine = Machine::new();
    let mut last = 1_000;
    let mut wrong = 0;
    for step in 0..600 {
        // The consumer runs ten times as long as the producer before it, which is drawn at random.
        let produced_ns = [5_000, 40_000, 300_000][random.random_range(0..3)];
        machine.switch(last, task(1, "producer"), 3_000);
        let forecast = machine.switch(produced_ns, task(2, "consumer"), 3_000);
        last = produced_ns * 10;
        let error = (forecast.middle.exp() / last as f32 - 1.0).abs();
        wrong += u32::from(step >= 300 && error > 0.01);
    }
    assert_eq!(wrong, 0);
}

#[test]
fn how_long_it_waited_tells() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut machine = Machine::new();
    let mut wrong = 0;
    for step in 0..600 {
        let long = random.random_bool(0.5);
        let (waited_ns, ran_ns) = if long {
            (30_000, 700_000)
        } else {
            (1_500, 8_000)
        };
        let forecast = machine.switch(50_000, task(1, "one"), waited_ns);
        machine.switch(ran_ns, task(0, "swapper/0"), 0);
        let error = (forecast.middle.exp() / ran_ns as f32 - 1.0).abs();
        wrong += u32::from(step >= 300 && error > 0.01);
    }
    assert_eq!(wrong, 0);
}

#[test]
fn a_new_task_is_foretold_by_its_like() {
    let mut machine = Machine::new();
    for pid in 1..40 {
        machine.switch(50_000, task(pid, &format!("worker/{pid}")), 2_000);
        machine.switch(250_000, task(0, "swapper/0"), 0);
    }
    let forecast = machine.switch(50_000, task(77, "worker/77"), 2_000);
    assert!((forecast.middle.exp() / 250_000.0 - 1.0).abs() < 1e-3);
}

/// Independent runs, `ln` uniform on [9, 11]: no context helps, and the least pinball loss is known: `q (1 - q) / 2` times the width.
#[test]
fn quantiles_of_a_known_distribution() {
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let mut drawn = || random.random_range(9.0_f64..11.0).exp() as u64;
    let runs_ns: Vec<u64> = (0..6_000).map(|_| drawn()).collect();
    let forecasts = Machine::new().alone(&runs_ns);
    let mut pinball = [0.0_f64; 3];
    let mut below = [0.0_f64; 3];
    let scored = 5_000.0;
    for (forecast, ran_ns) in forecasts.iter().zip(&runs_ns).skip(1_000) {
        let actual = (*ran_ns as f64).ln();
        let quantiles = [
            forecast.middle - forecast.below,
            forecast.middle,
            forecast.middle + forecast.above,
        ];
        for (i, level) in QUANTILE_LEVELS.map(f64::from).into_iter().enumerate() {
            let error = actual - f64::from(quantiles[i]);
            pinball[i] += (level * error).max((level - 1.0) * error) / scored;
            below[i] += f64::from(u8::from(error < 0.0)) / scored;
        }
    }
    for (i, level) in QUANTILE_LEVELS.map(f64::from).into_iter().enumerate() {
        let least = level * (1.0 - level);
        assert!(
            pinball[i] > least && pinball[i] < 1.15 * least,
            "pinball {pinball:?} at {level}, at least {least}"
        );
        assert!((below[i] - level).abs() < 0.05, "{below:?} lie below");
    }
}

/// One run whose middle the network moves by what `offset` makes of the forecast. Returns by how much it was moved in the end.
fn corrected(machine: &mut Machine, actual_ns: u64, offset: impl Fn(f32) -> f32) -> f32 {
    let forecast = machine.switch(50_000, task(1, "one"), 2_000);
    let offset = offset(forecast.middle);
    let mut view = View::default();
    forecast.lay(&mut view);
    let middle = forecast.middle + offset;
    let mut scores = Scores {
        run_raw: [0.0, offset, 0.0],
        run: [middle - 1.0, middle, middle + 1.0],
        ..Scores::default()
    };
    machine.times.correct(&machine.course, &view, &mut scores);
    assert!((scores.run[1] - scores.run[0] - 1.0).abs() < 1e-5);
    assert!((scores.run[2] - scores.run[1] - 1.0).abs() < 1e-5);
    let actual = (actual_ns as f32).ln();
    machine.times.judge(&machine.course, &view, &scores, actual);
    machine.switch(actual_ns, task(0, "swapper/0"), 0);
    scores.run[1] - forecast.middle
}

#[test]
fn a_correction_that_harms_is_left_out() {
    let mut machine = Machine::new();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for step in 0..200 {
        let noise = random.random_range(-0.1..0.1);
        let moved = corrected(&mut machine, 30_000, |_| noise);
        // Nothing is known of the first run, so that any offer may be the better one there.
        assert!(
            step < 20 || moved.abs() < 1e-5,
            "step {step} was moved by {moved}"
        );
    }
}

#[test]
fn a_correction_that_helps_is_taken() {
    let mut machine = Machine::new();
    let mut random = ChaCha8Rng::seed_from_u64(6);
    for step in 0..200 {
        // The network knows the run, which no history does.
        let actual = random.random_range(9.0_f32..11.0);
        let moved = corrected(&mut machine, actual.exp() as u64, |middle| actual - middle);
        assert!(step < 20 || moved != 0.0, "step {step}");
    }
}

#[test]
fn memory_is_bounded_and_forgets_what_is_old() {
    let mut machine = Machine::new();
    for pid in 1..30_000 {
        machine.switch(50_000, task(pid, "many"), 2_000);
    }
    // The newest tasks keep their place.
    let newest = machine.course.run.clone().expect("a task runs");
    machine.switch(50_000, task(1, "many"), 2_000);
    assert!(machine.times.habits.get(newest.task).is_some());
    assert!(machine.times.histories.get(newest.keys[0]).is_some());
}

#[test]
fn nothing_is_learned_of_an_unseen_run() {
    let mut machine = Machine::new();
    machine.alone(&[10_000; 30]);
    let before = machine.switch(50_000, task(1, "one"), 2_000);
    machine.times.learn(&mut machine.course, None, true);
    assert!(machine.course.run.is_none(), "nothing is foretold of it");
    machine.current = task(0, "swapper/0");
    let after = machine.alone(&[10_000; 4]);
    assert!((after[3].middle - before.middle).abs() < 1e-3);
}
