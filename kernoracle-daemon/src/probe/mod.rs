//! The live kernel: load, attach, read.
