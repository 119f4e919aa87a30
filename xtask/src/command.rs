//! Commands are printed before they run, in a form that can be pasted into a shell.

use std::{
    borrow::Cow,
    env,
    ffi::OsStr,
    fmt::Write as _,
    io,
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Output},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

/// How often a command with a time limit is looked at.
const POLL: Duration = Duration::from_millis(100);

/// Runs it to its end. Its standard output joins standard error: the daemon's alone may be piped on.
pub fn status(command: &mut Command) -> Result<ExitStatus> {
    announce(command);
    command
        .stdout(io::stderr())
        .status()
        .with_context(|| name(command))
}

/// Runs it to its end; failing is an error.
pub fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    ensure!(status.success(), "{}: {status}", name(command));
    Ok(())
}

/// As [`run`], but killed when it takes longer than `limit`.
pub fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    announce(command);
    let mut child = command
        .stdout(io::stderr())
        .spawn()
        .with_context(|| name(command))?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "{}: {status}", name(command));
            return Ok(());
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            bail!("{}: not done after {} s", name(command), limit.as_secs());
        }
        thread::sleep(POLL);
    }
}

/// Starts it; its standard streams are as the caller set them.
pub fn spawn(command: &mut Command) -> Result<Child> {
    announce(command);
    command.spawn().with_context(|| name(command))
}

/// What it prints and how it ended.
pub fn output(command: &mut Command) -> Result<Output> {
    announce(command);
    quiet_output(command)
}

/// What it prints and how it ended. Not announced: it asks, and changes nothing.
pub fn quiet_output(command: &mut Command) -> Result<Output> {
    command.output().with_context(|| name(command))
}

/// Becomes the command: signals, terminal and exit status are its own from here on.
pub fn exec(command: &mut Command) -> anyhow::Error {
    announce(command);
    anyhow!(command.exec()).context(name(command))
}

/// What it prints on standard output, or `None` if it cannot be run or fails. Not announced: it asks,
/// and changes nothing.
pub fn ask(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        // apt's answers are read: they must not be translated.
        .env("LC_ALL", "C")
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).ok())?
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The command as root: as it is if we are, else through sudo. `env` lists variables to set; those of
/// the caller do not pass sudo.
pub fn as_root(program: &str, env: &[(&str, &str)]) -> Result<Command> {
    if is_root() {
        let mut command = Command::new(program);
        command.envs(env.iter().copied());
        return Ok(command);
    }
    if which::which("sudo").is_err() {
        bail!("{program} has to run as root, and there is no sudo: run this as root");
    }
    let mut command = Command::new("sudo");
    if !env.is_empty() {
        command.arg("env");
        command.args(env.iter().map(|(key, value)| format!("{key}={value}")));
    }
    command.arg(program);
    Ok(command)
}

/// A command that is told to end when this thread does, however that comes: nobody else ends what runs until it is told.
pub fn tied(program: &str) -> Command {
    tie(Command::new("setpriv"), program)
}

/// [`tied`] and [`as_root`]; behind sudo it is not told.
pub fn tied_as_root(program: &str) -> Result<Command> {
    Ok(tie(as_root("setpriv", &[])?, program))
}

fn tie(mut setpriv: Command, program: &str) -> Command {
    setpriv.args(["--pdeathsig", "TERM", program]);
    setpriv
}

fn announce(command: &Command) {
    eprintln!("$ {}", line(command));
}

fn name(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    match command.get_args().next() {
        Some(first) => format!("{program} {}", first.to_string_lossy()),
        None => program.into_owned(),
    }
}

fn line(command: &Command) -> String {
    let mut line = String::new();
    let removed = command
        .get_envs()
        .filter(|(key, value)| value.is_none() && env::var_os(key).is_some());
    for (i, (key, _)) in removed.enumerate() {
        let env = if i == 0 { "env " } else { "" };
        let _ = write!(line, "{env}-u {} ", key.to_string_lossy());
    }
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            let _ = write!(line, "{}={} ", key.to_string_lossy(), quote(value));
        }
    }
    line.push_str(&quote(command.get_program()));
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&quote(arg));
    }
    line
}

pub fn quote(word: &OsStr) -> Cow<'_, str> {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word;
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    #[test]
    fn the_printed_line_can_be_pasted() {
        let mut command = Command::new("cargo");
        command
            .args(["test", "--test", "live_*", "it's"])
            .env("A", "b c")
            .env_remove("PATH");
        assert_eq!(
            line(&command),
            r"env -u PATH A='b c' cargo test --test 'live_*' 'it'\''s'"
        );
    }

    #[test]
    fn a_time_limit_ends_a_command_that_hangs() {
        let error = run_within(Command::new("sleep").arg("1000"), Duration::ZERO).unwrap_err();
        assert_eq!(error.to_string(), "sleep 1000: not done after 0 s");
    }

    #[test]
    fn what_is_tied_ends_with_the_thread_that_began_it() {
        let begin = || {
            let mut child = tied("sleep").arg("1000").spawn().unwrap();
            // Tied once it is no longer setpriv.
            let comm = format!("/proc/{}/comm", child.id());
            while std::fs::read_to_string(&comm).unwrap() != "sleep\n" {
                assert!(child.try_wait().unwrap().is_none());
                thread::sleep(Duration::from_millis(5));
            }
            child
        };
        let mut child = thread::spawn(begin).join().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(15), "{status}");
    }

    #[test]
    fn failing_is_an_error_that_names_the_command() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "sh -c: exit status: 3");
    }
}
