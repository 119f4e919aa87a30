//! The command line: one file a subcommand.

mod attach;
mod child;
mod completions;
mod diagnostics;
mod doctor;
mod eval;
mod export;
mod forecast;
mod import;
mod live;
mod log_fields;
mod man;
mod options;
mod record;
mod replay;
mod run;
mod signals;
mod train;
mod train_paper;
mod units;
mod watch;

use clap::{Parser, Subcommand, error::ErrorKind};
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Bad input, bad usage, or a kernel that cannot be traced.
const CANNOT: u8 = 2;

/// Predicts every context switch of the running kernel, and shows whether it was right.
///
/// At each switch of each CPU Kernoracle says which task will run next and for
/// how long the current one will keep the CPU, before it happens. A small LSTM
/// scores the tasks that could be next; it learns while it runs. Beside it run
/// the predictors that it has to beat: what most often followed (order-1), the
/// longest context seen (back-off-8), and the scheduler's own rule (earliest
/// eligible deadline or least vruntime).
///
/// Start with:
///   kernoracle doctor                        what this kernel and user can do
///   kernoracle run --duration 30s            watch it predict, live (as root)
///   kernoracle record -o a.kot -- make -j4   keep a trace
///   kernoracle eval a.kot                    score on it, without root
///   kernoracle train *.kot -o model.safetensors    a model of your own loads
///   kernoracle forecast a.kot -o a.svg       let the model run on by itself
///
/// Exit status: 0; 2 if the input, the arguments or the kernel do not allow it;
/// record gives back the recorded command's.
#[derive(Debug, Parser)]
#[command(
    name = "kernoracle",
    version,
    verbatim_doc_comment,
    max_term_width = 120
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Record(record::Args),
    Replay(replay::Args),
    Eval(eval::Args),
    Train(train::Args),
    Forecast(forecast::Args),
    Import(import::Args),
    Export(export::Args),
    Doctor(doctor::Args),
    #[command(hide = true)]
    Attach(attach::Args),
    Completions(completions::Args),
    LogFields(log_fields::Args),
    Man(man::Args),
}

/// Parses the command line, does what it says, and reports errors in one line.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let result = match cli.command {
        Command::Run(args) => run::execute(args),
        Command::Record(args) => record::execute(&args),
        Command::Replay(args) => replay::execute(args),
        Command::Eval(args) => eval::execute(&args),
        Command::Train(args) => train::execute(&args),
        Command::Attach(args) => attach::execute(&args),
        Command::Forecast(args) => forecast::execute(&args),
        Command::Import(args) => import::execute(&args),
        Command::Export(args) => export::execute(&args),
        Command::Doctor(args) => doctor::execute(&args),
        Command::Completions(args) => completions::execute(&args),
        Command::LogFields(args) => log_fields::execute(&args),
        Command::Man(args) => man::execute(&args),
    };
    result.unwrap_or_else(|error| {
        if broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        say(&chain(&error));
        ExitCode::from(CANNOT)
    })
}

/// One line on standard error.
fn say(message: &str) {
    let line: String = message
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    // Standard error may be closed: there is nobody left to tell.
    _ = writeln!(io::stderr(), "kernoracle: {line}");
}

/// An error with its causes, each said once: some errors name their cause themselves.
fn chain(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !line.contains(&cause) {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&cause);
        }
    }
    line
}

/// `| head` had enough.
fn broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Help goes out as it is; an error is brought into one line.
fn usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            _ = error.print();
            ExitCode::from(CANNOT)
        }
        _ => {
            say(&one_line(&error.to_string()));
            ExitCode::from(CANNOT)
        }
    }
}

/// clap's paragraphs without the usage and its pointer to the help.
fn one_line(message: &str) -> String {
    let parts: Vec<String> = message
        .split("\n\n")
        .filter(|part| !part.starts_with("Usage:") && !part.starts_with("For more information"))
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
        .map(|part| {
            part.strip_prefix("error: ")
                .map_or(part.clone(), str::to_owned)
        })
        .filter(|part| !part.is_empty())
        .collect();
    format!("{}; see --help", parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn causes_are_said_once() {
        let error = anyhow::anyhow!("no space")
            .context("a.kot: no space")
            .context("record");
        assert_eq!(chain(&error), "record: a.kot: no space");
    }

    #[test]
    fn errors_become_one_line() {
        let error = Cli::try_parse_from(["kernoracle", "replay"]).unwrap_err();
        assert_eq!(
            one_line(&error.to_string()),
            "the following required arguments were not provided: <FILE>; see --help"
        );
        let error = Cli::try_parse_from(["kernoracle", "run", "--durtion", "1s"]).unwrap_err();
        let line = one_line(&error.to_string());
        assert!(
            line.starts_with("unexpected argument '--durtion' found; tip: "),
            "{line}"
        );
    }
}
