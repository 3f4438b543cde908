//! Start-up and size.

use crate::measure::{Samples, share, timed};
use crate::report::Row;
use crate::world::World;
use serde_json::json;
use std::fs;
use std::time::Duration;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) quick: bool,
}

impl Size {
    pub(crate) fn of(self, quick: usize, full: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

pub(crate) fn version(world: &World, size: Size) -> Vec<Row> {
    let (mut floor, mut ours) = (Samples::default(), Samples::default());
    for round in 0..size.of(60, 300) {
        let mut pair = [world.command(&world.floor), world.ours(&["--version"])];
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        let mut took = [Duration::ZERO; 2];
        for which in order {
            took[which] = timed(&mut pair[which]).took;
        }
        floor.push_ms(took[0]);
        ours.push_ms(took[1]);
    }
    let ratio = ours.over(&floor);
    vec![
        Row::most("--version / static C", ratio.median(), "x", 2.0)
            .note(format!(
                "p95 {:.2}x, n {}",
                ratio.quantile(0.95),
                ratio.len()
            ))
            .more(json!({"floor_ms": floor.median(), "ours_ms": ours.median()})),
    ]
}

pub(crate) fn binary(world: &World) -> Vec<Row> {
    let bytes = fs::metadata(&world.binary).unwrap().len();
    vec![Row::most(
        "release binary",
        share(bytes, 1_000_000),
        "MB",
        6.0,
    )]
}
