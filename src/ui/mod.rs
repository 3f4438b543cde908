//! Everything printed: JSON shapes and tables. Imports [`crate::domain`] and [`crate::error`] alone.

pub mod audit;
pub mod csv;
pub mod dashboard;
pub mod flows;
pub mod json;
pub mod manual;
pub mod sheet;
pub mod table;
