//! Whether a live test can run here, and that it runs alone.

use std::{
    any::type_name_of_val,
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
};

/// Each test's load would disturb the other's counts. Cargo starts the test programs one after another.
static ALONE: Mutex<()> = Mutex::new(());

/// Held by the live test that runs.
#[must_use = "the next test starts when this is dropped"]
pub struct Alone {
    _guard: MutexGuard<'static, ()>,
}

/// Waits for its turn, or says why this kernel, user or machine cannot run `test` and gives nothing.
///
/// # Panics
///
/// If `kernoracle doctor` contradicts itself.
pub fn ready(test: &str, programs: &[&str]) -> Option<Alone> {
    // The other tests of the program may fail while they hold it; this one is not concerned.
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let missing = programs.iter().find(|program| find(program).is_none());
    let reason = match (doctor(), missing) {
        (Some(reason), _) => reason.clone(),
        (None, Some(program)) => format!("{program} is not installed"),
        (None, None) => return Some(Alone { _guard: guard }),
    };
    println!("SKIPPED {test}: {reason}");
    None
}

/// Whether there is a CPU besides CPU 0; says that `test` is skipped if not.
pub fn second_cpu(test: &str) -> bool {
    let cpus = cpus();
    if cpus < 2 {
        println!("SKIPPED {test}: it needs CPUs 0 and 1, this machine has {cpus}");
    }
    cpus > 1
}

/// CPUs that a test may use.
pub fn cpus() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The name of the function around `here`, as the test runner prints it, behind its program's name.
pub fn name_around<F>(here: &F) -> &'static str {
    let name = type_name_of_val(here);
    name.strip_suffix("::here").unwrap_or(name)
}

/// Goes on with an [`Alone`], or returns from the test with the reason printed.
///
/// Arguments: programs that the test starts; behind `two cpus;` if it needs CPU 1 too.
#[macro_export]
macro_rules! live_or_skip {
    (two cpus; $($program:literal),*) => {{
        fn here() {}
        if !$crate::live::second_cpu($crate::live::name_around(&here)) {
            return;
        }
        $crate::live_or_skip!($($program),*)
    }};
    ($($program:literal),*) => {{
        fn here() {}
        let test = $crate::live::name_around(&here);
        let Some(alone) = $crate::live::ready(test, &[$($program),*]) else {
            return;
        };
        alone
    }};
}

/// What `kernoracle doctor` finds missing; asked once.
fn doctor() -> Option<&'static String> {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    let ask = || {
        let output = crate::kernoracle()
            .arg("doctor")
            .output()
            .expect("the binary starts");
        let text = String::from_utf8_lossy(&output.stdout);
        if output.status.success() {
            return None;
        }
        assert_eq!(
            output.status.code(),
            Some(1),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let missing: Vec<String> = text
            .lines()
            .filter(|line| line.starts_with("MISSING") && !line.ends_with("(optional)"))
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert!(
            !missing.is_empty(),
            "exit status 1 with nothing missing: {text}"
        );
        Some(missing.join("; "))
    };
    MISSING.get_or_init(ask).as_ref()
}

/// `PATH`, and where daemons are installed, which a person's `PATH` often leaves out.
pub fn path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&path())
        .map(|directory: PathBuf| directory.join(program))
        .find(|file: &PathBuf| Path::is_file(file))
}
