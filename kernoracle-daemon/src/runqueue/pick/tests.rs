use super::*;
use crate::runqueue::Status;
use crate::trace::event::{Body, Comm, Event, Fair, Switch, Task, Wake, WakeKind};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const MS: u64 = 1_000_000;
const ROOT: u32 = 100;

fn entity(cfs_rq: u32, deadlines: bool) -> impl Strategy<Value = Entity> {
    let weight = select(vec![1024 << 10, 335 << 10, 3121 << 10]);
    (0..8 * MS, 0..6 * MS, weight).prop_map(move |(vruntime, ahead, weight)| Entity {
        vruntime,
        deadline: deadlines.then_some(vruntime + ahead),
        slice: deadlines.then_some(3_000_000),
        weight,
        cfs_rq,
    })
}

/// A task in the root group, in group 1 of it, or in group 2 of that; some are real-time tasks.
fn task(deadlines: bool) -> impl Strategy<Value = Task> {
    let place = select(vec![vec![ROOT], vec![1, ROOT], vec![2, 1, ROOT]]);
    let entities = place.prop_flat_map(move |queues| {
        queues
            .into_iter()
            .map(|queue| entity(queue, deadlines))
            .collect::<Vec<_>>()
    });
    let kind = select(vec![120, 120, 120, 120, 120, 50]);
    let sleeps = (any::<bool>(), -3_000_000..3_000_000_i64);
    (1..5_u32, kind, entities, sleeps).prop_map(move |(pid, prio, entities, (delayed, vlag))| {
        Task {
            pid,
            tgid: pid,
            comm: Comm::new("t"),
            prio,
            fair: (prio >= 100).then(|| Fair {
                own: entities[0],
                vlag: deadlines.then_some(vlag),
                delayed: deadlines.then_some(delayed),
                depth: entities.len() as u8 - 1,
                parents: entities[1..].iter().copied().collect(),
                ..Fair::default()
            }),
            ..Task::default()
        }
    })
}

fn idle() -> Task {
    Task {
        prio: 140,
        comm: Comm::new("swapper/0"),
        ..Task::default()
    }
}

/// A wake-up, or a switch from whoever runs to that task or to the idle one.
#[derive(Clone, Debug)]
enum Step {
    Wake(Task),
    Switch {
        prev: Task,
        sleeps: bool,
        next: Option<Box<Task>>,
    },
}

fn step(deadlines: bool) -> impl Strategy<Value = Step> {
    let switch = (
        task(deadlines),
        any::<bool>(),
        proptest::option::weighted(0.7, task(deadlines).prop_map(Box::new)),
    )
        .prop_map(|(prev, sleeps, next)| Step::Switch { prev, sleeps, next });
    prop_oneof![task(deadlines).prop_map(Step::Wake), switch]
}

fn take(queues: &mut RunQueues, ts_ns: u64, step: Step) {
    match step {
        Step::Wake(task) => {
            let body = Body::Wake(Wake {
                kind: WakeKind::Wakeup,
                waker_pid: 0,
                target_cpu: 0,
                task,
            });
            queues.apply(&Event {
                ts_ns,
                seq: 0,
                cpu: 0,
                body,
            });
        }
        Step::Switch { prev, sleeps, next } => {
            let current = queues.cpu_ref(0).current;
            let pid = current.map_or(0, |current| queues.task(current).pid);
            let prev = if pid == 0 {
                idle()
            } else {
                Task {
                    pid,
                    tgid: pid,
                    ..prev
                }
            };
            let next = next.filter(|next| next.pid != pid);
            let next = next.map_or_else(idle, |next| *next);
            let switch = Switch {
                prev,
                next,
                prev_state: u32::from(sleeps),
                preempt: false,
                merged: false,
                hidden_ns: 0,
            };
            queues.switch(ts_ns, 0, &switch);
        }
    }
}

/// All that a picker is asked: what waits in front, the picks, whether each sleeper would win, and what is picked if all of them wake.
type Answers = (Vec<Standing>, Picks, Vec<bool>, Option<Sym>);

fn ask(
    picker: &mut Picker,
    queues: &RunQueues,
    run: &Expected,
    waiting: Waiting,
    short: bool,
) -> Answers {
    let (listed, picks) = picker.rank_among(queues, 0, run, waiting, short);
    let listed = listed.to_vec();
    let known = (1..5).filter_map(|pid| queues.by_pid(0, pid));
    let sleepers: Vec<Sym> = known
        .filter(|&sym| queues.task(sym).status == Status::Sleeping)
        .collect();
    let wins = sleepers.iter().map(|&sym| picker.would_win(queues, 0, sym));
    let wins = wins.collect();
    (listed, picks, wins, picker.if_woken(queues, 0, &sleepers))
}

proptest! {
    /// Where there is no choice, the short way gives what the long one does.
    #[test]
    fn short_ways_lead_to_the_same_answers(
        steps in any::<bool>().prop_flat_map(|deadlines| vec(step(deadlines), 1..40)),
        run_ns in [0..4 * MS, 0..4 * MS, 0..4 * MS],
        elapsed_ns in 0..2 * MS,
    ) {
        let mut queues = RunQueues::new();
        queues.cpu(0);
        let (mut short, mut long) = (Picker::default(), Picker::default());
        let run = Expected { run_ns, elapsed_ns };
        for (ts_ns, step) in steps.into_iter().enumerate() {
            take(&mut queues, ts_ns as u64 + 1, step);
            let waiting = Waiting::of(&queues, 0);
            let cpu = queues.cpu_ref(0);
            let fair = cpu.runnable.iter().map(|&sym| queues.task(sym));
            let fair = fair.filter(|task| task.prio >= 100 && task.fair.is_some());
            prop_assert_eq!(waiting, match fair.count() { 0 => Waiting::Nobody, 1 => Waiting::One, _ => Waiting::More });
            let shortly = ask(&mut short, &queues, &run, waiting, true);
            let at_length = ask(&mut long, &queues, &run, Waiting::More, false);
            prop_assert_eq!(shortly, at_length, "{:?} wait", waiting);
        }
    }
}
