//! `cargo xtask vm`: a virtual machine with one CPU, a stock Debian kernel, and the daemon.
//!
//! Kernel and packages come through apt and are unpacked below `target/vm/`, never installed here. The disk that a guest
//! sees is a throw-away view of one image: no run changes it, however it ends.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{IsTerminal as _, stdin, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Subcommand;

use crate::{
    build,
    setup::{self, Purpose},
    workspace::Workspace,
};

use self::{
    accel::Accel,
    cache::Cache,
    machine::{Job, Machine, Runs, default_results},
    qemu::Size,
    share::Share,
};

mod accel;
mod cache;
mod child;
mod console;
mod cpio;
mod demo;
mod initramfs;
mod kernel;
mod machine;
mod matrix;
mod modules;
pub mod observer;
mod output;
mod qemu;
mod results;
mod root;
mod share;
mod sums;
mod tee;
mod terminal;
mod tests;

/// Boot a virtual machine with one CPU and run a command in it, or a shell
///
/// The guest has a stock Debian kernel and a small root file system of this machine's own Debian release, with nginx, ab,
/// hackbench, sysbench, stress-ng, perf and trace-cmd. `kernoracle` in it is this tree's, built with --release. The command
/// runs as root in the directory /results; what it leaves there comes back to this machine. Exit status is the command's;
/// Ctrl-C reaches it, and a second one ends the machine. Without a command there is a shell.
///
/// Examples:
///   cargo xtask vm -- kernoracle run --duration 30s
///   cargo xtask vm --kernel 6.12 -- kernoracle doctor
///   cargo xtask vm -- sh -c 'kernoracle record -o a.kot -- hackbench -p -l 1000'
#[derive(clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    task: Option<Task>,

    #[command(flatten)]
    options: Options,

    /// Take a file or a directory along: /host/NAME in the guest
    #[arg(long, value_name = "PATH")]
    with: Vec<PathBuf>,

    /// Where the files go that the command leaves in /results [default: target/vm/results]
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,

    /// What to run in the guest, after `--`
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Subcommand)]
enum Task {
    /// The kernels that apt offers
    Kernels,
    Demo(demo::Args),
    Matrix(matrix::Args),
    Observer(observer::Args),
}

/// The machine.
#[derive(clap::Args)]
pub struct Options {
    /// A series, the beginning of a release, or a whole one; `vm kernels` lists them
    #[arg(long, value_name = "VERSION", default_value = "6.1")]
    kernel: String,

    #[command(flatten)]
    hardware: Hardware,
}

#[derive(clap::Args)]
struct Hardware {
    /// KVM or emulation [default: KVM if a guest comes up under it]
    #[arg(long, value_enum)]
    accel: Option<Accel>,

    /// Memory, in MiB
    #[arg(long, value_name = "MIB", default_value_t = MEMORY_MIB, value_parser = clap::value_parser!(u32).range(256..))]
    memory: u32,

    /// CPUs; everything here is made for one, and what a machine with more shows is what its kernel's programs do
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: u32,

    /// Take the kernoracle that the tests run (the dev profile) instead of a release build
    #[arg(long)]
    debug: bool,

    /// Take this kernoracle, and build none
    #[arg(long, value_name = "FILE", conflicts_with = "debug")]
    binary: Option<PathBuf>,
}

pub fn main(args: Args) -> Result<ExitCode> {
    match args.task {
        Some(Task::Kernels) => kernels(),
        Some(Task::Demo(args)) => demo::main(args),
        Some(Task::Matrix(args)) => matrix::main(&args),
        Some(Task::Observer(args)) => observer::main(&args),
        None => run(args),
    }
}

/// `vm matrix` on 6.1 as part of the tests. Returns whether all is well there.
pub fn quick_matrix() -> Result<bool> {
    let code = matrix::main(&matrix::Args::for_tests())?;
    Ok(code == ExitCode::SUCCESS)
}

fn kernels() -> Result<ExitCode> {
    for release in kernel::offered()? {
        println!("{release}");
    }
    Ok(ExitCode::SUCCESS)
}

fn run(args: Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let shell = args.command.is_empty();
    if shell && !(stdin().is_terminal() && stdout().is_terminal()) {
        bail!("a shell needs a terminal; to run a command: cargo xtask vm -- COMMAND");
    }
    let machine = args
        .options
        .hardware
        .boot(&workspace, &args.options.kernel)?;
    let share = machine.share()?;
    share.program(&args.options.hardware.binary(&workspace), "bin/kernoracle")?;
    for path in &args.with {
        let name = path
            .file_name()
            .with_context(|| format!("--with {}: it has no name", path.display()))?;
        ensure!(
            path.exists(),
            "--with {}: there is no such file",
            path.display()
        );
        share.copy(path, &name.to_string_lossy())?;
    }
    let results = args
        .results
        .unwrap_or_else(|| default_results(&workspace.target));
    if shell {
        eprintln!(
            "vm: `exit` ends it; what lies in /results then goes to {}",
            results.display()
        );
    }
    let ended = machine.run(Job {
        share,
        command: if shell {
            Runs::Shell
        } else {
            Runs::Command(args.command)
        },
        environment: environment(),
        stdout: output::inherited(false),
        stderr: output::inherited(true),
        limit: None,
        results: results.clone(),
    })?;
    say_files(&results, &ended.files);
    Ok(ExitCode::from(ended.status))
}

const MEMORY_MIB: u32 = 2048;

impl Hardware {
    fn default_debug() -> Self {
        Self {
            accel: None,
            memory: MEMORY_MIB,
            cpus: 1,
            debug: true,
            binary: None,
        }
    }

    /// All that is needed is there, and `kernoracle` is built.
    fn boot(&self, workspace: &Workspace, kernel: &str) -> Result<Machine> {
        self.build(workspace)?;
        setup::ensure_vm()?;
        self.machine(workspace, kernel)
    }

    fn build(&self, workspace: &Workspace) -> Result<()> {
        if self.binary.is_some() {
            return Ok(());
        }
        setup::ensure(workspace, Purpose::Build)?;
        build::daemon(workspace, !self.debug)
    }

    fn machine(&self, workspace: &Workspace, kernel: &str) -> Result<Machine> {
        let cache = Cache::at(&workspace.target)?;
        let size = Size {
            cpus: self.cpus,
            memory_mib: self.memory,
        };
        Machine::get(&cache, kernel, self.accel, size)
    }

    fn binary(&self, workspace: &Workspace) -> PathBuf {
        if let Some(binary) = &self.binary {
            return binary.clone();
        }
        workspace
            .target
            .join(if self.debug { "debug" } else { "release" })
            .join("kernoracle")
    }
}

impl Options {
    /// `kernoracle`, built for this machine as for the guest.
    pub fn built(&self, workspace: &Workspace) -> Result<PathBuf> {
        self.hardware.build(workspace)?;
        Ok(self.hardware.binary(workspace))
    }
}

/// Records the paper's load into `work`: `paper.kot`, and beside perf `both.kot` and `perf-script.txt`. The `kernoracle` that did.
pub fn record_paper(
    options: &Options,
    workspace: &Workspace,
    durations: &[String],
    work: &Path,
) -> Result<PathBuf> {
    let machine = options.hardware.boot(workspace, &options.kernel)?;
    let binary = options.hardware.binary(workspace);
    let share = machine.share()?;
    share.program(&binary, "bin/kernoracle")?;
    put_scripts(&share, workspace)?;
    let mut command: Vec<OsString> = vec!["/host/paper".into()];
    command.extend(durations.iter().map(Into::into));
    let ended = machine.run(Job {
        share,
        command: Runs::Command(command),
        environment: environment(),
        stdout: output::inherited(true),
        stderr: output::inherited(true),
        limit: None,
        results: work.to_owned(),
    })?;
    ensure!(
        ended.status == 0,
        "the guest's script ended with status {}",
        ended.status
    );
    fs::write(work.join("accel.txt"), machine.accel.name())?;
    Ok(binary)
}

/// The scripts that run in the guest, and the loads that they start.
fn put_scripts(share: &Share, workspace: &Workspace) -> Result<()> {
    share.script("load.sh", include_str!("guest/load.sh"))?;
    share.script("demo", include_str!("guest/demo"))?;
    share.script("matrix", include_str!("guest/matrix"))?;
    share.script("paper", include_str!("guest/paper"))?;
    share.script("observer", include_str!("guest/observer"))?;
    share.copy(&workspace.root.join("xtask/loads"), "loads")
}

/// What programs in the guest should know of the caller's terminal.
fn environment() -> Vec<(String, OsString)> {
    let mut environment: Vec<(String, OsString)> = [
        "RUST_LOG",
        "RUST_BACKTRACE",
        "NO_COLOR",
        "CLICOLOR_FORCE",
        "TERM",
    ]
    .into_iter()
    .filter_map(|key| Some((key.to_owned(), env::var_os(key)?)))
    .collect();
    let given = |key: &str| env::var_os(key).is_some();
    if stdout().is_terminal() {
        // In the guest it is no terminal, but here it is.
        if !given("NO_COLOR") && !given("CLICOLOR_FORCE") {
            environment.push(("CLICOLOR_FORCE".to_owned(), "1".into()));
        }
        if let Some((rows, columns)) = terminal::size() {
            environment.push(("LINES".to_owned(), rows.to_string().into()));
            environment.push(("COLUMNS".to_owned(), columns.to_string().into()));
        }
    }
    environment
}

fn say_files(results: &Path, files: &[String]) {
    if !files.is_empty() {
        eprintln!("vm: in {}: {}", results.display(), files.join(", "));
    }
}
