//! `import` and `export` as a person meets them; tables are read back by readers that are not ours.

use kernoracle_tests::{kernoracle, one_line_with, table};
use serde_json::{Value, json};
use std::{fs, path::Path};

const TEXT: &str = "\
     a, \"b\"  10/11 [000] 5.000001000: sched:sched_switch: prev_comm=a, \"b\" prev_pid=11 prev_prio=120 prev_state=S ==> next_comm=swapper/0 next_pid=0 next_prio=120
     swapper  0/0 [000] 5.000003500: sched:sched_switch: prev_comm=swapper/0 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=a, \"b\" next_pid=11 next_prio=120
     a, \"b\"  10/11 [000] 5.000004000: PERF_RECORD_LOST lost 7
     a, \"b\"  10/11 [000] 5.000009000: sched:sched_switch: prev_comm=a, \"b\" prev_pid=11 prev_prio=120 prev_state=R+ ==> next_comm=kworker/0:1-ev next_pid=12 next_prio=100
     kworker/0:1-ev  12/12 [000] 5.000010000: PERF_RECORD_LOST lost 2
";

/// A trace file of three switches, seven lost events between and two behind.
fn trace(directory: &Path) -> std::path::PathBuf {
    let file = directory.join("a.kot");
    let import = kernoracle()
        .args(["import", "-", "-o"])
        .arg(&file)
        .write_stdin(TEXT)
        .assert()
        .success();
    let said = String::from_utf8(import.get_output().stderr.clone()).unwrap();
    assert!(said.contains("events 5 (switches 3), lost 9"), "{said}");
    file
}

fn export(file: &Path, to: &str) -> (Value, std::path::PathBuf) {
    let out = file.with_extension(to);
    let export = kernoracle()
        .arg("export")
        .arg(file)
        .args(["--to", to, "-o"])
        .arg(&out)
        .assert()
        .success();
    let said = String::from_utf8(export.get_output().stderr.clone()).unwrap();
    assert_eq!(
        said,
        "rows 3; lost events 9 in 2 gaps, 2 of them behind their CPU's last row\n"
    );
    (table::polars(&out), out)
}

fn check(table: &Value) {
    let columns = &table["columns"];
    let are = |name: &str, values: Value| assert_eq!(columns[name], values, "{name}");
    are(
        "ts_ns",
        json!([5_000_001_000_u64, 5_000_003_500_u64, 5_000_009_000_u64]),
    );
    are("diff_ns", json!([null, 2500, null]));
    are("lost_before", json!([0, 0, 7]));
    are("prev_comm", json!(["a, \"b\"", "swapper/0", "a, \"b\""]));
    are("prev_tgid", json!([10, 0, 10]));
    are("next_tgid", json!([0, 10, null]));
    are("next_prio", json!([120, 120, 100]));
    are("prev_state", json!(["S", "R", "R"]));
    are("preempted", json!([false, false, true]));
    are("prev_kthread", json!([null, null, null]));
    are("prev_vruntime_ns", json!([null, null, null]));
}

#[test]
fn an_imported_text_is_read_back_from_both_tables() {
    let directory = tempfile::tempdir().unwrap();
    let file = trace(directory.path());
    let (parquet, _) = export(&file, "parquet");
    check(&parquet);
    assert_eq!(parquet["types"]["ts_ns"], "UInt64");
    assert_eq!(parquet["types"]["prev_vlag_ns"], "Int64");
    assert_eq!(parquet["types"]["preempted"], "Boolean");
    let (csv, path) = export(&file, "csv");
    check(&csv);
    let cells = table::python_csv(&path);
    assert_eq!(
        cells["prev_comm"],
        json!(["a, \"b\"", "swapper/0", "a, \"b\""])
    );
    assert_eq!(cells["diff_ns"], json!(["", "2500", ""]));
}

#[test]
fn an_imported_text_is_evaluated() {
    let directory = tempfile::tempdir().unwrap();
    let file = trace(directory.path());
    let output = kernoracle()
        .arg("eval")
        .arg(&file)
        .arg("--json")
        .assert()
        .success();
    let scores: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert!(
        scores.to_string().contains("\"scheduler\":\"unknown\""),
        "{scores}"
    );
    kernoracle().arg("replay").arg(&file).assert().success();
}

#[test]
fn nothing_is_left_of_what_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("bad.txt"), format!("{TEXT}rubbish\n")).unwrap();
    kernoracle()
        .arg("import")
        .arg(at("bad.txt"))
        .arg("--strict")
        .arg("-o")
        .arg(at("a.kot"))
        .assert()
        .code(2)
        .stderr(one_line_with(
            "bad.txt: line 6: not a line of this format: rubbish",
        ));
    kernoracle()
        .arg("export")
        .arg(at("bad.txt"))
        .args(["--to", "csv", "-o"])
        .arg(at("a.csv"))
        .assert()
        .code(2)
        .stderr(one_line_with("not a Kernoracle trace file"));
    kernoracle()
        .args(["import", "none.txt", "-o", "/nowhere/at/all"])
        .assert()
        .code(2)
        .stderr(one_line_with("no directory /nowhere/at"));
    let left: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert_eq!(left, ["bad.txt"]);
}
