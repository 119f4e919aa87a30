use super::*;
use proptest::prelude::*;

const MS: u64 = 1_000_000;

/// A load, a reader and a clock that are not real.
struct World {
    now: Moment,
    /// Switches a second that the load makes.
    rate: f64,
    /// CPU time of a predicted switch, ns.
    cost_ns: f64,
    /// CPU time of a tick during a pause, ns.
    tick_ns: u64,
    resume_ns: u64,
    /// Share of the CPU that is idle without the reader.
    idle: f64,
    seen: u64,
    scored: u64,
    passed_by: u64,
    paused: bool,
    /// Switches of each burst.
    bursts: Vec<u64>,
    overruns: u64,
}

const SWITCH_BYTES: u64 = 500;

impl World {
    fn new(rate: f64, cost_ns: f64, idle: f64) -> Self {
        Self {
            now: Moment::default(),
            rate,
            cost_ns,
            tick_ns: 5_000,
            resume_ns: 100_000,
            idle,
            seen: 0,
            scored: 0,
            passed_by: 0,
            paused: false,
            bursts: vec![0],
            overruns: 0,
        }
    }

    /// One wake-up of the reader every 10 ms.
    fn step(&mut self, budget: &mut Budget) {
        self.step_of(10 * MS, budget);
    }

    /// A wake-up of the reader after `ns`.
    fn step_of(&mut self, ns: u64, budget: &mut Budget) {
        self.now.wall_ns += ns;
        let switches = (self.rate * ns as f64 / 1e9) as u64;
        self.seen += switches;
        if self.paused {
            self.passed_by += switches;
            self.now.reader_ns += self.tick_ns;
        } else {
            self.scored += switches;
            *self.bursts.last_mut().unwrap() += switches;
            self.now.reader_ns += (switches as f64 * self.cost_ns) as u64;
            self.now.read_bytes += switches * SWITCH_BYTES;
        }
        self.now.idle = Some(IdleShare {
            here: self.idle,
            best: self.idle,
        });
        match budget.pass(self.now) {
            Order::GoOn => {}
            Order::Pause => {
                assert!(!self.paused);
                self.paused = true;
                budget.pausing();
            }
            Order::Resume => {
                assert!(self.paused);
                self.paused = false;
                self.bursts.push(0);
                self.now.reader_ns += self.resume_ns;
                budget.resumed(self.resume_ns);
            }
        }
        self.overruns += u64::from(budget.overrun().is_some());
    }

    fn run(&mut self, budget: &mut Budget, seconds: u64) {
        for _ in 0..seconds * 100 {
            self.step(budget);
        }
        assert_eq!(self.seen, self.scored + self.passed_by);
    }

    fn used(&self) -> f64 {
        self.now.reader_ns as f64 / self.now.wall_ns as f64
    }
}

#[test]
fn a_load_that_fits_is_predicted_whole() {
    // 5 % of a CPU that is half idle.
    let (mut world, mut budget) = (World::new(10_000.0, 5_000.0, 0.5), Budget::new(0.1));
    world.run(&mut budget, 60);
    assert_eq!((world.passed_by, budget.pauses()), (0, 0));
    assert_eq!(budget.paused_ns(), 0);
}

#[test]
fn on_an_idle_cpu_the_whole_share_is_used_and_no_more() {
    // Three times what the budget allows.
    let (mut world, mut budget) = (World::new(60_000.0, 5_000.0, 0.6), Budget::new(0.1));
    world.run(&mut budget, 120);
    let used = world.used();
    assert!((0.09..0.102).contains(&used), "{used}");
    let coverage = world.scored as f64 / world.seen as f64;
    assert!((0.28..0.35).contains(&coverage), "{coverage}");
}

#[test]
fn on_a_busy_cpu_a_fifth_of_it() {
    let (mut world, mut budget) = (World::new(60_000.0, 5_000.0, 0.0), Budget::new(0.1));
    world.run(&mut budget, 120);
    let used = world.used();
    assert!((0.017..0.0205).contains(&used), "{used}");
}

#[test]
fn bursts_are_contiguous_and_long_against_their_start() {
    let (mut world, mut budget) = (World::new(60_000.0, 5_000.0, 0.0), Budget::new(0.1));
    world.resume_ns = 4 * MS;
    world.run(&mut budget, 120);
    // What a start costs is known from the second on; the last one may not have ended.
    let whole = &world.bursts[2..world.bursts.len() - 1];
    assert!(whole.len() > 20, "{}", whole.len());
    for burst in whole {
        let cost_ns = *burst as f64 * world.cost_ns;
        assert!(cost_ns >= 5.0 * world.resume_ns as f64, "{burst} switches");
    }
}

#[test]
fn the_learners_use_counts_inside() {
    let (mut world, mut budget) = (World::new(60_000.0, 5_000.0, 0.6), Budget::new(0.1));
    for step in 0..12_000 {
        // 5 %, in steps of 100 ms.
        if step % 200 == 0 {
            world.now.learner_ns += 100 * MS;
        }
        world.step(&mut budget);
    }
    let used = world.used();
    assert!((0.044..0.058).contains(&used), "{used}");
}

#[test]
fn what_a_quiet_hour_saved_is_not_spent_at_once() {
    let mut budget = Budget::new(0.1);
    let mut quiet = World::new(0.0, 5_000.0, 1.0);
    quiet.run(&mut budget, 3_600);
    let mut world = World::new(60_000.0, 5_000.0, 0.0);
    world.now = quiet.now;
    let before_ns = world.now.reader_ns;
    let mut used = |seconds| {
        world.run(&mut budget, seconds);
        (world.now.reader_ns - before_ns) as f64 / 1e9
    };
    // A burst and a quarter, and what little the mean idle time of the hour still allows: not the tenth of a second that was saved.
    let first = used(1);
    assert!(first < 0.065, "{first} s of the first second");
    let all = used(9);
    assert!(all < 0.26, "{all} s of the first ten");
}

/// On a slow machine, where waking takes the reader much: as it sleeps in a pause, which is never too long.
#[test]
fn looks_in_a_pause_leave_the_budget_to_the_bursts() {
    for tick_ns in [5_000, 100_000, 300_000] {
        let mut budget = Budget::new(0.1);
        let mut world = World::new(20_000.0, 30_000.0, 0.0);
        world.tick_ns = tick_ns;
        let mut looks = 0;
        while world.now.wall_ns < 60_000 * MS {
            let ns = if world.paused {
                looks += 1;
                budget.pause_ns().clamp(MS, 250 * MS)
            } else {
                10 * MS
            };
            world.step_of(ns, &mut budget);
        }
        let spent = (looks * tick_ns) as f64 / world.now.reader_ns as f64;
        let used = world.used();
        assert!(world.bursts.len() > 30, "{tick_ns}: {:?}", world.bursts);
        assert!(spent < 0.15, "{tick_ns}: {spent} of the time for looks");
        assert!((0.015..0.021).contains(&used), "{tick_ns}: {used}");
    }
}

#[test]
fn a_pause_that_takes_too_much_is_told_once_a_pause() {
    let (mut world, mut budget) = (World::new(60_000.0, 5_000.0, 0.0), Budget::new(0.01));
    // 5 % of a CPU, where 0.3 % are allowed.
    world.tick_ns = 500_000;
    world.run(&mut budget, 60);
    assert_eq!((world.overruns, budget.pauses()), (1, 1));
    assert!(world.passed_by > world.scored);
}

#[test]
fn a_full_ring_ends_the_burst_before_it_is_read() {
    let mut budget = Budget::new(0.1);
    let mut now = Moment::default();
    assert_eq!(budget.pass(now), Order::GoOn);
    now.wall_ns += MS;
    now.backlog_bytes = 8 << 20;
    assert_eq!(budget.pass(now), Order::Pause);
}

proptest! {
    #[test]
    fn the_share_holds_for_any_load(
        share in 0.005..0.9_f64,
        rate in 100.0..1e6_f64,
        cost_ns in 500.0..50_000.0_f64,
        idle in 0.0..1.0_f64,
    ) {
        let (mut world, mut budget) = (World::new(rate, cost_ns, idle), Budget::new(share));
        // A tick's work must fit into a tick.
        world.rate = world.rate.min(0.9e9 / cost_ns);
        world.tick_ns = 100;
        world.resume_ns = 10_000;
        world.run(&mut budget, 200);
        let used = world.used();
        let allowed = (share * BUSY + idle).min(share);
        // The first burst, and what one tick may take beyond, over the time.
        prop_assert!(used <= allowed * 1.02 + 0.002, "{used} of {allowed}");
    }
}

#[test]
fn learning_needs_idle_time_to_begin() {
    let mut budget = Budget::new(0.1);
    World::new(10.0, 5_000.0, 0.0).run(&mut budget, 10);
    assert!(!budget.may_learn());
    let mut quiet = World::new(10.0, 5_000.0, 0.5);
    quiet.now.wall_ns = 20_000 * MS;
    quiet.run(&mut budget, 10);
    assert!(budget.may_learn());
    // What it uses itself does not stop it.
    quiet.idle = 0.03;
    quiet.run(&mut budget, 10);
    assert!(budget.may_learn());
    quiet.idle = 0.0;
    quiet.run(&mut budget, 10);
    assert!(!budget.may_learn());
}
