//! Figures in lines of JSON, which must add up.

use serde_json::Value;

/// The number at a JSON pointer.
///
/// # Panics
///
/// If there is none.
pub fn count(line: &Value, pointer: &str) -> u64 {
    line.pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("no count {pointer} in {line}"))
}

/// The share at a JSON pointer, 0 to 1.
///
/// # Panics
///
/// If there is none.
pub fn share(line: &Value, pointer: &str) -> f64 {
    line.pointer(pointer)
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("no share {pointer} in {line}"))
}

/// Every switch that was seen is scored or has one of the known reasons why not: `seen = scored + unscored`.
///
/// # Panics
///
/// If that does not add up.
pub fn assert_scores_add_up(scores: &Value) {
    let unscored: u64 = ["first", "gap", "broken", "overload", "budget"]
        .iter()
        .map(|reason| count(scores, &format!("/unscored/{reason}")))
        .sum();
    assert_eq!(
        count(scores, "/seen"),
        count(scores, "/scored") + unscored,
        "{scores}"
    );
}

/// Every switch that the kernel made is accounted for: scored, not scored for a reason, or lost.
///
/// # Panics
///
/// If anything does not add up.
pub fn assert_adds_up(last: &Value) {
    let unscored = last
        .pointer("/scores/unscored")
        .and_then(Value::as_object)
        .expect("reasons");
    let unscored: u64 = unscored
        .values()
        .map(|count| count.as_u64().expect("a count"))
        .sum();
    let seen = count(last, "/scores/seen");
    assert_eq!(
        seen,
        count(last, "/scores/scored") + unscored,
        "seen = scored + unscored: {last}"
    );
    assert_eq!(
        seen,
        count(last, "/scores/at_switch/all/decisions") + unscored,
        "{last}"
    );
    assert_eq!(seen, count(last, "/switches"), "{last}");

    let lost = count(last, "/kernel/lost_events");
    assert_eq!(
        count(last, "/kernel/arrived_events") + lost,
        count(last, "/kernel/produced"),
        "arrived + lost = produced: {last}"
    );
    assert_eq!(
        count(last, "/kernel/dropped"),
        lost,
        "what the kernel side dropped is what was found missing: {last}"
    );
    assert_eq!(count(last, "/scores/lost_events"), lost, "{last}");
    assert_eq!(
        seen + count(last, "/kernel/dropped_switches"),
        count(last, "/kernel/switches") + count(last, "/kernel/passed_by"),
        "seen + dropped = the kernel side's counts: {last}"
    );
    assert_eq!(count(last, "/kernel/recursion_misses"), 0, "{last}");
    assert_eq!(count(last, "/output/lines_shed"), 0, "{last}");
}
