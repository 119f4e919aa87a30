//! Fast stand-ins for transcendental functions, with their error bounds tested.

#![expect(
    clippy::inline_always,
    reason = "compiled once for each set of vector instructions, with the function that it is part of"
)]

/// Natural logarithm of a positive number, absolute error below 1e-4 (relative error near 1 is not the aim).
#[inline(always)]
pub const fn ln(x: f32) -> f32 {
    // x = 2^e m with m in [1, 2): ln x = e ln 2 + ln m, and ln m = 2 atanh((m - 1) / (m + 1)).
    let bits = x.to_bits();
    let exponent = (bits >> 23) as i32 - 127;
    let mantissa = f32::from_bits((bits & 0x007f_ffff) | 0x3f80_0000);
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let t2 = t * t;
    let atanh = t * (1.0 + t2 * (1.0 / 3.0 + t2 * (1.0 / 5.0 + t2 * (1.0 / 7.0))));
    exponent as f32 * std::f32::consts::LN_2 + 2.0 * atanh
}

/// Adding and taking away 1.5 * 2^23 rounds to the nearest integer without a call into libm.
const ROUND: f32 = 12_582_912.0;

/// `e^x`, relative error below 2e-6 between -87 and 88; saturates outside.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    // Cody and Waite: the reduced argument keeps its low bits.
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = 1.0
        + r * (1.0
            + r * (0.5
                + r * (0.166_666_67
                    + r * (0.041_666_67 + r * (0.008_333_334 + r * 0.001_388_889)))));
    // The low bits of `rounded` are n as an integer, which so becomes the exponent.
    p * f32::from_bits((rounded.to_bits().wrapping_add(127)) << 23)
}

/// The logistic function.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}

/// [`ln`] of each of some numbers, several at a time.
#[inline(always)]
pub fn lns<const N: usize>(mut x: [f32; N]) -> [f32; N] {
    for x in &mut x {
        *x = ln(*x);
    }
    x
}

/// A duration in ns on a scale on which 1 us, 1 ms and 1 s are about 0.1, 0.7 and 1.4.
pub fn log_time(ns: u64) -> f32 {
    ln(before_log(ns)) * 0.1
}

/// [`log_time`] of each of some durations, several at a time.
#[inline(always)]
pub fn log_times<const N: usize>(ns: [u64; N]) -> [f32; N] {
    lns(ns.map(before_log)).map(|ln| ln * 0.1)
}

fn before_log(ns: u64) -> f32 {
    // Of signed numbers the conversion is one instruction; 2^63 ns are 292 years.
    1.0 + ns.cast_signed().max(0) as f32 * 1e-3
}

/// A count on a scale on which 0, 1, 10 and 100 are about 0, .2, .6 and 1.2.
pub fn log_count(n: usize) -> f32 {
    ln(1.0 + n as f32) / 4.0
}

#[cfg(test)]
mod tests {
    #[test]
    fn close_to_the_library() {
        for i in -8_700..8_800 {
            let x = i as f32 / 100.0;
            let want = f64::from(x).exp();
            assert!(
                (f64::from(super::exp(x)) - want).abs() <= 2e-6 * want,
                "exp({x})"
            );
            assert!((super::tanh(x) - x.tanh()).abs() < 2e-6, "tanh({x})");
        }
        let mut x = 1e-6_f32;
        while x < 1e12 {
            assert!((super::ln(x) - x.ln()).abs() < 1e-4, "ln({x})");
            x *= 1.01;
        }
    }
}
