//! What the fair scheduler's records would say of a task that is foretold to run or to wake.
//!
//! The rules are those of kernel/sched/fair.c: `update_curr` (run time, weighted, is added to the vruntime of the task and of the groups above it),
//! `update_deadline` (a used-up slice gets the next deadline), `place_entity` (who wakes is put at the queue's mean less what it was owed when it left).

use crate::runqueue::{RunQueues, Sym, TaskInfo};
use crate::trace::event::{Entity, Fair, Task};

/// `NICE_0_LOAD` on 64 bit.
const NICE_0: u128 = 1 << 20;
const MAX_LEVELS: usize = 8;

/// The record of a task as it stands.
pub fn record(task: &TaskInfo) -> Task {
    Task {
        pid: task.pid,
        tgid: task.tgid,
        comm: task.name,
        prio: task.prio,
        policy: task.policy,
        kthread: task.kthread,
        on_rq: true,
        fair: task.fair.clone(),
    }
}

/// The groups above a task as they were last told.
fn refresh(queues: &RunQueues, fair: &mut Fair) {
    let mut below = fair.own.cfs_rq;
    for parent in &mut fair.parents {
        if let Some(group) = queues.group(below) {
            *parent = *group;
        }
        below = parent.cfs_rq;
    }
}

/// The current task when it has run for `ns`; if it sleeps then, what it is owed and whether it stays queued are settled.
pub fn ran(queues: &RunQueues, cpu: u32, sym: Sym, ns: u64, sleeps: bool) -> Task {
    let mut task = record(queues.task(sym));
    task.on_rq = !sleeps;
    let Some(fair) = &mut task.fair else {
        return task;
    };
    refresh(queues, fair);
    fair.sum_exec_ns += ns;
    for entity in std::iter::once(&mut fair.own).chain(&mut fair.parents) {
        let delta = u128::from(ns) * NICE_0 / u128::from(entity.weight.max(2));
        entity.vruntime = entity.vruntime.wrapping_add(delta as u64);
        let used_up = |deadline: u64| entity.vruntime.wrapping_sub(deadline) as i64 >= 0;
        if entity.deadline.is_some_and(used_up) {
            renew(entity);
        }
    }
    if sleeps && let Some(mean) = mean(queues, cpu, fair.own.cfs_rq, Some(fair.own)) {
        let lag = mean.wrapping_sub(fair.own.vruntime) as i64;
        fair.vlag = fair.vlag.map(|_| lag);
        fair.delayed = fair.delayed.map(|_| lag < 0);
    }
    task
}

/// A sleeper that is woken now.
pub fn woken(queues: &RunQueues, cpu: u32, sym: Sym) -> Task {
    let mut task = record(queues.task(sym));
    let Some(fair) = &mut task.fair else {
        return task;
    };
    refresh(queues, fair);
    if fair.delayed == Some(true) {
        // It never left its queue.
        fair.delayed = Some(false);
        return task;
    }
    let mut queue = fair.own.cfs_rq;
    let busy = place(queues, cpu, &mut fair.own, fair.vlag.unwrap_or(0));
    if !busy {
        for parent in &mut fair.parents {
            let lag = queues.group_lag(queue);
            queue = parent.cfs_rq;
            if place(queues, cpu, parent, lag) {
                break;
            }
        }
    }
    task
}

/// Puts an entity on its queue; `false` if that was empty.
fn place(queues: &RunQueues, cpu: u32, entity: &mut Entity, lag: i64) -> bool {
    let Some(mean) = mean(queues, cpu, entity.cfs_rq, None) else {
        renew(entity);
        return false;
    };
    entity.vruntime = mean.wrapping_sub(lag as u64);
    renew(entity);
    true
}

/// The deadline of a slice that begins now.
fn renew(entity: &mut Entity) {
    if let (Some(_), Some(slice)) = (entity.deadline, entity.slice) {
        let virtual_slice = u128::from(slice) * NICE_0 / u128::from(entity.weight.max(2));
        entity.deadline = Some(entity.vruntime.wrapping_add(virtual_slice as u64));
    }
}

/// `avg_vruntime` of a queue over what waits and what runs; `None` if it holds nothing. With `instead`, that one stands for the current task.
fn mean(queues: &RunQueues, cpu: u32, queue: u32, instead: Option<Entity>) -> Option<u64> {
    let state = queues.cpu_ref(cpu);
    let mut held: Vec<(u32, Entity)> = Vec::new();
    let current = state.current.filter(|_| instead.is_none());
    for sym in state.runnable.iter().copied().chain(current) {
        let task = queues.task(sym);
        let Some(fair) = task.fair.as_ref().filter(|_| task.prio >= 100) else {
            continue;
        };
        if fair.own.cfs_rq == queue {
            held.push((u32::MAX, fair.own));
            continue;
        }
        let mut below = fair.own.cfs_rq;
        for _ in 0..MAX_LEVELS {
            let Some(group) = queues.group(below) else {
                break;
            };
            if group.cfs_rq == queue {
                if held.iter().all(|(id, _)| *id != below) {
                    held.push((below, *group));
                }
                break;
            }
            below = group.cfs_rq;
        }
    }
    held.extend(instead.map(|own| (u32::MAX, own)));
    let base = held.first()?.1.vruntime;
    let (mut weight, mut weighted) = (0_i128, 0_i128);
    for (_, entity) in &held {
        let relative = entity.vruntime.wrapping_sub(base) as i64;
        weight += i128::from(entity.weight);
        weighted += i128::from(entity.weight) * i128::from(relative);
    }
    Some(base.wrapping_add((weighted / weight.max(1)) as u64))
}
