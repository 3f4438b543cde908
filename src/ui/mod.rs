//! Everything printed: JSON shapes and tables. Imports [`crate::domain`] alone.

pub mod json;
pub mod table;
