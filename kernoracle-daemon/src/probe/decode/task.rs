//! A task in a record.

use super::{BadRecord, Known, Present, queues::Queues};
use crate::trace::event::{self, Comm, Fair, MAX_PARENTS};
use kernoracle_common::{Card, Entity, Task, card_flags, task_flags};

/// A task and the entities above it. `lagging`: a shared `vlag` is the lag here, not the protected run time.
pub(super) fn task(
    known: &mut Known,
    present: Present,
    task: &Task,
    above: &[u8],
    lagging: bool,
    into: &mut event::Task,
) -> Result<(), BadRecord> {
    let Task {
        pid,
        cpu,
        flags,
        check,
        sum_exec_ns,
        vlag,
        vruntime,
        deadline,
        cfs_rq,
    } = *task;
    let Known { queues, introduced } = known;
    let Card {
        comm,
        pid: _,
        tgid,
        weight,
        slice,
        prio,
        policy,
        depth,
        flags: card,
        idle_cpu: _,
    } = *introduced
        .get(pid, cpu.into(), check)
        .ok_or(BadRecord::Stranger { pid })?;
    // To the last field: what lies there is of another task.
    let event::Task {
        pid: into_pid,
        tgid: into_tgid,
        comm: into_comm,
        prio: into_prio,
        policy: into_policy,
        kthread,
        on_rq,
        fair,
    } = into;
    *into_pid = pid;
    *into_tgid = tgid;
    *into_comm = Comm(comm);
    *into_prio = prio;
    *into_policy = policy;
    *kthread = card & card_flags::KTHREAD != 0;
    *on_rq = flags & task_flags::ON_RQ != 0;
    if card & card_flags::FAIR == 0 {
        *fair = None;
        return Ok(());
    }
    let Fair {
        own,
        sum_exec_ns: into_sum_exec,
        vlag: into_vlag,
        delayed,
        depth: into_depth,
        parents,
    } = fair.get_or_insert_default();
    let entity_of_task = Entity {
        vruntime,
        deadline,
        cfs_rq,
        weight,
        slice,
    };
    entity(queues, present, entity_of_task, own);
    *into_sum_exec = sum_exec_ns;
    *into_vlag = (present.vlag && (lagging || !present.vlag_shared)).then_some(vlag);
    *delayed = present.delayed.then_some(flags & task_flags::DELAYED != 0);
    *into_depth = depth;
    let levels = usize::from(depth).min(MAX_PARENTS);
    let above = above.chunks_exact(size_of::<Entity>()).take(levels);
    parents.truncate(above.len());
    while parents.len() < above.len() {
        parents.push(event::Entity::default());
    }
    for (bytes, into) in above.zip(parents) {
        // SAFETY: the chunk is that long; any bytes are an entity.
        let parent = unsafe { bytes.as_ptr().cast::<Entity>().read_unaligned() };
        entity(queues, present, parent, into);
    }
    Ok(())
}

/// Field by field: an entity that is handed back and copied waits for its own bytes, at a fifth of the time that reading a task takes.
fn entity(queues: &mut Queues, present: Present, entity: Entity, into: &mut event::Entity) {
    let Entity {
        vruntime,
        deadline,
        cfs_rq,
        weight,
        slice,
    } = entity;
    let event::Entity {
        vruntime: into_vruntime,
        deadline: into_deadline,
        slice: into_slice,
        weight: into_weight,
        cfs_rq: into_cfs_rq,
    } = into;
    *into_vruntime = vruntime;
    *into_deadline = present.deadline.then_some(deadline);
    *into_slice = present.slice.then_some(slice);
    *into_weight = weight;
    *into_cfs_rq = queues.id(cfs_rq);
}

/// Zeroes what lies behind the end: the kernel leaves an old name's rest there.
pub(in crate::probe) fn name(mut comm: [u8; 16]) -> [u8; 16] {
    // 15 bytes and a zero: a name that was read while it changed may lack the zero.
    let len = comm
        .iter()
        .take(15)
        .position(|&byte| byte == 0)
        .unwrap_or(15);
    comm[len..].fill(0);
    comm
}
