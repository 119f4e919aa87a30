//! The loop from events to decisions, on traces made here.

use super::outcome::{BaselineScored, Decision, Scored, TOP};
use super::*;
use crate::trace::event::{Comm, Entity, Fair, Task, Wake, WakeKind};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

#[derive(Default)]
struct Collected {
    decisions: Vec<Decision>,
    unscored: Vec<Unscored>,
    lost: u64,
}

impl Sink for Collected {
    fn decision(&mut self, decision: &Decision) {
        self.decisions.push(decision.clone());
    }
    fn unscored(&mut self, _ts_ns: u64, _cpu: u32, reason: Unscored) {
        self.unscored.push(reason);
    }
    fn gap(&mut self, _ts_ns: u64, _cpu: u32, lost: u64) {
        self.lost += lost;
    }
}

fn config(learning: Learning) -> Config {
    Config {
        window: 64,
        seed: 1,
        learning,
        engine: Engine::Plain,
        model: StartFrom::Untrained,
        live: false,
        timed: false,
    }
}

fn task(pid: u32, vruntime: u64) -> Task {
    if pid == 0 {
        return Task {
            prio: 140,
            comm: Comm::new("swapper/0"),
            ..Task::default()
        };
    }
    let own = Entity {
        vruntime,
        deadline: Some(vruntime + 3_000_000),
        slice: Some(3_000_000),
        weight: 1 << 20,
        cfs_rq: 1,
    };
    Task {
        pid,
        tgid: pid,
        comm: Comm::new(&format!("task{pid}")),
        prio: 120,
        fair: Some(Fair {
            own,
            ..Fair::default()
        }),
        ..Task::default()
    }
}

/// Tasks that wake each other in a ring of five, with one turn in ten going astray, and idle in between.
fn trace(seed: u64, switches: usize) -> Vec<Event> {
    let mut turn = 1_u32;
    turns(seed, switches, |random, current| {
        let next = if current != 0 && random.random_bool(0.3) {
            0
        } else if random.random_bool(0.1) {
            random.random_range(6..9)
        } else {
            turn = turn % 5 + 1;
            turn
        };
        if next == current { 9 } else { next }
    })
}

/// Tasks that take turns, each woken by the one before; `next` says who follows the current one.
fn turns(
    seed: u64,
    switches: usize,
    mut next: impl FnMut(&mut ChaCha8Rng, u32) -> u32,
) -> Vec<Event> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut events = Vec::new();
    let mut ts_ns = 1_000_000;
    let mut current = 0_u32;
    for _ in 0..switches {
        ts_ns += random.random_range(20_000..60_000);
        let seq = events.len() as u64;
        let vruntime = ts_ns / 3;
        let next = next(&mut random, current);
        if next != 0 {
            let wake = Wake {
                kind: WakeKind::Wakeup,
                waker_pid: current,
                target_cpu: 0,
                task: task(next, vruntime),
            };
            events.push(Event {
                ts_ns: ts_ns - 5_000,
                seq,
                cpu: 0,
                body: Body::Wake(wake),
            });
        }
        let switch = Switch {
            prev: task(current, vruntime),
            next: task(next, vruntime),
            prev_state: u32::from(current != 0),
            preempt: false,
            merged: false,
            hidden_ns: 0,
        };
        events.push(Event {
            ts_ns,
            seq: seq + 1,
            cpu: 0,
            body: Body::Switch(switch),
        });
        current = next;
    }
    events
}

fn run(oracle: &mut Oracle, events: &[Event]) -> Collected {
    let mut collected = Collected::default();
    for event in events {
        oracle.event(event, &mut collected);
    }
    collected
}

fn oracle(learning: Learning) -> Oracle {
    Oracle::new(config(learning), &Origin::default()).expect("no model file is read")
}

#[test]
fn every_switch_is_scored_or_has_a_reason() {
    let mut events = trace(1, 3_000);
    let at = events.len() / 2;
    let (ts_ns, seq) = (events[at].ts_ns, events[at].seq);
    events.insert(
        at,
        Event {
            ts_ns,
            seq,
            cpu: 0,
            body: Body::Gap { lost: 17 },
        },
    );
    // A switch whose prev is not what ran before.
    let broken = events.len() - 100;
    let odd = events[broken..]
        .iter_mut()
        .find_map(|event| match &mut event.body {
            Body::Switch(switch) => Some(switch),
            _ => None,
        });
    odd.expect("a switch").prev = task(77, 1);
    let mut oracle = oracle(Learning::Inline { every: 128 });
    let collected = run(&mut oracle, &events);
    assert_eq!(collected.decisions.len() + collected.unscored.len(), 3_000);
    assert_eq!(collected.lost, 17);
    let count = |reason| collected.unscored.iter().filter(|r| **r == reason).count();
    assert_eq!(
        (count(Unscored::First), count(Unscored::Gap)),
        (1, 1),
        "{:?}",
        collected.unscored
    );
    assert!(
        (1..=2).contains(&count(Unscored::Broken)),
        "{:?}",
        collected.unscored
    );
    for decision in &collected.decisions {
        let p: f32 = decision.at_switch.top.iter().map(|(_, p)| p).sum();
        assert!(p <= 1.0001 && decision.at_switch.bits.is_finite());
    }
}

/// Whatever is first: the bits are those of the task that came, and its rank is its place.
#[test]
fn bits_and_rank_are_of_the_task_that_came() {
    let mut oracle = oracle(Learning::Off);
    let collected = run(&mut oracle, &trace(5, 2_000));
    let (mut hits, mut others, mut unlisted) = (0, 0, 0);
    for decision in &collected.decisions {
        for scored in std::iter::once(&decision.at_switch).chain(&decision.refined) {
            let place = scored
                .top
                .iter()
                .position(|(name, _)| name.pid == decision.actual.pid);
            let p = (-scored.bits).exp2();
            if let Some(place) = place {
                assert_eq!(scored.rank, Some(place as u32 + 1), "{decision:?}");
                assert!((p - scored.top[place].1).abs() < 1e-4, "{decision:?}");
                *(if place == 0 { &mut hits } else { &mut others }) += 1;
            } else {
                assert!(scored.rank.is_none_or(|rank| rank > TOP as u32));
                let listed: f32 = scored.top.iter().map(|(_, p)| p).sum();
                assert!(p <= 1.0 - listed + 1e-4, "{decision:?}");
                unlisted += 1;
            }
        }
    }
    println!("{hits} first, {others} behind, {unlisted} not among the first {TOP}");
    assert!(hits > 100 && others > 100);
}

#[test]
fn overload_keeps_state_and_counts() {
    let events = trace(2, 1_000);
    let mut oracle = oracle(Learning::Off);
    let mut collected = Collected::default();
    for (i, event) in events.iter().enumerate() {
        oracle.set_overload((400..800).contains(&i));
        oracle.event(event, &mut collected);
    }
    assert_eq!(collected.decisions.len() + collected.unscored.len(), 1_000);
    let overload = collected
        .unscored
        .iter()
        .filter(|r| **r == Unscored::Overload)
        .count();
    assert!(overload > 150, "{overload}");
}

#[test]
fn learns_the_ring_and_beats_what_cannot_see_it() {
    let mut oracle = oracle(Learning::Inline { every: 64 });
    let collected = run(&mut oracle, &trace(3, 6_000));
    let late = &collected.decisions[3_000..];
    let share = |hits: usize| hits as f64 / late.len() as f64;
    let model = share(late.iter().filter(|d| d.at_switch.hit()).count());
    let order1 = share(
        late.iter()
            .filter(|d| d.baselines[0].rank == Some(1))
            .count(),
    );
    assert!(model > order1 + 0.02, "model {model}, order-1 {order1}");
    // After the wake-up the next task is the only one that waits.
    let refined: Vec<_> = late.iter().filter_map(|d| d.refined.as_ref()).collect();
    let hits = refined.iter().filter(|refined| refined.hit()).count();
    assert!(
        hits * 100 > refined.len() * 97,
        "{hits} of {}",
        refined.len()
    );
}

/// Twelve tasks take turns at first, then only three of them.
#[test]
fn no_more_is_listed_than_pays() {
    let mut at = 0;
    let events = turns(4, 4_000, |_, _| {
        at += 1;
        1 + if at < 600 { at % 12 } else { at % 3 }
    });
    let decisions = run(&mut oracle(Learning::Off), &events).decisions;
    let listed = |decisions: &[Decision]| -> Vec<u32> {
        let of = |decision: &Decision| decision.at_switch.candidates;
        decisions.iter().map(of).collect()
    };
    let last = &decisions[decisions.len() - 1_000..];
    let short = listed(last).iter().filter(|listed| **listed <= 4).count();
    assert!((850..1_000).contains(&short), "{:?}", listed(last));
    assert!(
        listed(last).iter().any(|listed| *listed >= 8),
        "now and then all are"
    );
    let right = last
        .iter()
        .filter(|it| it.at_switch.rank == Some(1))
        .count();
    assert!(right > 990, "{right} of 1000");
    let first = listed(&decisions[16..30]);
    assert!(
        first.iter().all(|listed| *listed >= 8),
        "nothing tells yet: {first:?}"
    );
}

/// What PPM foresees is what it was given: the sequence before, the tasks that live, and not the current one.
#[test]
fn ppm_is_scored_where_asked_for() {
    let mut events = trace(6, 2_000);
    let at = events.len() / 2;
    let (ts_ns, seq) = (events[at].ts_ns, events[at].seq);
    let gap = Body::Gap { lost: 3 };
    events.insert(
        at,
        Event {
            ts_ns,
            seq,
            cpu: 0,
            body: gap,
        },
    );
    let without = run(&mut oracle(Learning::Off), &events);
    assert!(without.decisions.iter().all(|d| d.ppm8.is_none()));
    let with = run(&mut oracle(Learning::Off).with_ppm8(), &events);
    assert_eq!(with.decisions.len(), without.decisions.len());
    for (a, b) in with.decisions.iter().zip(&without.decisions) {
        assert_eq!(a.at_switch.top, b.at_switch.top, "it is only watched");
    }
    let ppm: Vec<_> = with.decisions.iter().filter_map(|d| d.ppm8).collect();
    assert_eq!(ppm.len(), with.decisions.len());
    for (d, ppm) in with.decisions.iter().zip(&ppm) {
        assert_ne!(
            ppm.predicted,
            Some(d.ran),
            "the task that runs cannot be next"
        );
        let hit = ppm.predicted == Some(d.actual);
        assert_eq!(hit, ppm.rank == Some(1), "at {}", d.number);
    }
    let hits = |outcomes: &[BaselineScored]| outcomes.iter().filter(|o| o.rank == Some(1)).count();
    let order1: Vec<_> = with.decisions.iter().map(|d| d.baselines[0]).collect();
    assert!(hits(&ppm) > hits(&order1), "{} hits", hits(&ppm));
}

#[test]
fn nothing_is_known_before_it_happens() {
    let events = trace(4, 1_200);
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let whole = run(&mut oracle(Learning::Inline { every: 64 }), &events);
    for _ in 0..6 {
        let cut = random.random_range(100..events.len() - 10);
        let mut garbled = events[..cut].to_vec();
        garbled.extend(trace(random.random(), 200).into_iter().map(|mut event| {
            event.ts_ns += events[cut].ts_ns;
            event
        }));
        let other = run(&mut oracle(Learning::Inline { every: 64 }), &garbled);
        let switches = events[..cut]
            .iter()
            .filter(|e| matches!(e.body, Body::Switch(_)))
            .count();
        // The first switch is not scored; the predictions for all others before the cut must be the same.
        assert_eq!(
            format!("{:?}", &whole.decisions[..switches - 1]),
            format!("{:?}", &other.decisions[..switches - 1])
        );
        // So must the one that stands when the garbage begins, whatever it turns out to be.
        let standing = &whole.decisions[switches - 1];
        let same = other
            .decisions
            .iter()
            .find(|other| other.number == standing.number);
        if let Some(same) = same {
            assert_eq!(standing.at_switch.top, same.at_switch.top);
            if let (Some(standing), Some(same)) = (&standing.run_time, &same.run_time) {
                assert_eq!(standing.predicted_ns, same.predicted_ns);
            }
        }
    }
}

/// Between the code of the task that entered and that of the one woken last before lies what happened.
#[test]
fn the_lstm_sees_who_entered_and_who_was_woken() {
    use crate::model::features::switch;
    let events = trace(7, 200);
    let mut oracle = oracle(Learning::Off);
    let mut woken = None;
    let mut seen = 0;
    for event in &events {
        oracle.event(event, &mut Collected::default());
        match &event.body {
            Body::Wake(wake) => woken = Some(wake.task.pid),
            Body::Switch(to) => {
                let code = |pid| {
                    let sym = oracle.queues.by_pid(0, pid).unwrap();
                    oracle.queues.task(sym).code
                };
                let frame = oracle.cpus[0].as_ref().unwrap().window.frames.back();
                let input = &frame.unwrap().input;
                let (entered, rest) = input.split_at(crate::runqueue::CODE);
                assert_eq!(entered, code(to.next.pid));
                let expected = woken.take().map_or([0.0; crate::runqueue::CODE], code);
                assert_eq!(rest[switch::LEN..], expected);
                seen += u32::from(expected[0] != 0.0);
            }
            _ => {}
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn a_start_over_knows_who_waits_and_nothing_else() {
    let events = trace(6, 2_400);
    let half = events.len() / 2;
    let mut oracle = oracle(Learning::Off);
    run(&mut oracle, &events[..half]);
    let waits = |oracle: &Oracle| oracle.queues.cpu_ref(0).runnable.clone();
    let before = waits(&oracle);
    oracle.start_over(events[half - 1].ts_ns);
    assert_eq!(waits(&oracle), before);
    let after = run(&mut oracle, &events[half..]);
    assert_eq!(after.unscored, [Unscored::First]);
    let known = |decisions: &[Decision]| {
        let known = decisions
            .iter()
            .filter(|d| d.baselines[0].predicted.is_some());
        known.count()
    };
    assert_eq!(known(&after.decisions[..1]), 0, "nothing has been counted");
    assert!(known(&after.decisions[500..]) > 0);
    // What is learned anew is what a start on that half learns.
    let mut fresh = self::oracle(Learning::Off);
    let fresh = run(&mut fresh, &events[half..]);
    let hits = |all: &[Decision]| all.iter().filter(|d| d.at_switch.rank == Some(1)).count();
    assert!(
        hits(&after.decisions).abs_diff(hits(&fresh.decisions)) <= 10,
        "{} and {} hits",
        hits(&after.decisions),
        hits(&fresh.decisions)
    );
}

#[test]
fn the_candle_engine_decides_the_same() {
    let events = trace(6, 500);
    let plain = run(&mut oracle(Learning::Inline { every: 50 }), &events);
    let mut config = config(Learning::Inline { every: 50 });
    config.engine = Engine::Candle;
    let mut oracle = Oracle::new(config, &Origin::default()).expect("no model file is read");
    let candle = run(&mut oracle, &events);
    for (a, b) in plain.decisions.iter().zip(&candle.decisions) {
        assert!(
            (a.at_switch.bits - b.at_switch.bits).abs() < 1e-2,
            "{a:?}\n{b:?}"
        );
    }
    let hits = |c: &Collected| c.decisions.iter().filter(|d| d.at_switch.hit()).count();
    assert!(hits(&plain).abs_diff(hits(&candle)) <= 2);
}

/// Over a whole trace, with the model that the binary holds: what little the engines differ by does not add up.
#[test]
fn the_candle_engine_gives_the_same_probabilities() {
    let events = trace(7, 1_500);
    let run = |engine| {
        let config = Config {
            engine,
            model: StartFrom::Default,
            ..config(Learning::Off)
        };
        let mut oracle = Oracle::new(config, &Origin::default()).expect("the model is embedded");
        run(&mut oracle, &events)
    };
    let (plain, candle) = (run(Engine::Plain), run(Engine::Candle));
    assert_eq!(plain.decisions.len(), candle.decisions.len());
    let mut compared = 0;
    for (a, b) in plain.decisions.iter().zip(&candle.decisions) {
        let refined = a.refined.iter().zip(&b.refined);
        for (a, b) in std::iter::once((&a.at_switch, &b.at_switch)).chain(refined) {
            let p = |scored: &Scored| (-scored.bits).exp2();
            assert!((p(a) - p(b)).abs() < 1e-5, "{a:?}\n{b:?}");
            for ((_, a), (_, b)) in a.top.iter().zip(&b.top) {
                assert!((a - b).abs() < 1e-5, "{a} and {b}");
            }
            compared += 1;
        }
        let (Some(a), Some(b)) = (&a.run_time, &b.run_time) else {
            continue;
        };
        for (a, b) in a.predicted_ns.iter().zip(&b.predicted_ns) {
            // To the same in the logarithm; they are cut to whole ns.
            let apart = a.abs_diff(*b) as f64;
            assert!(apart <= 2.0 + 2e-4 * *b as f64, "{a} and {b} ns");
        }
    }
    assert!(compared > 2_000, "{compared}");
}

#[test]
fn a_switch_behind_a_gap_is_a_gap_and_not_broken() {
    let mut events = trace(8, 300);
    // Everything of a stretch is lost, so that the next switch comes from a task that was not known to run.
    let (from, to) = (200, 240);
    let gap = Event {
        body: Body::Gap { lost: 40 },
        ..events[to].clone()
    };
    events.splice(from..to, [gap]);
    let collected = run(&mut oracle(Learning::Off), &events);
    assert_eq!(collected.unscored, [Unscored::First, Unscored::Gap]);
}
