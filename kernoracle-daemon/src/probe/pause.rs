//! Pauses: switches pass by, counted in the kernel, and nothing is recorded.

use super::{
    Capture, ProbeError, kernel,
    maps::{Pod, map_error, set},
    programs,
};

impl Capture {
    /// Leaves out switches, wake-ups and migrations from now on, in the kernel: switches are only counted
    /// ([`Activity::skipped`]). What is queued can still be drained, but what programs that are running at
    /// this moment write comes later: [`Self::settle_pause`].
    pub fn pause(&mut self) -> Result<(), ProbeError> {
        self.settings.paused = 1;
        set(&mut self.control, self.settings)
    }

    /// From now on the programs begin a pause when more bytes than this are queued: rather than lose events, and
    /// before more is recorded than there is time for. At most half of the ring, so that what other CPUs are
    /// writing at that moment has room.
    pub fn limit(&mut self, queued_bytes: u64) {
        self.limited = true;
        self.ring.limit(queued_bytes.min(self.ring.bytes() / 2));
    }

    /// Whether a pause has begun: by [`Self::pause`], or by the programs, at the [`Self::limit`].
    pub fn paused(&self) -> Result<bool, ProbeError> {
        if self.settings.paused != 0 || !self.limited {
            return Ok(self.settings.paused != 0);
        }
        let Pod(control) = self
            .control
            .get(&0, 0)
            .map_err(|error| map_error("CONTROL", error))?;
        Ok(control.paused != 0)
    }

    /// Sleeps until no program is running that began before the pause: all that was recorded before it is
    /// in the ring then.
    pub fn settle_pause(&mut self) {
        kernel::wait_for_running_programs();
    }

    /// Ends a pause: records everything again, then takes a snapshot of all tasks that are on a run queue.
    /// When that has been handed out, a drain ends with [`Drained::resumed`]: tasks that neither an event nor
    /// the snapshot has told of sleep.
    ///
    /// Without a task iterator the snapshot comes from /proc, and has every task.
    pub fn resume(&mut self) -> Result<(), ProbeError> {
        self.settings.paused = 0;
        self.settings.only_queued = 1;
        set(&mut self.control, self.settings)?;
        if self.iterates {
            programs::run_iterator(&mut self.ebpf)?;
        } else {
            self.list_tasks()?;
        }
        self.resumes_at = Some(self.ring.end());
        Ok(())
    }

    /// Says once that the snapshot that ends a pause has been handed out.
    pub(super) fn has_resumed(&mut self) -> bool {
        let reached = self.synthetic.is_empty()
            && (self.resumes_at).is_some_and(|end| self.ring.read_bytes() >= end);
        if reached {
            self.resumes_at = None;
        }
        reached
    }
}
