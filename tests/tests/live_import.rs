//! What other tools print of the running kernel is imported, and agrees with our own recording.

use kernoracle::trace::event::{Body, Event};
use kernoracle_tests::{
    both::{Both, other_cpu},
    kernoracle, live_or_skip,
    load::Load,
    sequence::{self, Switch},
    trace::Trace,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

const CPU: u32 = 0;

/// Imports a text in which no line is wrong.
fn import(text: &[u8]) -> Trace {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.kot");
    let import = kernoracle()
        .args(["import", "-", "--strict", "-o"])
        .arg(&file)
        .write_stdin(text)
        .assert()
        .success();
    print!("{}", String::from_utf8_lossy(&import.get_output().stderr));
    let trace = Trace::read(&file);
    assert_eq!(trace.lost, None);
    trace
}

/// Output of a program that must not fail.
fn output(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .expect("the program starts");
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Our recording and an imported perf script of the same seconds are the same, switch for switch.
fn agree(options: &[&str]) {
    let both = Both::record(CPU, other_cpu(), options);
    // As a person calls it: default fields, but all digits of the times.
    let imported = import(both.perf.script(&["--ns"]).as_bytes());
    assert_eq!(imported.assert_continuous(), 0);
    let mut reference = sequence::of_events(&imported.events, CPU);
    assert_eq!(reference.len(), both.reference.len());
    if options.is_empty() {
        reference = both.without_own(reference);
    }
    println!(
        "{} switches recorded, {} imported",
        both.ours.len(),
        reference.len()
    );
    sequence::assert_same(&both.ours, &reference);
}

#[test]
fn perf_script_imported_is_what_we_record() {
    let _alone = live_or_skip!("perf");
    agree(&[]);
}

#[test]
fn perf_script_imported_is_what_we_record_with_ourselves() {
    let _alone = live_or_skip!("perf");
    agree(&["--include-self"]);
}

/// Who entered, in turn.
fn entered(events: &[Event], cpu: u32) -> Vec<u32> {
    let next = |event: &Event| match &event.body {
        Body::Switch(switch) if event.cpu == cpu => Some(switch.next.pid),
        _ => None,
    };
    events.iter().filter_map(next).collect()
}

#[test]
fn perf_sched_map_names_the_tasks_of_perf_script() {
    let _alone = live_or_skip!("perf", "hackbench");
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("perf.data").display().to_string();
    output(
        "perf",
        &[
            "sched",
            "record",
            "-k",
            "CLOCK_MONOTONIC",
            "-m",
            "16M",
            "-o",
            &data,
            "--",
            "hackbench",
            "-p",
            "-g",
            "1",
            "-f",
            "2",
            "-l",
            "10000",
        ],
    );
    let script = import(&output("perf", &["script", "--header", "-i", &data]));
    assert!(
        script.origin.kernel.starts_with(char::is_numeric),
        "{:?}",
        script.origin
    );
    for compact in [&[][..], &["--compact"]] {
        let mut arguments = vec!["sched", "map", "-i", &data];
        arguments.extend(compact);
        let map = import(&output("perf", &arguments));
        for cpu in 0..script.origin.cpus {
            let mut expected = entered(&script.events, cpu);
            // A task that enters twice: some kernels do not report every switch (perf script has neither), and a row of
            // the map in which nothing changes is no switch.
            expected.dedup();
            let mapped = entered(&map.events, cpu);
            // What was there before the first row, the map does not say; it is no switch then.
            assert_eq!(mapped, expected.get(1..).unwrap_or_default(), "CPU {cpu}");
        }
    }
    // On whichever CPU it ran.
    let all = (0..script.origin.cpus).map(|cpu| entered(&script.events, cpu).len());
    assert!(all.sum::<usize>() > 100);
}

/// A buffer of ftrace of its own, removed when dropped.
struct Instance(PathBuf);

impl Instance {
    fn record() -> Self {
        let directory = Path::new("/sys/kernel/tracing/instances")
            .join(format!("kernoracle-test-{}", std::process::id()));
        fs::create_dir(&directory).expect("an instance of ftrace");
        let instance = Self(directory);
        instance.set("trace_clock", "mono");
        for event in [
            "sched_switch",
            "sched_waking",
            "sched_wakeup",
            "sched_wakeup_new",
            "sched_migrate_task",
            "sched_process_fork",
            "sched_process_exec",
            "sched_process_exit",
        ] {
            instance.set(&format!("events/sched/{event}/enable"), "1");
        }
        instance
    }

    fn set(&self, file: &str, value: &str) {
        fs::write(self.0.join(file), value).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // `trace-cmd extract` takes it away too.
        if self.0.exists()
            && let Err(error) = fs::remove_dir(&self.0)
        {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}

#[test]
fn ftrace_and_trace_cmd_tell_the_same() {
    let _alone = live_or_skip!("trace-cmd", "hackbench");
    if !Path::new("/sys/kernel/tracing/instances").is_dir() {
        println!("SKIPPED: no tracefs at /sys/kernel/tracing");
        return;
    }
    let instance = Instance::record();
    let load = Load::small(CPU);
    thread::sleep(Duration::from_millis(300));
    drop(load);
    instance.set("tracing_on", "0");
    let text = fs::read(instance.0.join("trace")).unwrap();
    let ftrace = import(&text);
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("trace.dat").display().to_string();
    let name = instance.0.file_name().unwrap().to_str().unwrap();
    // Not `record`: it writes a sysctl that some machines keep from root.
    output("trace-cmd", &["extract", "-B", name, "-o", &data]);
    let report = import(&output("trace-cmd", &["report", "-i", &data]));
    for cpu in 0..2 {
        let (ours, theirs) = (
            sequence::of_events(&ftrace.events, cpu),
            sequence::of_events(&report.events, cpu),
        );
        // Where they differ in number, this shows at which end.
        let span = |switches: &[Switch]| {
            let ends = [switches.first(), switches.last()];
            let times = ends.map(|switch| switch.map(|switch| switch.ts_ns));
            (switches.len(), times)
        };
        println!(
            "CPU {cpu}: number, first and last of the switches {:?}, by trace-cmd {:?}",
            span(&ours),
            span(&theirs)
        );
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(
                (&ours.prev, &ours.next, ours.ts_ns),
                (&theirs.prev, &theirs.next, theirs.ts_ns)
            );
        }
    }
    assert!(entered(&ftrace.events, CPU).len() > 100);
}
