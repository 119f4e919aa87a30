//! The kernel's arithmetic of weighted time, bit for bit, because a guess that is off by one costs as
//! much as a bad one.

/// Weight of a nice-0 entity, unscaled (`NICE_0_LOAD` before `scale_load`).
const NICE_0: u64 = 1024;
/// `SCHED_FIXEDPOINT_SHIFT`: what `load.weight` is scaled up by on 64 bit.
const SCALE: u32 = 10;

/// ns of wall time as ns of virtual time of an entity with this `load.weight`: `calc_delta_fair` and
/// the `__calc_delta` below it.
/// <https://github.com/torvalds/linux/blob/v6.18/kernel/sched/fair.c>
pub fn virtual_ns(ns: u64, weight: u32) -> u64 {
    if u64::from(weight) == NICE_0 << SCALE {
        return ns;
    }
    // `__update_inv_weight`; WMULT_CONST is ~0U.
    let inverse = match weight >> SCALE {
        0 => u32::MAX,
        weight => u32::MAX / weight,
    };
    let mut factor = NICE_0 * u64::from(inverse);
    let mut shift = 32;
    let high = (factor >> 32) as u32;
    if high != 0 {
        let bits = u32::BITS - high.leading_zeros();
        shift -= bits;
        factor >>= bits;
    }
    ((u128::from(ns) * u128::from(factor as u32)) >> shift) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nice_0_runs_in_real_time() {
        for ns in [0, 1, 12_345, u64::MAX] {
            assert_eq!(virtual_ns(ns, 1024 << 10), ns);
        }
    }

    /// Expected values: the same steps in C, with the types that the kernel uses.
    #[test]
    fn other_weights_give_the_kernels_numbers() {
        // (ns, weight >> 10, virtual ns)
        for (ns, weight, want) in [
            (1_000_000, 335, 3_056_716),
            (1_000_000, 3121, 328_099),
            (2_800_000, 15, 191_146_666),
            (123_457, 88761, 1_424),
            (4_000_000, 2, 2_047_999_999),
            (4_000_000, 1023, 4_003_910),
        ] {
            assert_eq!(
                virtual_ns(ns, weight << 10),
                want,
                "{ns} ns at weight {weight}"
            );
        }
    }

    #[test]
    fn hostile_weights_do_no_harm() {
        for weight in [0, 1, 1023, u32::MAX] {
            for ns in [0, u64::MAX] {
                virtual_ns(ns, weight);
            }
        }
    }
}
