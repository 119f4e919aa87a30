//! What tasks are called in the model's input.

use super::Sym;
use super::task::mix;
use crate::trace::event::Comm;
use serde::{Deserialize, Serialize};

/// Numbers in a task's code: half from its role, half from the instance.
pub const CODE: usize = 16;
/// The bit of a code that says whether the role is a known one.
const KNOWN_BIT: usize = CODE / 2 - 1;
/// What a set and a clear bit are in the input.
const SET: f32 = 0.35;

/// A number for a task's normalised name, the same for all tasks of that role.
pub fn role(name: Comm) -> u32 {
    (hash(name) >> 32) as u32
}

/// Roles whose names a model knows: those of the tasks that it was trained on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<u32>")]
pub struct Roles(Vec<u32>);

impl From<Vec<u32>> for Roles {
    fn from(mut roles: Vec<u32>) -> Self {
        roles.sort_unstable();
        roles.dedup();
        Self(roles)
    }
}

impl Roles {
    pub fn contains(&self, role: u32) -> bool {
        self.0.binary_search(&role).is_ok()
    }

    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().copied()
    }
}

/// Draws the codes of tasks. A role that the model knows has the same code everywhere, so that weights may hold what they learned of it; the code
/// of any other is drawn with the salt, and a bit says so: what weights learned of one program would mislead them of another whose code is near.
/// The code of an instance is always drawn.
#[derive(Clone, Debug, Default)]
pub struct Codes {
    known: Roles,
    salt: u64,
}

impl Codes {
    pub fn new(known: Roles, salt: u64) -> Self {
        Self { known, salt }
    }

    /// The roles that the model knows.
    pub fn known(&self) -> &Roles {
        &self.known
    }

    /// The code of a task.
    pub(super) fn code(&self, sym: Sym, name: Comm) -> [f32; CODE] {
        let salt = mix(self.salt);
        let known = self.known.contains(role(name));
        let of_role = hash(name);
        let of_role = if known { of_role } else { mix(of_role ^ salt) };
        let instance = mix(u64::from(sym.raw())
            .wrapping_add(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(salt));
        std::array::from_fn(|i| {
            let set = match i {
                KNOWN_BIT => known,
                _ if i < CODE / 2 => of_role >> i & 1 == 1,
                _ => instance >> i & 1 == 1,
            };
            if set { SET } else { -SET }
        })
    }
}

fn hash(name: Comm) -> u64 {
    mix(normalised_hash(name))
}

/// Digits carry instances (`kworker/0:1`, `Web Content 7`): without them the name is the role.
fn normalised_hash(name: Comm) -> u64 {
    // FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/
    name.bytes()
        .iter()
        .filter(|byte| !byte.is_ascii_digit())
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_roles_keep_their_codes_and_others_are_drawn() {
        let (known, other) = (Comm::new("nginx"), Comm::new("frobnicate"));
        let codes = |salt| Codes::new(Roles::from(vec![role(known)]), salt);
        // The two halves, as bits.
        let code = |salt, sym, name| -> (u32, u32) {
            let code = codes(salt).code(Sym::for_test(sym), name);
            let bits = |half: &[f32]| {
                half.iter()
                    .fold(0, |bits, x| bits << 1 | u32::from(*x > 0.0))
            };
            let (of_role, instance) = code.split_at(CODE / 2);
            (bits(of_role), bits(instance))
        };
        let salts = || 0..64;
        for salt in salts() {
            assert_eq!(code(salt, 1, known).0, code(0, 2, known).0);
            assert_eq!(
                code(salt, 1, other).0,
                code(salt, 2, other).0,
                "one role, one code"
            );
            assert_ne!(code(salt, 1, known).0, code(salt, 1, other).0);
        }
        let differ = |name| {
            salts()
                .filter(|salt| code(*salt, 1, name) != code(0, 1, name))
                .count()
        };
        // Of the known one the instance alone.
        assert!(differ(known) > 32 && differ(other) > 32);
        let drawn = salts().filter(|salt| code(*salt, 1, other).0 != code(0, 1, other).0);
        assert!(drawn.count() > 32);
    }

    #[test]
    fn digits_are_no_part_of_a_role() {
        assert_eq!(
            role(Comm::new("kworker/0:1")),
            role(Comm::new("kworker/1:27"))
        );
        assert_ne!(role(Comm::new("nginx")), role(Comm::new("redis")));
    }
}
