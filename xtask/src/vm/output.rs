//! One stream of the guest's command, which ends where the guest says so.

use std::io::{self, ErrorKind, Read, Write};

/// What the guest writes behind the last of it: a channel has no end of file.
const MARK: &[u8] = b"\0kernoracle:end\0";

/// Hands on at once whatever comes, up to the mark. `refused` is called when `to` fails; the rest is read all the same, so
/// that the guest does not stop. Whether the mark came.
pub fn copy(mut from: impl Read, mut to: impl Write, mut refused: impl FnMut()) -> bool {
    let mut pending = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let mut open = true;
    let mut write = |bytes: &[u8]| {
        if open && to.write_all(bytes).and_then(|()| to.flush()).is_err() {
            open = false;
            refused();
        }
    };
    loop {
        let count = match from.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => {
                write(&pending);
                return false;
            }
            Ok(count) => count,
        };
        pending.extend_from_slice(&buffer[..count]);
        if let Some(at) = pending.windows(MARK.len()).position(|bytes| bytes == MARK) {
            write(&pending[..at]);
            return true;
        }
        let held = beginning(&pending);
        write(&pending[..pending.len() - held]);
        pending.drain(..pending.len() - held);
    }
}

/// Bytes at the end that the mark may begin with.
fn beginning(bytes: &[u8]) -> usize {
    (1..MARK.len())
        .rev()
        .find(|len| bytes.ends_with(&MARK[..*len]))
        .unwrap_or(0)
}

/// Standard output or error of this process, unbuffered by us.
pub fn inherited(error: bool) -> Box<dyn Write + Send> {
    if error {
        Box::new(io::stderr())
    } else {
        Box::new(io::stdout())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Gives one piece a call.
    struct Pieces(VecDeque<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let piece = self.0.pop_front().unwrap_or_default();
            buffer[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    #[test]
    fn the_stream_ends_at_the_mark_wherever_it_is_cut() {
        let stream = b"a line\n\0kern, not the mark\n\0kernoracle:end\0".to_vec();
        for cut in 1..stream.len() {
            let pieces = Pieces([stream[..cut].to_vec(), stream[cut..].to_vec()].into());
            let mut to = Vec::new();
            let copied = copy(pieces, &mut to, || {});
            assert!(copied);
            assert_eq!(to, b"a line\n\0kern, not the mark\n");
        }
    }

    #[test]
    fn a_stream_without_the_mark_is_cut_and_nothing_is_withheld() {
        let mut to = Vec::new();
        assert!(!copy(&b"half\0kern"[..], &mut to, || {}));
        assert_eq!(to, b"half\0kern");
    }

    #[test]
    fn a_full_disk_stops_the_writing_not_the_reading() {
        let mut to = [0; 4];
        let mut told = 0;
        let stream = Pieces([b"five5".to_vec(), b"more\0kernoracle:end\0".to_vec()].into());
        let copied = copy(stream, &mut to[..], || told += 1);
        assert_eq!((copied, told), (true, 1));
    }
}
