//! The streams of a block. Values that are distributed alike lie together, so that each stream gets
//! entropy tables of its own.

/// Number of a stream in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream(pub u8);

/// Streams that can occur.
pub const STREAMS: usize = ROLES as usize + Role::COUNT * ROLE_WIDTH as usize;

const TIMES: u8 = 16;
const ROLES: u8 = 32;
const ROLE_WIDTH: u8 = 16;

impl Stream {
    /// Kind of event and what differs from the expected, one byte an event.
    pub const HEAD: Self = Self(0);
    pub const CPU: Self = Self(1);
    pub const SEQ: Self = Self(2);
    /// Slots of tasks that leave a CPU, where they are not the one that entered it last.
    pub const WHO_PREV: Self = Self(3);
    pub const WHO_NEXT: Self = Self(4);
    pub const WHO_WAKING: Self = Self(5);
    pub const WHO_OTHER: Self = Self(6);
    /// What of a task seldom changes.
    pub const CARD: Self = Self(7);
    /// `prev_state`, `preempt`, `merged`.
    pub const SWITCH: Self = Self(8);
    pub const HIDDEN: Self = Self(9);
    pub const WAKER: Self = Self(10);
    pub const TARGET: Self = Self(11);
    /// Pids and names of fork, exec, exit and rename; states of the snapshot; sizes of gaps.
    pub const LIFE: Self = Self(12);
    /// Weights, slices and queues of entities, where they changed.
    pub const ENTITY: Self = Self(13);
    /// The low bits of all numbers.
    pub const BITS: Self = Self(14);

    /// Time since the event before, by what both events are.
    pub const fn time(before: u8, now: u8) -> Self {
        Self(TIMES + before * 4 + now)
    }
}

/// In which place of which event a task is described: the same field is distributed differently there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Prev = 0,
    Next = 1,
    Waking = 2,
    Wakeup = 3,
    Other = 4,
}

impl Role {
    const COUNT: usize = 5;

    const fn stream(self, field: u8) -> Stream {
        Stream(ROLES + self as u8 * ROLE_WIDTH + field)
    }

    /// What differs from the expected in a task, one byte a task.
    pub const fn mask(self) -> Stream {
        self.stream(0)
    }

    pub const fn sum_exec(self) -> Stream {
        self.stream(1)
    }

    pub const fn vlag(self) -> Stream {
        self.stream(2)
    }

    /// What differs in an entity, one byte an entity. `level` 0 is the task's own.
    pub const fn entity_mask(self, level: u8) -> Stream {
        self.stream(4 + 3 * level)
    }

    pub const fn vruntime(self, level: u8) -> Stream {
        self.stream(5 + 3 * level)
    }

    pub const fn deadline(self, level: u8) -> Stream {
        self.stream(6 + 3 * level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_streams_share_a_number() {
        let mut seen = [false; STREAMS];
        let mut claim = |stream: Stream| {
            assert!(
                !std::mem::replace(&mut seen[usize::from(stream.0)], true),
                "{stream:?} twice"
            );
        };
        (0..=Stream::BITS.0).for_each(|id| claim(Stream(id)));
        for before in 0..4 {
            (0..4).for_each(|now| claim(Stream::time(before, now)));
        }
        for role in [
            Role::Prev,
            Role::Next,
            Role::Waking,
            Role::Wakeup,
            Role::Other,
        ] {
            [role.mask(), role.sum_exec(), role.vlag()]
                .into_iter()
                .for_each(&mut claim);
            for level in 0..4 {
                [
                    role.entity_mask(level),
                    role.vruntime(level),
                    role.deadline(level),
                ]
                .into_iter()
                .for_each(&mut claim);
            }
        }
    }
}
