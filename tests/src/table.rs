//! Reads tables back with polars, which shares no code with what writes them.

use crate::binary;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Prints the table as one JSON object: rows, types, columns.
const READ: &str = r#"
import json, sys, polars
path = sys.argv[1]
read = polars.read_parquet if path.endswith(".parquet") else lambda path: polars.read_csv(path, infer_schema_length=None)
table = read(path)
print(json.dumps({"types": {name: str(kind) for name, kind in table.schema.items()}, "columns": table.to_dict(as_series=False)}))
"#;

/// A CSV file read by Python's own parser, all cells as text.
const READ_CSV: &str = r#"
import csv, json, sys
rows = list(csv.reader(open(sys.argv[1], newline="", encoding="utf-8")))
print(json.dumps({name: [row[at] for row in rows[1:]] for at, name in enumerate(rows[0])}))
"#;

/// `types` and `columns` of a table, by the ending of its name.
///
/// # Panics
///
/// If polars refuses it.
pub fn polars(table: &Path) -> Value {
    python(READ, table)
}

/// The columns of a CSV file.
///
/// # Panics
///
/// If Python refuses it.
pub fn python_csv(table: &Path) -> Value {
    python(READ_CSV, table)
}

fn python(script: &str, table: &Path) -> Value {
    let output = Command::new(interpreter())
        .args(["-c", script])
        .arg(table)
        .output()
        .expect("python starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("the script prints JSON")
}

/// Where `cargo xtask setup` puts it: beside the directory of the profile.
fn interpreter() -> PathBuf {
    let python = binary()
        .ancestors()
        .nth(2)
        .expect("the binary is in target/PROFILE")
        .join("polars/bin/python");
    assert!(
        python.exists(),
        "{} is missing: cargo xtask setup",
        python.display()
    );
    python
}
