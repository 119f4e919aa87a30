//! Log lines, scoreboard, tables.
