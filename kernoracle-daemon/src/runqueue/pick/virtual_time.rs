//! Time as entities of different weight count it.

use crate::trace::event::Entity;

/// `NICE_0_LOAD` on 64 bit.
pub(super) const NICE_0: u32 = 1 << 20;

/// `calc_delta_fair`: run time in ns as an entity of this weight counts it.
pub(super) fn virtual_time(ns: u64, weight: u32) -> u64 {
    match ns.checked_mul(u64::from(NICE_0)) {
        _ if weight == NICE_0 => ns,
        Some(product) => product / u64::from(weight),
        None => (u128::from(ns) * u128::from(NICE_0) / u128::from(weight)) as u64,
    }
}

/// `update_deadline`: once the slice is used up, the next one's deadline is `vruntime + slice / weight`.
pub(super) fn renew(entity: &mut Entity) {
    let (Some(deadline), Some(slice)) = (entity.deadline, entity.slice) else {
        return;
    };
    if (entity.vruntime.wrapping_sub(deadline) as i64) < 0 {
        return;
    }
    let scaled = virtual_time(u64::from(slice), entity.weight.max(2));
    entity.deadline = Some(entity.vruntime.wrapping_add(scaled));
}
