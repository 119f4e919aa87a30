//! Maps that the programs share with user space.

use super::ProbeError;
use aya::{
    Ebpf,
    maps::{Array, Map, MapData},
};
use kernoracle_common::{Control, PerCpu};
use std::io;

/// A map value that any bytes are.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Pod<T>(pub(super) T);

// SAFETY: repr(C), integers only, no padding.
unsafe impl aya::Pod for Pod<Control> {}
// SAFETY: as above.
unsafe impl aya::Pod for Pod<PerCpu> {}

pub(super) fn set(
    control: &mut Array<MapData, Pod<Control>>,
    value: Control,
) -> Result<(), ProbeError> {
    control
        .set(0, Pod(value), 0)
        .map_err(|error| map_error("CONTROL", error))
}

pub(super) fn take<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, ProbeError>
where
    T: TryFrom<Map, Error = aya::maps::MapError>,
{
    let map = ebpf.take_map(name).ok_or_else(|| ProbeError::Object {
        reason: format!("it has no map {name}"),
    })?;
    T::try_from(map).map_err(|error| map_error(name, error))
}

pub(super) fn map_error(map: &str, error: aya::maps::MapError) -> ProbeError {
    let source = match error {
        aya::maps::MapError::SyscallError(error) => error.io_error,
        aya::maps::MapError::IoError(error) => error,
        other => io::Error::other(other),
    };
    ProbeError::Map {
        map: map.to_owned(),
        source,
    }
}
