//! `conductor-hook`: the one binary. See the library for everything.
fn main() {}
