//! `kernoracle doctor`.

use crate::probe;
use anstyle::{AnsiColor, Style};
use std::{io::Write, process::ExitCode};

const OK: Style = AnsiColor::Green.on_default();
const MISSING: Style = AnsiColor::Red.on_default().bold();

/// Say what this kernel and this user can do
///
/// One line for each thing that Kernoracle uses: `ok`, or `MISSING` with what to
/// do about it. Things marked (optional) only make the capture poorer. Exit
/// status 1 if run could not work.
///
/// Example:
///   sudo kernoracle doctor
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {}

pub(super) fn execute(_args: &Args) -> anyhow::Result<ExitCode> {
    let checks = probe::capabilities();
    let width = checks
        .iter()
        .map(|check| check.name.chars().count())
        .max()
        .unwrap_or(0);
    let mut out = anstream::stdout().lock();
    for check in &checks {
        let (style, word) = if check.ok {
            (OK, "ok")
        } else {
            (MISSING, "MISSING")
        };
        let optional = if check.required { "" } else { " (optional)" };
        writeln!(
            out,
            "{style}{word:<7}{style:#}  {:<width$}  {}{optional}",
            check.name, check.detail
        )?;
        if let Some(remedy) = &check.remedy {
            writeln!(out, "{:<7}  {:<width$}  -> {remedy}", "", "")?;
        }
    }
    let missing = checks
        .iter()
        .filter(|check| check.required && !check.ok)
        .count();
    if missing == 0 {
        writeln!(out, "kernoracle run can work here")?;
        Ok(ExitCode::SUCCESS)
    } else {
        writeln!(
            out,
            "kernoracle run cannot work here: {missing} required missing"
        )?;
        Ok(ExitCode::FAILURE)
    }
}
