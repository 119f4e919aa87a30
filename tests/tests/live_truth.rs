//! What is recorded is what happened: switch for switch what perf sees on the same CPU.

use kernoracle_tests::{
    both::{Both, other_cpu},
    live_or_skip, sequence,
};

const CPU: u32 = 0;

#[test]
fn perf_sees_the_same_switches_with_the_recorder_on_another_cpu() {
    let _alone = live_or_skip!(two cpus; "perf");
    let both = Both::record(CPU, other_cpu(), &[]);
    let reference = both.without_own(both.reference.clone());
    sequence::assert_same(&both.ours, &reference);
}

#[test]
fn perf_sees_the_same_switches_with_the_recorder_on_the_same_cpu() {
    let _alone = live_or_skip!("perf");
    let both = Both::record(CPU, CPU, &[]);
    assert!(
        both.from_or_to_own(&both.reference) > 10,
        "the recorder ran among the load"
    );
    assert_eq!(
        both.from_or_to_own(&both.ours),
        0,
        "the recorder is left out"
    );
    let reference = both.without_own(both.reference.clone());
    sequence::assert_same(&both.ours, &reference);
}

#[test]
fn perf_sees_the_same_switches_with_the_recorder_kept() {
    let _alone = live_or_skip!("perf");
    let both = Both::record(CPU, CPU, &["--include-self"]);
    assert!(both.from_or_to_own(&both.ours) > 10, "the recorder is kept");
    sequence::assert_same(&both.ours, &both.reference);
}
