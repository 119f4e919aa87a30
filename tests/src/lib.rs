//! What the tests share.

pub mod both;
pub mod capture;
pub mod daemon;
pub mod figures;
pub mod limit;
pub mod live;
pub mod load;
pub mod made;
pub mod perf;
pub mod sequence;
pub mod table;
pub mod trace;

use assert_cmd::Command;
use predicates::Predicate;
use std::path::PathBuf;

/// The binary under test.
///
/// Cargo tells a test only the binaries of its own package; the others lie beside it.
///
/// # Panics
///
/// If it is not built.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let directory = test
        .parent()
        .and_then(|deps| deps.parent())
        .expect("tests lie in deps/");
    let binary = directory.join("kernoracle");
    assert!(
        binary.exists(),
        "{} is not built: cargo build -p kernoracle-daemon",
        binary.display()
    );
    binary
}

/// A call of the binary, without what the caller's environment says about logs.
pub fn kernoracle() -> Command {
    let mut command = Command::new(binary());
    command.env_remove("RUST_LOG").env_remove("JOURNAL_STREAM");
    command
}

/// Standard error is one line, begins with the program's name, and says this.
pub fn one_line_with(says: &str) -> impl Predicate<str> + use<> {
    let says = says.to_owned();
    predicates::function::function(move |text: &str| {
        text.lines().count() == 1 && text.starts_with("kernoracle: ") && text.contains(&says)
    })
}
