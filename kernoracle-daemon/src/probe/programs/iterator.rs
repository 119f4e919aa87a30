//! The program that takes the snapshot: user space runs it over all tasks.

use super::{errno, one_line, program};
use crate::probe::error::ProbeError;
use aya::{
    Btf, Ebpf,
    programs::{Iter, Program},
};
use std::io;
use tracing::debug;

/// Name of the iterator program.
const ITERATOR: &str = "iter_task";

/// Loads the task iterator; `None` with the reason if this kernel has none.
pub fn load_iterator(ebpf: &mut Ebpf, btf: &Btf) -> Result<Result<(), String>, ProbeError> {
    let iterator: &mut Iter = iterator(ebpf)?;
    Ok(iterator.load("task", btf).map_err(|error| {
        debug!(program = ITERATOR, %error, "refused");
        one_line(&errno(error))
    }))
}

/// Runs the loaded iterator over all tasks.
pub fn run_iterator(ebpf: &mut Ebpf) -> Result<(), ProbeError> {
    let read = |source: io::Error| ProbeError::Read {
        what: "the task iterator",
        source,
    };
    let iterator = iterator(ebpf)?;
    let link = iterator
        .attach()
        .and_then(|id| iterator.take_link(id))
        .map_err(|error| read(errno(error)))?;
    let mut file = link
        .into_file()
        .map_err(|error| read(io::Error::other(error)))?;
    // The program writes to the ring, nothing to the file: the read ends at once, when it has run.
    io::copy(&mut file, &mut io::sink()).map_err(read)?;
    Ok(())
}

fn iterator(ebpf: &mut Ebpf) -> Result<&mut Iter, ProbeError> {
    match program(ebpf, ITERATOR)? {
        Program::Iter(iterator) => Ok(iterator),
        _ => Err(ProbeError::Object {
            reason: format!("{ITERATOR} is no iterator"),
        }),
    }
}
