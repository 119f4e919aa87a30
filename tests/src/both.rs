//! Our recording and perf's of the same seconds on the same CPU.

use crate::{
    daemon::Daemon,
    live,
    load::Load,
    perf::{Perf, Seen},
    sequence::{self, Switch, Who},
    trace::Trace,
};
use std::collections::HashSet;

/// Switches that a recording must have to say something.
const ENOUGH: usize = 5000;

#[derive(Debug)]
pub struct Both {
    pub ours: Vec<Switch>,
    /// What perf saw.
    pub reference: Vec<Switch>,
    /// The recorder's threads, as perf saw them run.
    pub own: HashSet<u32>,
    pub perf: Perf,
}

impl Both {
    /// Records `cpu` under load, from `recorder_cpu`, beside perf, until there is enough: an emulated CPU needs longer.
    ///
    /// # Panics
    ///
    /// If a recorder fails or loses an event.
    pub fn record(cpu: u32, recorder_cpu: u32, options: &[&str]) -> Self {
        for duration in ["3s", "15s", "60s"] {
            let both = Self::record_for(duration, cpu, recorder_cpu, options);
            println!(
                "{} switches recorded, {} seen by perf, {} from or to the recorder",
                both.ours.len(),
                both.reference.len(),
                both.from_or_to_own(&both.reference)
            );
            if both.ours.len() > ENOUGH {
                return both;
            }
        }
        panic!("the CPU was not busy");
    }

    fn record_for(duration: &str, cpu: u32, recorder_cpu: u32, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("a.kot");
        let (name, cpu_name) = (file.display().to_string(), cpu.to_string());
        let mut load = Load::messaging(cpu);
        let mut perf = Perf::start(cpu, other_cpu());
        let mut arguments = vec!["record", "-o", &name, "--cpu", &cpu_name];
        arguments.extend(["--duration", duration]);
        arguments.extend(options);
        let daemon = Daemon::start(Some(recorder_cpu), &arguments);
        let pid = daemon.pid();
        let ended = daemon.end();
        load.assert_running();
        perf.stop();
        drop(load);

        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        print!("{}", ended.stderr);
        let Seen { switches, lost } = perf.seen();
        assert!(
            lost.iter().all(|line| line.contains(" 0 ")),
            "perf lost events while we traced: {lost:?}"
        );
        let trace = Trace::read(&file);
        assert_eq!(trace.lost, None);
        assert_eq!(
            trace.assert_continuous(),
            0,
            "events lost: {}",
            ended.stderr
        );
        Self {
            ours: sequence::of_events(&trace.events, cpu),
            own: (switches.iter())
                .filter(|sample| sample.prev_tgid == pid)
                .map(|sample| sample.switch.prev.pid)
                .collect(),
            reference: switches.into_iter().map(|sample| sample.switch).collect(),
            perf,
        }
    }

    fn is_own(&self, who: &Who) -> bool {
        self.own.contains(&who.pid)
    }

    /// How many of these switches are from or to the recorder.
    pub fn from_or_to_own(&self, switches: &[Switch]) -> usize {
        let own = |switch: &&Switch| self.is_own(&switch.prev) || self.is_own(&switch.next);
        switches.iter().filter(own).count()
    }

    /// These switches without the recorder.
    pub fn without_own(&self, switches: Vec<Switch>) -> Vec<Switch> {
        sequence::without(switches, |who| self.is_own(who))
    }
}

/// perf's, and the recorder's in tests that keep it from the load. The only one, if there is no other.
pub fn other_cpu() -> u32 {
    u32::from(live::cpus() > 1)
}
