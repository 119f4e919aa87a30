//! For tests: the same function compiled for each set of vector instructions, as `multiversion` does, but each of them at hand.

/// A version gives the same bits as the one that was chosen at run time; the plain one, where another was chosen, may have rounded more
/// often.
pub fn assert_same(name: &str, chosen: &[f32], version: &[f32]) {
    let bits = |numbers: &[f32]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
    if name == "plain" {
        assert_eq!(chosen.len(), version.len(), "{name}");
        for (a, b) in chosen.iter().zip(version) {
            assert!((a - b).abs() <= 1e-4 * (1.0 + a.abs()), "{name}: {a} {b}");
        }
    } else {
        assert_eq!(bits(chosen), bits(version), "{name}");
    }
}

/// The versions of an `inline(always)` function that this machine can run, with their names; the first one keeps to what every machine has,
/// and is of the first function, the others, which may fuse products with sums, are of the second.
///
/// Calling one is unsafe in name only: those that the machine cannot run are not in the list.
macro_rules! versions {
    ($body:expr, $fused:expr, fn($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)?) => {{
        type Version = unsafe fn($($type),*) $(-> $out)?;
        fn plain($($arg: $type),*) $(-> $out)? {
            $body($($arg),*)
        }
        #[allow(unused_mut, reason = "other machines have one version")]
        let mut all: Vec<(&str, Version)> = vec![("plain", plain)];
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,bmi1,bmi2,fma")]
            fn avx2($($arg: $type),*) $(-> $out)? {
                $fused($($arg),*)
            }
            #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,bmi1,bmi2,fma")]
            fn avx512($($arg: $type),*) $(-> $out)? {
                $fused($($arg),*)
            }
            let has_avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("fma");
            if has_avx2 {
                all.push(("avx2", avx2));
            }
            if has_avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
            {
                all.push(("avx512", avx512));
            }
        }
        all
    }};
}
