//! What a text tells of its machine, and what is remembered of it to complete the events.

use super::{
    body::{Parsed, Who},
    head::Head,
    loss::Loss,
};
use crate::trace::event::{Body, Event, Switch, Task, Wake};
use foldhash::HashMap;
use std::collections::BTreeSet;

/// What goes into the origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub kernel: String,
    pub machine: String,
    /// CPUs of the machine, if the text says.
    pub cpus: u32,
    pub clock: String,
    pub command: String,
    /// CPUs with events.
    pub seen: BTreeSet<u32>,
    /// Short names that were given to another task later.
    pub reused_names: u64,
    /// Events that are earlier than the one before them on their CPU.
    pub backwards: u64,
    /// Time of the latest line.
    pub last_ns: u64,
    last_on_cpu: HashMap<u32, u64>,
}

impl Facts {
    /// Notes an event's place.
    pub fn see(&mut self, cpu: u32, ts_ns: u64) {
        self.seen.insert(cpu);
        self.last_ns = ts_ns;
        let last = self.last_on_cpu.entry(cpu).or_default();
        self.backwards += u64::from(ts_ns < *last);
        *last = (*last).max(ts_ns);
    }

    /// The gaps of a loss: where the tool does not say of which CPU, all are in doubt, and the first one
    /// carries the number.
    pub fn gaps(&self, loss: Loss, ts_ns: u64) -> Vec<Event> {
        let Loss { cpu, events } = loss;
        let gap = |cpu, lost| Event {
            ts_ns,
            seq: 0,
            cpu,
            body: Body::Gap { lost },
        };
        match cpu {
            Some(cpu) => vec![gap(cpu, events)],
            None if self.seen.is_empty() => vec![gap(0, events)],
            None => self
                .seen
                .iter()
                .zip([events].into_iter().chain(std::iter::repeat(0)))
                .map(|(&cpu, lost)| gap(cpu, lost))
                .collect(),
        }
    }
}

/// Completes events of perf script and ftrace.
#[derive(Debug, Default)]
pub struct Machine {
    pub facts: Facts,
    /// By pid, where the text has shown it.
    tgids: HashMap<u32, u32>,
    /// What the last switch on each CPU put there.
    current: HashMap<u32, u32>,
}

impl Machine {
    /// `pid` and `tgid` are of the task on the CPU, where the line has them.
    pub fn event(
        &mut self,
        head: &Head<'_>,
        pid: Option<u32>,
        tgid: Option<u32>,
        parsed: Parsed,
    ) -> Event {
        let Head { cpu, ts_ns, .. } = *head;
        if let (Some(pid), Some(tgid)) = (pid, tgid) {
            self.tgids.insert(pid, tgid);
        }
        self.facts.see(cpu, ts_ns);
        let body = match parsed {
            Parsed::Switch {
                prev,
                state,
                preempt,
                next,
            } => {
                self.current.insert(cpu, next.pid);
                Body::Switch(Switch {
                    prev: self.task(prev, state == 0 || preempt),
                    next: self.task(next, true),
                    prev_state: state,
                    preempt,
                    merged: false,
                    hidden_ns: 0,
                })
            }
            Parsed::Wake {
                kind,
                who,
                target_cpu,
            } => Body::Wake(Wake {
                kind,
                waker_pid: self.current.get(&cpu).copied().or(pid).unwrap_or(0),
                target_cpu,
                task: self.task(who, kind != crate::trace::event::WakeKind::Waking),
            }),
            Parsed::Migrate {
                pid,
                from_cpu,
                to_cpu,
            } => Body::Migrate {
                pid,
                from_cpu,
                to_cpu,
            },
            Parsed::Fork {
                pid,
                parent_pid,
                comm,
            } => {
                // The pid may have been another process's.
                self.tgids.remove(&pid);
                Body::Fork {
                    pid,
                    tgid: Task::UNKNOWN_TGID,
                    parent_pid,
                    comm,
                }
            }
            Parsed::Exec { pid, old_pid, comm } => Body::Exec {
                pid,
                tgid: self.tgid(pid),
                old_pid,
                comm,
            },
            Parsed::Exit { pid, comm } => Body::Exit {
                pid,
                tgid: self.tgid(pid),
                comm,
            },
            Parsed::Rename { pid, comm } => Body::Rename {
                pid,
                tgid: self.tgid(pid),
                comm,
            },
        };
        Event {
            ts_ns,
            seq: 0,
            cpu,
            body,
        }
    }

    /// After a loss nobody knows what runs.
    pub fn lose(&mut self, loss: Loss) -> Vec<Event> {
        match loss.cpu {
            Some(cpu) => {
                self.current.remove(&cpu);
            }
            None => self.current.clear(),
        }
        self.facts.gaps(loss, self.facts.last_ns)
    }

    fn tgid(&self, pid: u32) -> u32 {
        self.tgids.get(&pid).copied().unwrap_or(Task::UNKNOWN_TGID)
    }

    fn task(&self, who: Who, on_rq: bool) -> Task {
        let Who { pid, comm, prio } = who;
        Task {
            tgid: self.tgid(pid),
            prio,
            on_rq,
            ..Task::unknown(pid, comm)
        }
    }
}
