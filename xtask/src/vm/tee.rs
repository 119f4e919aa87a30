//! Shows a stream and keeps it.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

/// Clones share what is kept.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What is written there goes to `to` too.
    pub fn tee(&self, to: Box<dyn Write + Send>) -> Box<dyn Write + Send> {
        Box::new(Tee {
            kept: self.clone(),
            to,
        })
    }
}

struct Tee {
    kept: Kept,
    to: Box<dyn Write + Send>,
}

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.to.write(bytes)?;
        self.kept
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
