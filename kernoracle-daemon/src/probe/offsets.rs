//! Where the fields of this kernel's structures are, from its own BTF.
//!
//! rustc emits no CO-RE relocations, and offsets fixed at build time are silently wrong on another
//! kernel. So they are resolved at start and put into the programs' instructions.

use super::error::ProbeError;
use crate::trace::origin::Scheduler;
use btf_rs::{Backend, Btf, BtfType, Type};
use kernoracle_common::field::{self, COUNT};

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
    /// See [`field::Field`].
    number: u16,
    /// For a person; fields that are there twice, of a task's own entity and of a group's, have the same.
    pub name: &'static str,
    structure: &'static str,
    /// Where it was over time, the newest first.
    paths: &'static [&'static str],
    /// Bytes behind that.
    plus: u32,
    /// Bytes that are read; the field may be longer where only its low part matters.
    size: usize,
    /// Bytes that it has from there on, where it is no number.
    whole: Option<usize>,
    pub required: bool,
}

macro_rules! fields {
    ($($need:ident $field:ident = $structure:literal . $name:literal
        $(, once $once:literal)* $(, known as $known:literal)? $(, of $whole:literal bytes $(, behind $plus:literal)?)?;)*) => {
        &[$(Field {
            number: <field::$field as field::Field>::NUMBER,
            name: fields!(@ name concat!($structure, ".", $name) $(, $known)?),
            structure: $structure,
            paths: &[$name $(, $once)*],
            plus: fields!(@ plus $($($plus)?)?),
            size: size_of::<<field::$field as field::Field>::Value>(),
            whole: fields!(@ whole $($whole)?),
            required: fields!(@ $need),
        }),*]
    };
    (@ needs) => { true };
    (@ takes) => { false };
    (@ name $name:expr) => { $name };
    (@ name $name:expr, $known:literal) => { $known };
    (@ plus) => { 0 };
    (@ plus $plus:literal) => { $plus };
    (@ whole) => { None };
    (@ whole $whole:literal) => { Some($whole) };
}

/// Every field.
// `cpu` is in `thread_info` where that is part of the task; kernels for one CPU have none.
// `__state` was called `state`, and a long, before 5.14.
pub const FIELDS: &[Field; COUNT] = fields! {
    needs Pid = "task_struct"."pid";
    needs Tgid = "task_struct"."tgid";
    needs CommLow = "task_struct"."comm", of 16 bytes;
    needs CommHigh = "task_struct"."comm", of 16 bytes, behind 8;
    needs Prio = "task_struct"."prio";
    needs Policy = "task_struct"."policy";
    needs Flags = "task_struct"."flags";
    needs OnRq = "task_struct"."on_rq";
    needs State = "task_struct"."__state", once "state";
    takes Cpu = "task_struct"."thread_info.cpu", once "cpu";
    takes CpusAllowed = "task_struct"."nr_cpus_allowed";
    takes CpusMask = "task_struct"."cpus_mask";
    takes WakeEntry = "task_struct"."wake_entry.llist";
    takes WakeEntryFlags = "task_struct"."wake_entry.u_flags";
    takes OnCpu = "task_struct"."on_cpu";
    needs OwnVruntime = "task_struct"."se.vruntime", known as "sched_entity.vruntime";
    needs OwnWeight = "task_struct"."se.load.weight", known as "sched_entity.load.weight";
    needs OwnSumExec = "task_struct"."se.sum_exec_runtime", known as "sched_entity.sum_exec_runtime";
    takes OwnDeadline = "task_struct"."se.deadline", known as "sched_entity.deadline";
    takes OwnSlice = "task_struct"."se.slice", known as "sched_entity.slice";
    takes OwnVlag = "task_struct"."se.vlag", known as "sched_entity.vlag";
    takes OwnDelayed = "task_struct"."se.sched_delayed", known as "sched_entity.sched_delayed";
    takes OwnDepth = "task_struct"."se.depth", known as "sched_entity.depth";
    takes OwnParent = "task_struct"."se.parent", known as "sched_entity.parent";
    takes OwnCfsRq = "task_struct"."se.cfs_rq", known as "sched_entity.cfs_rq";
    needs GroupVruntime = "sched_entity"."vruntime";
    needs GroupWeight = "sched_entity"."load.weight";
    takes GroupDeadline = "sched_entity"."deadline";
    takes GroupSlice = "sched_entity"."slice";
    takes GroupParent = "sched_entity"."parent";
    takes GroupCfsRq = "sched_entity"."cfs_rq";
    takes CfsRqRq = "cfs_rq"."rq";
    takes RqClock = "rq"."clock";
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

/// Where one CPU hands a call to another, among them wake-ups (6.12 has it, 6.1 has not).
pub const HAND_OVER: &str = "csd_queue_cpu";

/// What the running kernel's BTF says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Offsets in bytes by [`field::Field::NUMBER`]; none where the kernel lacks the field.
    pub offsets: [Option<u16>; COUNT],
    /// `prev_state` is an argument of `sched_switch` (5.18 and later).
    pub prev_state_arg: bool,
    /// `vlag` shares its place with `vprot`, which the running task uses (6.17 and later).
    pub vlag_shared: bool,
    /// There is a trace point that tells which wake-ups are handed to another CPU.
    pub hand_over: bool,
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
        let mut offsets = [None; COUNT];
        for field in FIELDS {
            offsets[usize::from(field.number)] = offset(btf, of(field.structure), field)?;
        }
        let bits = |name| Some(find(btf, of("sched_entity")?, name)?.bits);
        for name in TRACEPOINTS {
            if !has_tracepoint(btf, name) {
                return Err(ProbeError::NoTracepoint { name });
            }
        }
        let has = |number: u16| offsets[usize::from(number)].is_some();
        Ok(Self {
            offsets,
            prev_state_arg: prev_state_arg(btf),
            vlag_shared: bits("vprot").is_some() && bits("vprot") == bits("vlag"),
            hand_over: has(<field::WakeEntry as field::Field>::NUMBER)
                && has(<field::WakeEntryFlags as field::Field>::NUMBER)
                && hand_over(btf),
        })
    }

    /// Whether the kernel has the field.
    pub fn has<F: field::Field>(&self) -> bool {
        self.offsets[usize::from(F::NUMBER)].is_some()
    }

    /// Names of the fields that the kernel lacks.
    pub fn absent(&self) -> Vec<&'static str> {
        let mut names: Vec<&str> = Vec::new();
        for field in FIELDS {
            let absent = self.offsets[usize::from(field.number)].is_none();
            if absent && !names.contains(&field.name) {
                names.push(field.name);
            }
        }
        names
    }

    pub fn scheduler(&self) -> Scheduler {
        if self.has::<field::OwnDeadline>() {
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

fn offset(btf: &Btf, of: Option<&Type>, field: &Field) -> Result<Option<u16>, ProbeError> {
    let Field {
        number: _,
        name,
        structure: _,
        paths,
        plus,
        size,
        whole,
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
            Ok(None)
        };
    };
    let expected = whole.unwrap_or(size);
    let low_part_suffices = cfg!(target_endian = "little");
    if place.bytes != expected && !(place.bytes > expected && low_part_suffices) {
        return Err(ProbeError::FieldSize {
            field: name,
            found: place.bytes,
            expected,
        });
    }
    let at = place.bits / 8 + plus;
    // What an instruction can say.
    match u16::try_from(at) {
        Ok(at) if at < field::LOAD.cast_unsigned() => Ok(Some(at)),
        _ => Err(ProbeError::FieldFar { field: name, at }),
    }
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
        bytes: bytes_of(btf, &current)?,
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

fn bytes_of(btf: &Btf, of: &Type) -> Option<usize> {
    match of {
        Type::Int(int) => Some(int.size()),
        Type::Enum(list) => Some(list.size()),
        Type::Enum64(list) => Some(list.size()),
        Type::Struct(inner) | Type::Union(inner) => Some(inner.size()),
        Type::Ptr(_) => Some(8),
        Type::Array(array) => {
            let element = bare(btf, btf.resolve_chained_type(array).ok()?)?;
            Some(array.len() * bytes_of(btf, &element)?)
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

/// Whether there is the trace point `csd_queue_cpu(unsigned int cpu, unsigned long callsite, smp_call_func_t func, call_single_data_t *csd)`.
fn hand_over(btf: &Btf) -> bool {
    prototype(btf, HAND_OVER).is_some_and(|parameters| {
        matches!(
            parameters[..],
            [_, Type::Int(_), Type::Int(_), Type::Ptr(_), Type::Ptr(_)]
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_there_once() {
        let mut numbers: Vec<u16> = FIELDS.iter().map(|field| field.number).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().map(usize::from).eq(0..COUNT));
    }

    #[test]
    fn running_kernel_resolves_when_it_has_btf() {
        let btf = match open() {
            Ok(btf) => btf,
            Err(error) => return println!("skipped: {error}"),
        };
        let layout = Layout::resolve(&btf).unwrap();
        assert!(layout.has::<field::Pid>());
        let task = structure(&btf, "task_struct").unwrap();
        let entity = structure(&btf, "sched_entity").unwrap();
        // A task's entity begins with its load.
        assert_eq!(find(&btf, &entity, "load.weight").unwrap().bits, 0);
        assert_eq!(find(&btf, &task, "comm").unwrap().bytes, 16);
        assert_eq!(find(&btf, &task, "no_such_field"), None);
        assert_eq!(structure(&btf, "no_such_struct"), None);
    }
}
