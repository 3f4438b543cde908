//! To be written.

pub mod wire;
