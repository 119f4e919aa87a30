//! Where the fields of this kernel's structures are, from its own BTF.
//!
//! rustc emits no CO-RE relocations, and offsets fixed at build time are silently wrong on another
//! kernel. So they are resolved at start and given to the programs as frozen globals.

use super::error::ProbeError;
use crate::trace::origin::Scheduler;
use btf_rs::{Backend, Btf, BtfType, Type};
use kernoracle_common::ABSENT;

/// Where the kernel shows its types.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// The running kernel's types.
pub fn open() -> Result<Btf, ProbeError> {
    // Mapped, it is ready at once; but the file can be mapped from 6.16 on only.
    Btf::from_file_with_backend(BTF_PATH, Backend::Mmap)
        .or_else(|_| Btf::from_file(BTF_PATH))
        .map_err(|error| match error {
            btf_rs::Error::IO(source) => ProbeError::NoBtf {
                path: BTF_PATH,
                source,
            },
            other => ProbeError::BadBtf {
                path: BTF_PATH,
                reason: other.to_string(),
            },
        })
}

/// A field that the programs read.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The global of the eBPF object that takes the offset.
    pub global: &'static str,
    /// For a person.
    pub name: &'static str,
    structure: &'static str,
    /// Where it was over time, the newest first.
    paths: &'static [&'static str],
    /// Bytes that are read; the field may be longer where only its low part matters.
    size: usize,
    pub required: bool,
}

macro_rules! fields {
    ($($need:ident $global:literal = $structure:literal . $name:literal, $size:literal bytes $(, once $once:literal)*;)*) => {
        &[$(Field {
            global: $global,
            name: concat!($structure, ".", $name),
            structure: $structure,
            paths: &[$name $(, $once)*],
            size: $size,
            required: fields!(@ $need),
        }),*]
    };
    (@ needs) => { true };
    (@ takes) => { false };
}

/// Every field.
// `cpu` is in `thread_info` where that is part of the task; kernels for one CPU have none.
// `__state` was called `state`, and a long, before 5.14.
pub const FIELDS: &[Field] = fields! {
    needs "PID" = "task_struct"."pid", 4 bytes;
    needs "TGID" = "task_struct"."tgid", 4 bytes;
    needs "COMM" = "task_struct"."comm", 16 bytes;
    needs "PRIO" = "task_struct"."prio", 4 bytes;
    needs "POLICY" = "task_struct"."policy", 4 bytes;
    needs "FLAGS" = "task_struct"."flags", 4 bytes;
    needs "ON_RQ" = "task_struct"."on_rq", 4 bytes;
    needs "STATE" = "task_struct"."__state", 4 bytes, once "state";
    takes "CPU" = "task_struct"."thread_info.cpu", 4 bytes, once "cpu";
    takes "CPUS_ALLOWED" = "task_struct"."nr_cpus_allowed", 4 bytes;
    takes "CPUS_MASK" = "task_struct"."cpus_mask", 0 bytes;
    takes "ON_CPU" = "task_struct"."on_cpu", 4 bytes;
    needs "SE" = "task_struct"."se", 0 bytes;
    needs "SE_VRUNTIME" = "sched_entity"."vruntime", 8 bytes;
    needs "SE_WEIGHT" = "sched_entity"."load.weight", 8 bytes;
    needs "SE_SUM_EXEC" = "sched_entity"."sum_exec_runtime", 8 bytes;
    takes "SE_DEADLINE" = "sched_entity"."deadline", 8 bytes;
    takes "SE_SLICE" = "sched_entity"."slice", 8 bytes;
    takes "SE_VLAG" = "sched_entity"."vlag", 8 bytes;
    takes "SE_DELAYED" = "sched_entity"."sched_delayed", 1 bytes;
    takes "SE_DEPTH" = "sched_entity"."depth", 4 bytes;
    takes "SE_PARENT" = "sched_entity"."parent", 8 bytes;
    takes "SE_CFS_RQ" = "sched_entity"."cfs_rq", 8 bytes;
    takes "CFS_RQ_RQ" = "cfs_rq"."rq", 8 bytes;
    takes "RQ_CLOCK" = "rq"."clock", 8 bytes;
};

/// The trace points that are used.
pub const TRACEPOINTS: [&str; 9] = [
    "sched_switch",
    "sched_waking",
    "sched_wakeup",
    "sched_wakeup_new",
    "sched_migrate_task",
    "sched_process_fork",
    "sched_process_exec",
    "sched_process_exit",
    "task_rename",
];

/// What the running kernel's BTF says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Offsets in bytes, in the order of [`FIELDS`]; [`ABSENT`] where the kernel lacks one.
    pub offsets: Vec<u32>,
    /// `prev_state` is an argument of `sched_switch` (5.18 and later).
    pub prev_state_arg: bool,
    /// `vlag` shares its place with `vprot`, which the running task uses (6.17 and later).
    pub vlag_shared: bool,
}

impl Layout {
    /// Resolves all fields and looks at the trace points' prototypes.
    pub fn resolve(btf: &Btf) -> Result<Self, ProbeError> {
        // Looked up once: finding a name means a walk over a hundred thousand types.
        let mut structures: Vec<(&str, Option<Type>)> = Vec::new();
        for Field {
            structure: name, ..
        } in FIELDS
        {
            if !structures.iter().any(|(known, _)| known == name) {
                structures.push((name, structure(btf, name)));
            }
        }
        let of = |wanted| {
            let found = structures.iter().find(|(name, _)| *name == wanted)?;
            found.1.as_ref()
        };
        let offsets = FIELDS
            .iter()
            .map(|field| offset(btf, of(field.structure), field))
            .collect::<Result<_, _>>()?;
        let bits = |name| Some(find(btf, of("sched_entity")?, name)?.bits);
        for name in TRACEPOINTS {
            if !has_tracepoint(btf, name) {
                return Err(ProbeError::NoTracepoint { name });
            }
        }
        Ok(Self {
            offsets,
            prev_state_arg: prev_state_arg(btf),
            vlag_shared: bits("vprot").is_some() && bits("vprot") == bits("vlag"),
        })
    }

    /// Whether the kernel has the field of that global.
    pub fn has(&self, global: &str) -> bool {
        FIELDS
            .iter()
            .zip(&self.offsets)
            .any(|(field, &at)| field.global == global && at != ABSENT)
    }

    /// Names of the fields that the kernel lacks.
    pub fn absent(&self) -> Vec<&'static str> {
        let fields = FIELDS.iter().zip(&self.offsets);
        fields
            .filter(|&(_, &at)| at == ABSENT)
            .map(|(field, _)| field.name)
            .collect()
    }

    pub fn scheduler(&self) -> Scheduler {
        if self.has("SE_DEADLINE") {
            Scheduler::Eevdf
        } else {
            Scheduler::Cfs
        }
    }
}

/// A member, counted from the outermost structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    bits: u32,
    bytes: usize,
    bitfield: bool,
}

fn offset(btf: &Btf, of: Option<&Type>, field: &Field) -> Result<u32, ProbeError> {
    let Field {
        global: _,
        name,
        structure: _,
        paths,
        size,
        required,
    } = *field;
    // A bit field cannot be read as a byte: as good as absent.
    let place = paths
        .iter()
        .find_map(|path| find(btf, of?, path))
        .filter(|place| !place.bitfield && place.bits % 8 == 0);
    let Some(place) = place else {
        return if required {
            Err(ProbeError::MissingField { field: name })
        } else {
            Ok(ABSENT)
        };
    };
    let low_part_suffices = cfg!(target_endian = "little") || size == 0;
    if place.bytes != size && !(place.bytes > size && low_part_suffices) {
        return Err(ProbeError::FieldSize {
            field: name,
            found: place.bytes,
            expected: size,
        });
    }
    Ok(place.bits / 8)
}

fn structure(btf: &Btf, name: &str) -> Option<Type> {
    let types = btf.resolve_types_by_name(name).ok()?;
    types.into_iter().find(|t| matches!(t, Type::Struct(_)))
}

/// Follows a dotted path from a structure.
fn find(btf: &Btf, structure: &Type, path: &str) -> Option<Place> {
    let mut current = structure.clone();
    let mut bits = 0;
    let mut bitfield = false;
    for name in path.split('.') {
        let (at, is_bitfield, inner) = member(btf, &current, name)?;
        bits += at;
        bitfield = is_bitfield;
        current = inner;
    }
    Some(Place {
        bits,
        bytes: size_of(btf, &current)?,
        bitfield,
    })
}

/// A member by name, through anonymous structures and unions: bit offset, bit field or not, type.
fn member(btf: &Btf, of: &Type, name: &str) -> Option<(u32, bool, Type)> {
    let (Type::Struct(structure) | Type::Union(structure)) = of else {
        return None;
    };
    structure.members.iter().find_map(|member| {
        let inner = bare(btf, btf.resolve_chained_type(member).ok()?)?;
        let at = member.bit_offset();
        let own_name = btf.resolve_name(member).unwrap_or_default();
        if own_name == name {
            return Some((
                at,
                member.bitfield_size().is_some_and(|bits| bits != 0),
                inner,
            ));
        }
        if !own_name.is_empty() {
            return None;
        }
        let (inner_at, bitfield, found) = self::member(btf, &inner, name)?;
        Some((at + inner_at, bitfield, found))
    })
}

/// The type behind typedefs and qualifiers.
fn bare(btf: &Btf, mut of: Type) -> Option<Type> {
    loop {
        let next: &dyn BtfType = match &of {
            Type::Typedef(inner) => inner,
            Type::Const(inner) | Type::Volatile(inner) | Type::Restrict(inner) => inner,
            Type::TypeTag(inner) => inner,
            _ => return Some(of),
        };
        of = btf.resolve_chained_type(next).ok()?;
    }
}

fn size_of(btf: &Btf, of: &Type) -> Option<usize> {
    match of {
        Type::Int(int) => Some(int.size()),
        Type::Enum(list) => Some(list.size()),
        Type::Enum64(list) => Some(list.size()),
        Type::Struct(inner) | Type::Union(inner) => Some(inner.size()),
        Type::Ptr(_) => Some(8),
        Type::Array(array) => {
            let element = bare(btf, btf.resolve_chained_type(array).ok()?)?;
            Some(array.len() * size_of(btf, &element)?)
        }
        _ => None,
    }
}

pub fn has_tracepoint(btf: &Btf, name: &str) -> bool {
    prototype(btf, name).is_some()
}

/// The parameters of a trace point's probe function: `typedef void (*btf_trace_NAME)(void *, …)`.
fn prototype(btf: &Btf, tracepoint: &str) -> Option<Vec<Type>> {
    let types = btf
        .resolve_types_by_name(&format!("btf_trace_{tracepoint}"))
        .ok()?;
    let typedef = types.into_iter().find(|t| matches!(t, Type::Typedef(_)))?;
    let Type::Ptr(pointer) = bare(btf, typedef)? else {
        return None;
    };
    let Type::FuncProto(proto) = btf.resolve_chained_type(&pointer).ok()? else {
        return None;
    };
    proto
        .parameters
        .iter()
        .map(|p| bare(btf, btf.resolve_chained_type(p).ok()?))
        .collect()
}

/// Whether the fifth parameter, after the data pointer, `preempt`, `prev` and `next`, is an integer.
fn prev_state_arg(btf: &Btf) -> bool {
    prototype(btf, "sched_switch").is_some_and(|parameters| {
        matches!(
            parameters[..],
            [_, _, Type::Ptr(_), Type::Ptr(_), Type::Int(_)]
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_kernel_resolves_when_it_has_btf() {
        let btf = match open() {
            Ok(btf) => btf,
            Err(error) => return println!("skipped: {error}"),
        };
        let layout = Layout::resolve(&btf).unwrap();
        assert_eq!(layout.offsets.len(), FIELDS.len());
        let task = structure(&btf, "task_struct").unwrap();
        let entity = structure(&btf, "sched_entity").unwrap();
        // A task's entity begins with its load.
        assert_eq!(find(&btf, &entity, "load.weight").unwrap().bits, 0);
        assert_eq!(find(&btf, &task, "comm").unwrap().bytes, 16);
        assert_eq!(find(&btf, &task, "no_such_field"), None);
        assert_eq!(structure(&btf, "no_such_struct"), None);
    }
}
