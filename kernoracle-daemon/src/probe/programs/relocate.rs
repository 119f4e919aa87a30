//! Puts the offsets of the kernel's fields into the programs' instructions: what CO-RE does, for which rustc emits no relocations.

use kernoracle_common::field::{ABSENT, CONSTANT, COUNT, LOAD};
use object::{File, Object, ObjectSection, SectionKind, read::Error};

/// `BPF_LDX | BPF_MEM` of 4, 2, 1 and 8 bytes.
const LOADS: [u8; 4] = [0x61, 0x69, 0x71, 0x79];
/// `BPF_ALU64 | BPF_MOV | BPF_K`: a register becomes a constant.
const MOVE: u8 = 0xb7;
/// The bits of the second byte that name the register that is written.
const WRITTEN: u8 = if cfg!(target_endian = "little") {
    0x0f
} else {
    0xf0
};

/// The object, with `offsets` by the fields' numbers; of a field that the kernel lacks, a load gives zero.
pub fn relocate(object: &[u8], offsets: &[Option<u16>; COUNT]) -> Result<Vec<u8>, Error> {
    let mut relocated = object.to_vec();
    for section in File::parse(object)?.sections() {
        let (SectionKind::Text, Some((start, len))) = (section.kind(), section.file_range()) else {
            continue;
        };
        let range = start as usize..(start + len) as usize;
        let (instructions, _) = relocated[range].as_chunks_mut();
        // The second half of a constant of 64 bits has the code 0, which is none of these.
        for instruction in instructions {
            complete(instruction, offsets);
        }
    }
    Ok(relocated)
}

/// Puts an offset where a field's number is; that number, if there is one. An instruction: its code, its registers, an offset of two bytes, a constant
/// of four.
fn complete(instruction: &mut [u8; 8], offsets: &[Option<u16>; COUNT]) -> Option<usize> {
    let [code, _, low, high, constant @ ..] = *instruction;
    let number = match code {
        MOVE => i32::from_ne_bytes(constant).checked_sub(CONSTANT)?,
        code if LOADS.contains(&code) => {
            i32::from(i16::from_ne_bytes([low, high])) - i32::from(LOAD)
        }
        _ => return None,
    };
    let number = usize::try_from(number).ok()?;
    match (code, *offsets.get(number)?) {
        (MOVE, offset) => {
            let offset = offset.map_or(ABSENT, i32::from);
            instruction[4..].copy_from_slice(&offset.to_ne_bytes());
        }
        (_, Some(offset)) => instruction[2..4].copy_from_slice(&offset.to_ne_bytes()),
        (_, None) => {
            instruction[0] = MOVE;
            instruction[1] &= WRITTEN;
            instruction[2..].fill(0);
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::programs::object::OBJECT;
    use kernoracle_common::field::{Field, RqClock};

    fn offsets() -> [Option<u16>; COUNT] {
        std::array::from_fn(|number| Some(8 * number as u16 + 100))
    }

    #[test]
    fn instructions_get_offsets() {
        let number = RqClock::NUMBER;
        let load = |offset: i16| {
            let [low, high] = offset.to_ne_bytes();
            [0x79, 0x21, low, high, 0, 0, 0, 0]
        };
        let constant = |value: i32| {
            let [a, b, c, d] = value.to_ne_bytes();
            [MOVE, 0x03, 0, 0, a, b, c, d]
        };
        let completed = |mut instruction: [u8; 8], offsets| {
            let found = complete(&mut instruction, &offsets);
            (instruction, found)
        };
        let there = offsets();
        let at = 8 * number as i16 + 100;
        let found = Some(usize::from(number));
        let (marked, number) = (LOAD + number as i16, i32::from(number));
        assert_eq!(completed(load(marked), there), (load(at), found));
        let marked_constant = constant(CONSTANT + number);
        assert_eq!(
            completed(marked_constant, there),
            (constant(at.into()), found)
        );
        // Of a field that is absent.
        let zero = [MOVE, 0x21 & WRITTEN, 0, 0, 0, 0, 0, 0];
        assert_eq!(completed(load(marked), [None; COUNT]), (zero, found));
        assert_eq!(
            completed(marked_constant, [None; COUNT]),
            (constant(-1), found)
        );
        // What has no number stays.
        for other in [
            load(16),
            load(-8),
            load(i16::MIN),
            load(LOAD + COUNT as i16),
            constant(7),
            constant(i32::MIN),
            constant(CONSTANT + COUNT as i32),
            [0x7b, 0x21, 0, 0x70, 0, 0, 0, 0],
        ] {
            assert_eq!(completed(other, there), (other, None));
        }
    }

    #[test]
    fn every_field_is_read_somewhere_and_nothing_else_changes() {
        let relocated = relocate(OBJECT, &offsets()).unwrap();
        assert_eq!(relocated.len(), OBJECT.len());
        let before = File::parse(OBJECT).unwrap();
        let after = File::parse(&*relocated).unwrap();
        let mut read = [0_usize; COUNT];
        for (before, after) in before.sections().zip(after.sections()) {
            let (before_data, after_data) = (before.data().unwrap(), after.data().unwrap());
            if before.kind() != SectionKind::Text {
                assert_eq!(before_data, after_data, "{:?}", before.name());
                continue;
            }
            let instructions = before_data.as_chunks().0.iter();
            for (before, after) in instructions.zip(after_data.as_chunks().0) {
                let mut expected = *before;
                if before != after {
                    read[complete(&mut expected, &offsets()).unwrap()] += 1;
                }
                assert_eq!(expected, *after);
                let left = complete(&mut expected, &offsets());
                assert_eq!(left, None, "{before:?} became {after:?}");
            }
        }
        assert!(read.iter().all(|&times| times > 0), "{read:?}");
    }

    #[test]
    fn what_is_no_object_is_refused() {
        relocate(b"no object", &offsets()).unwrap_err();
    }
}
