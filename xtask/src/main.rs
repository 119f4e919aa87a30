//! Set-up, build, run, test, virtual machines and bench: everything a person types.
//!
//! `cargo xtask <command>`. Every command is printed before it runs. Exit status: 0 done, 1 a test or a
//! check failed, 2 it could not be carried out (one line says what is missing); `run` hands on the
//! daemon's own.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod build;
mod check;
mod command;
mod docs;
mod paper;
mod picture;
mod run;
mod setup;
mod test;
#[path = "../../kernoracle-ebpf/toolchain.rs"]
mod toolchain;
mod vm;
mod workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about, bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Setup(setup::Args),
    Build(build::Args),
    Run(run::Args),
    Test(test::Args),
    Vm(vm::Args),
    Paper(paper::Args),
    Check(check::Args),
    Docs(docs::Args),
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Setup(args) => setup::main(&args),
        Task::Build(args) => build::main(&args),
        Task::Run(args) => run::main(args),
        Task::Test(args) => test::main(&args),
        Task::Vm(args) => vm::main(args),
        Task::Paper(args) => paper::main(&args),
        Task::Check(args) => check::main(&args),
        Task::Docs(args) => docs::main(&args),
        Task::Bench(bench) => bench::main(&bench),
    };
    done.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::from(2)
    })
}
