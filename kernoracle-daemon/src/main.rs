//! `kernoracle`: see `kernoracle --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    kernoracle::budget::mark_start();
    // candle's pool makes a small forward step five times slower, and its threads would be traced.
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", "1") };
    kernoracle::cli::main()
}
