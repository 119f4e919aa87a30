//! Whether the counts of evaluations add up.

use super::figures::{Results, count};

/// What is wrong with the counts, one line each: `seen = scored + unscored`, nothing lost, nothing cut off.
pub fn miscounts(online: &Results) -> Vec<String> {
    let mut wrong = Vec::new();
    for result in &online.0 {
        for (at, round) in result.rounds.iter().enumerate() {
            let name = format!("{}, recording {}", result.load.name, at + 1);
            let seen = count(round, "/all/seen");
            let scored = count(round, "/all/scored");
            let unscored: u64 = ["first", "gap", "broken", "overload"]
                .iter()
                .map(|reason| count(round, &format!("/all/unscored/{reason}")))
                .sum();
            if seen == 0 {
                wrong.push(format!("{name}: no switch was seen"));
            }
            if seen != scored + unscored {
                wrong.push(format!(
                    "{name}: seen {seen} is not scored {scored} + unscored {unscored}"
                ));
            }
            let lost = count(round, "/all/lost_events");
            if lost > 0 {
                wrong.push(format!("{name}: {lost} events were lost"));
            }
            if round["trace_lost"].is_object() {
                wrong.push(format!("{name}: the file is cut off or damaged"));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::tests::results;
    use serde_json::json;

    #[test]
    fn counts_that_do_not_add_up_are_told() {
        let mut online = results(&[("redis", &[0.5])], [0.1; 4]);
        assert_eq!(miscounts(&online), [""; 0]);
        let round = &mut online.0[0].rounds[0];
        round["all"]["seen"] = json!(1002);
        round["all"]["lost_events"] = json!(5);
        assert_eq!(
            miscounts(&online),
            [
                "redis, recording 1: seen 1002 is not scored 999 + unscored 2",
                "redis, recording 1: 5 events were lost"
            ]
        );
    }
}
