//! Sequences of switches of one CPU, to be compared one by one.

use kernoracle::trace::event::{Body, Event};

/// Who left or entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    pub pid: u32,
    pub comm: String,
    pub prio: i32,
}

/// In what state the task left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Preempted,
    Runnable,
    Sleeps,
}

/// A switch. Two observers of one take its time at slightly different moments.
#[derive(Clone, Debug)]
pub struct Switch {
    pub ts_ns: u64,
    pub prev: Who,
    pub state: State,
    pub next: Who,
}

impl Switch {
    /// The same switch, but for its time.
    fn is(&self, other: &Self) -> bool {
        self.prev == other.prev && self.state == other.state && self.next == other.next
    }
}

/// The switches among the events of `cpu`.
pub fn of_events(events: &[Event], cpu: u32) -> Vec<Switch> {
    let who = |task: &kernoracle::trace::event::Task| Who {
        pid: task.pid,
        comm: task.comm.to_string(),
        prio: task.prio.into(),
    };
    events
        .iter()
        .filter(|event| event.cpu == cpu)
        .filter_map(|event| match &event.body {
            Body::Switch(switch) => Some(Switch {
                ts_ns: event.ts_ns,
                prev: who(&switch.prev),
                state: match (switch.preempt, switch.prev_state) {
                    (true, _) => State::Preempted,
                    (false, 0) => State::Runnable,
                    (false, _) => State::Sleeps,
                },
                next: who(&switch.next),
            }),
            _ => None,
        })
        .collect()
}

/// Leaves out tasks: X -> left out -> Y becomes X -> Y, or nothing if X = Y. What was left out before the
/// first other task shows nothing.
pub fn without(switches: Vec<Switch>, left_out: impl Fn(&Who) -> bool) -> Vec<Switch> {
    let mut kept = Vec::new();
    let mut displaced: Option<Switch> = None;
    for switch in switches {
        match (left_out(&switch.prev), left_out(&switch.next)) {
            (false, false) => kept.push(switch),
            (false, true) => displaced = Some(switch),
            (true, true) => {}
            (true, false) => {
                if let Some(before) = displaced.take()
                    && before.prev.pid != switch.next.pid
                {
                    kept.push(Switch {
                        prev: before.prev,
                        state: before.state,
                        ..switch
                    });
                }
            }
        }
    }
    kept
}

/// Every switch of `ours`, from the first to the last, is in `reference`, in the same order and with
/// nothing between.
///
/// # Panics
///
/// At the first that is not.
pub fn assert_same(ours: &[Switch], reference: &[Switch]) {
    let (Some(first), Some(last)) = (ours.first(), ours.last()) else {
        panic!("no switches");
    };
    let spanned = reference.first().is_some_and(|it| it.ts_ns < first.ts_ns)
        && reference.last().is_some_and(|it| it.ts_ns > last.ts_ns);
    assert!(spanned, "the reference begins before and ends after");
    let start = (0..reference.len())
        .filter(|&at| reference[at].is(first))
        .min_by_key(|&at| reference[at].ts_ns.abs_diff(first.ts_ns))
        .unwrap_or_else(|| panic!("the reference lacks {first:#?}"));
    for (at, ours_here) in ours.iter().enumerate() {
        let there = reference.get(start + at);
        if there.is_some_and(|there| there.is(ours_here)) {
            continue;
        }
        let around = at.saturating_sub(3);
        let show = |switches: &[Switch], from: usize| {
            let to = switches.len().min(from + 7);
            let lines: Vec<String> = switches[from.min(to)..to].iter().map(line).collect();
            lines.join("\n  ")
        };
        panic!(
            "switch {at} of {} differs; ours:\n  {}\nreference:\n  {}",
            ours.len(),
            show(ours, around),
            show(reference, start + around)
        );
    }
}

fn line(switch: &Switch) -> String {
    let Switch {
        ts_ns,
        prev,
        state,
        next,
    } = switch;
    format!(
        "{ts_ns} {}/{} ({}, {state:?}) -> {}/{} ({})",
        prev.comm, prev.pid, prev.prio, next.comm, next.pid, next.prio
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(pids: &[u32]) -> Vec<Switch> {
        let who = |pid: u32| Who {
            pid,
            comm: format!("task {pid}"),
            prio: 120,
        };
        pids.windows(2)
            .zip(1..)
            .map(|(pair, ts_ns)| Switch {
                ts_ns,
                prev: who(pair[0]),
                state: State::Sleeps,
                next: who(pair[1]),
            })
            .collect()
    }

    fn pairs(switches: &[Switch]) -> Vec<(u32, u32)> {
        switches
            .iter()
            .map(|switch| (switch.prev.pid, switch.next.pid))
            .collect()
    }

    #[test]
    fn left_out_tasks_leave_a_chain() {
        let own = |who: &Who| who.pid >= 90;
        let kept = without(chain(&[90, 1, 2, 91, 90, 3, 90, 3, 4]), own);
        assert_eq!(pairs(&kept), [(1, 2), (2, 3), (3, 4)]);
    }

    #[test]
    fn the_same_is_accepted() {
        let reference = chain(&[1, 2, 3, 1, 2, 4, 5]);
        assert_same(&reference[1..5], &reference);
    }

    #[test]
    #[should_panic(expected = "switch 2 of 3 differs")]
    fn a_missing_switch_is_found() {
        let reference = chain(&[1, 2, 3, 1, 2, 4, 5]);
        let mut ours = reference[1..5].to_vec();
        ours.remove(2);
        assert_same(&ours, &reference);
    }

    #[test]
    #[should_panic(expected = "begins before and ends after")]
    fn a_reference_that_is_too_short_is_found() {
        let reference = chain(&[1, 2, 3]);
        assert_same(&reference, &reference);
    }
}
