//! A file or pipe that can be looked at ahead without being seekable.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
};

/// How much is asked for at once, at least: memory grows with what there is, not with what a length
/// field promises.
const STEP: usize = 256 << 10;

pub struct Source {
    input: Box<dyn Read + Send>,
    /// Bytes of a regular file; `None` for a pipe.
    size: Option<u64>,
    window: Vec<u8>,
    /// Where in `window` the next byte is.
    start: usize,
    /// Where in the file the next byte is.
    offset: u64,
    at_end: bool,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("size", &self.size)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl Source {
    /// A file, or the standard input if the path is `-`.
    pub fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::new(Box::new(io::stdin()), None));
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            // Opening it works, and reading it is what fails.
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let size = metadata.is_file().then_some(metadata.len());
        Ok(Self::new(Box::new(file), size))
    }

    pub fn new(input: Box<dyn Read + Send>, size: Option<u64>) -> Self {
        Self {
            input,
            size,
            window: Vec::new(),
            start: 0,
            offset: 0,
            at_end: false,
        }
    }

    /// The next `len` bytes, fewer only at the end.
    pub fn peek(&mut self, len: usize) -> io::Result<&[u8]> {
        while self.window.len() - self.start < len && !self.at_end {
            self.grow()?;
        }
        let end = self.window.len().min(self.start + len);
        Ok(&self.window[self.start..end])
    }

    /// Goes forward by `len` bytes that were peeked at.
    pub fn consume(&mut self, len: usize) {
        debug_assert!(len <= self.window.len() - self.start);
        self.start += len;
        self.offset += len as u64;
    }

    pub fn offset(&self) -> u64 {
        self.offset
    }

    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Goes to the next place that could start with `one` or `other`, at least one byte on, else to the end.
    pub fn seek_marker(&mut self, one: [u8; 8], other: [u8; 8]) -> io::Result<()> {
        let mut skip = 1;
        loop {
            let ahead = self.peek(skip + STEP)?;
            let found = ahead.get(skip..).and_then(|ahead| {
                ahead
                    .windows(8)
                    .position(|bytes| bytes == one || bytes == other)
            });
            let ended = ahead.len() < skip + STEP;
            let len = match found {
                Some(position) => skip + position,
                None if ended => ahead.len(),
                // The marker may have begun in the last seven bytes.
                None => ahead.len() - 7,
            };
            self.consume(len);
            if found.is_some() || ended {
                return Ok(());
            }
            skip = 0;
        }
    }

    fn grow(&mut self) -> io::Result<()> {
        self.window.drain(..self.start);
        self.start = 0;
        let before = self.window.len();
        self.window.resize(before + STEP, 0);
        let result = loop {
            match self.input.read(&mut self.window[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.window
            .truncate(before + *result.as_ref().unwrap_or(&0));
        self.at_end = result? == 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, as a slow pipe may.
    struct Trickle(io::Cursor<Vec<u8>>);

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = buffer.len().min(1);
            self.0.read(&mut buffer[..len])
        }
    }

    #[test]
    fn peeks_across_short_reads_and_stops_at_the_end() {
        let mut source = Source::new(Box::new(Trickle(io::Cursor::new((0..10).collect()))), None);
        assert_eq!(source.peek(4).unwrap(), [0, 1, 2, 3]);
        source.consume(3);
        assert_eq!(source.peek(4).unwrap(), [3, 4, 5, 6]);
        source.consume(4);
        assert_eq!(source.peek(100).unwrap(), [7, 8, 9]);
        assert_eq!(source.offset(), 7);
    }

    #[test]
    fn finds_a_marker_wherever_it_lies() {
        for at in [1, 2, STEP - 8, STEP - 4, STEP, STEP + 1, 3 * STEP + 5] {
            let mut bytes = vec![b'A'; at];
            bytes.extend_from_slice(b"MARKER_2AA");
            let mut source = Source::new(Box::new(io::Cursor::new(bytes)), None);
            source.seek_marker(*b"MARKER_1", *b"MARKER_2").unwrap();
            assert_eq!(source.offset(), at as u64);
        }
    }

    #[test]
    fn skips_the_marker_that_it_stands_on() {
        let mut source = Source::new(
            Box::new(io::Cursor::new(b"MARKER_1xMARKER_1".to_vec())),
            None,
        );
        source.seek_marker(*b"MARKER_1", *b"MARKER_2").unwrap();
        assert_eq!(source.offset(), 9);
        source.seek_marker(*b"MARKER_1", *b"MARKER_2").unwrap();
        assert_eq!(source.offset(), 17);
        assert!(source.peek(1).unwrap().is_empty());
    }
}
