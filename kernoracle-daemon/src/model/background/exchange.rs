//! What the reader and the learner hand to each other.

use crate::model::frame::Window;
use crate::model::kept::Kept;
use crate::model::learner::Learner;
use crate::model::weights::Weights;
use arrayvec::ArrayVec;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Windows that may wait for the learner.
const QUEUE: usize = 2;

/// The reader's calls ([`Self::offer`], [`Self::take`]) never wait: what the learner holds at that moment is left for the next time.
/// A channel would not do: where the other end is preempted half-way, a `try_send` waits for it, spinning or for a lock.
#[derive(Debug, Default)]
pub(super) struct Exchange(Mutex<Contents>);

#[derive(Debug, Default)]
struct Contents {
    offered: ArrayVec<Kept, QUEUE>,
    /// Windows that the learner is through with: their memory is used again.
    spare: ArrayVec<Kept, QUEUE>,
    fresh: Option<Arc<Weights>>,
    /// Out of use; the learner frees what it has allocated. Empty where `fresh` is not.
    used: Option<Arc<Weights>>,
}

impl Exchange {
    /// Hands a copy of a window to the learner; `false` if there is no room.
    pub(super) fn offer(&self, window: &Window) -> bool {
        let Ok(mut contents) = self.0.try_lock() else {
            return false;
        };
        if contents.offered.is_full() {
            return false;
        }
        let mut kept = contents.spare.pop().unwrap_or_default();
        kept.fill(window);
        contents.offered.push(kept);
        true
    }

    /// Whether a window would be taken now.
    pub(super) fn has_room(&self) -> bool {
        self.0
            .try_lock()
            .is_ok_and(|contents| !contents.offered.is_full())
    }

    /// Exchanges `weights` for new ones, whole; `false` if there are none.
    pub(super) fn take(&self, weights: &mut Arc<Weights>) -> bool {
        let Ok(mut contents) = self.0.try_lock() else {
            return false;
        };
        let Some(fresh) = contents.fresh.take() else {
            return false;
        };
        contents.used = Some(mem::replace(weights, fresh));
        true
    }

    /// Gives the learner what was offered, and frees what is out of use.
    pub(super) fn receive(&self, learner: &mut Learner) {
        let (used, offered) = {
            let mut contents = self.contents();
            (contents.used.take(), mem::take(&mut contents.offered))
        };
        drop(used);
        for window in offered {
            if let Some(oldest) = learner.add_kept(window) {
                // With enough of them on the way, this one's memory is given back.
                let refused = self.contents().spare.try_push(oldest);
                drop(refused);
            }
        }
    }

    /// New weights, in place of those that the reader has not taken.
    pub(super) fn publish(&self, weights: Arc<Weights>) {
        let old = {
            let mut contents = self.contents();
            (contents.fresh.replace(weights), contents.used.take())
        };
        drop(old);
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_learner_holds_is_left_for_the_next_time() {
        let exchange = Exchange::default();
        let mut weights = Arc::new(Weights::untrained(1));
        let window = Window::new(4);
        exchange.publish(Arc::new(Weights::untrained(2)));
        let held = exchange.contents();
        assert!(!exchange.offer(&window));
        assert!(!exchange.take(&mut weights));
        assert_eq!(*weights, Weights::untrained(1));
        drop(held);
        assert!(exchange.take(&mut weights));
        assert_eq!(*weights, Weights::untrained(2));
        assert!(!exchange.take(&mut weights));
        for _ in 0..QUEUE {
            assert!(exchange.offer(&window));
        }
        assert!(!exchange.offer(&window), "there is no more room");
    }
}
