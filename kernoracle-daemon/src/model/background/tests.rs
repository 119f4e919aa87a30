//! The thread as the reader meets it.

use super::*;
use crate::model::tests::{busy_weights, memory_window};
use crate::priority;
use nix::unistd::Pid;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use std::sync::Barrier;

const A_MOMENT: Duration = Duration::from_millis(5);

fn some_window() -> Window {
    memory_window(&mut ChaCha8Rng::seed_from_u64(1), 16)
}

/// Offers windows until new weights come.
fn learn_once(background: &Background, weights: &mut Arc<Weights>) {
    let window = some_window();
    while !background.take(weights) {
        background.offer(&window);
        thread::sleep(A_MOMENT);
    }
}

#[test]
fn it_takes_windows_and_gives_weights() {
    let start = Arc::new(busy_weights(3));
    let mut background = Background::start(&start, 1, 1.0).expect("it starts");
    let mut weights = Arc::clone(&start);
    for _ in 0..3 {
        let before = Arc::clone(&weights);
        learn_once(&background, &mut weights);
        assert_ne!(*before, *weights);
    }
    // All that it has let go of is with the learner, which frees it.
    while Arc::strong_count(&start) > 1 {
        thread::sleep(A_MOMENT);
    }
    background.stop();
    assert!(background.progress().steps >= 3);
    assert_eq!(background.progress().refused, 0);
}

#[test]
fn waking_does_not_put_off_the_next_step_for_ever() {
    let waking = Duration::from_micros(8);
    for cpu_share in [0.001, 0.02, 0.05, 0.5] {
        let (mut used, mut elapsed) = (Duration::from_millis(20), Duration::ZERO);
        let mut wakes = 0;
        loop {
            let slept = pause(used, cpu_share, elapsed);
            if slept.is_zero() {
                break;
            }
            elapsed += slept + waking;
            used += waking;
            wakes += 1;
            assert!(wakes < 5, "{cpu_share}: no end in sight");
        }
        let share = used.as_secs_f64() / elapsed.as_secs_f64();
        assert!(share <= cpu_share, "{share} of {cpu_share}");
    }
}

#[test]
fn held_it_takes_nothing_and_comes_back() {
    let start = Arc::new(busy_weights(3));
    let background = Background::start(&start, 1, 1.0).expect("it starts");
    background.hold(true);
    assert!(!background.offer(&some_window()));
    assert!(!background.take(&mut Arc::clone(&start)));
    assert_eq!(background.progress().steps, 0);
    background.hold(false);
    learn_once(&background, &mut Arc::clone(&start));
}

#[test]
fn no_step_follows_one_that_a_hold_has_met() {
    let mut weights = Arc::new(busy_weights(3));
    let mut background = Background::start(&weights, 1, 1.0).expect("it starts");
    learn_once(&background, &mut weights);
    background.hold(true);
    let steps = background.progress().steps;
    background.stop();
    let after = background.progress().steps;
    assert!(after <= steps + 1, "{after} behind {steps}");
}

const CALLER: Pid = Pid::from_raw(0);

fn policy(thread: Pid) -> libc::c_int {
    // SAFETY: takes a number; the thread lives.
    unsafe { libc::sched_getscheduler(thread.as_raw()) }
}

#[test]
fn a_step_that_gets_no_cpu_goes_on_with_an_ordinary_priority() {
    let end = Barrier::new(2);
    let (to, from) = mpsc::channel();
    thread::scope(|scope| {
        let learner = scope.spawn(|| {
            if let Err(error) = priority::favour_reader(1) {
                eprintln!("SKIPPED: only root raises priorities ({error})");
                drop(to);
                return;
            }
            let step = Step::new(Scheduling::of_caller());
            thread::scope(|scope| {
                let guard = step.guard(scope).expect("a thread");
                let under_way = guard.begin();
                assert_ne!(policy(CALLER), libc::SCHED_FIFO, "a step has another");
                to.send(nix::unistd::gettid()).expect("somebody waits");
                // It sleeps: no CPU time either.
                end.wait();
                drop(under_way);
            });
            assert_eq!(policy(CALLER), libc::SCHED_FIFO, "the usual one again");
        });
        if let Ok(thread) = from.recv() {
            while policy(thread) != libc::SCHED_OTHER {
                thread::sleep(A_MOMENT);
            }
            end.wait();
        }
        learner.join().expect("it has found what it should");
    });
}
