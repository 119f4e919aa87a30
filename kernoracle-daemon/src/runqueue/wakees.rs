//! Whom a task wakes while it runs.

use super::Sym;

/// Tasks that are remembered.
const KEPT: usize = 6;
/// Share that the last run has in the decaying means.
const NEW: f32 = 0.12;

/// A task that is woken.
#[derive(Clone, Copy, Debug)]
pub struct Wakee {
    pub sym: Sym,
    /// Share of the waker's runs in which it was woken; a decaying mean.
    pub share: f32,
    /// Woken in the run before this one.
    pub last: bool,
    now: bool,
}

/// The tasks that one task woke, with how often.
#[derive(Clone, Debug, Default)]
pub struct Wakees {
    list: arrayvec::ArrayVec<Wakee, KEPT>,
}

impl Wakees {
    /// `sym` was woken in the present run.
    pub(super) fn woke(&mut self, sym: Sym) {
        if let Some(wakee) = self.list.iter_mut().find(|wakee| wakee.sym == sym) {
            wakee.now = true;
            return;
        }
        let wakee = Wakee {
            sym,
            share: 0.0,
            last: false,
            now: true,
        };
        if let Err(full) = self.list.try_push(wakee) {
            let rarest = self
                .list
                .iter_mut()
                .min_by(|a, b| a.share.total_cmp(&b.share));
            if let Some(rarest) = rarest {
                *rarest = full.element();
            }
        }
    }

    /// The present run is over.
    pub(super) fn left(&mut self) {
        for wakee in &mut self.list {
            let now = std::mem::take(&mut wakee.now);
            wakee.share += (f32::from(u8::from(now)) - wakee.share) * NEW;
            wakee.last = now;
        }
    }

    /// Those woken in the present run.
    pub fn woken_now(&self) -> impl Iterator<Item = Sym> {
        self.list
            .iter()
            .filter(|wakee| wakee.now)
            .map(|wakee| wakee.sym)
    }

    /// All that are remembered, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Wakee> {
        self.list.iter()
    }

    /// What is known of one task.
    pub fn get(&self, sym: Sym) -> Option<&Wakee> {
        self.list.iter().find(|wakee| wakee.sym == sym)
    }
}
