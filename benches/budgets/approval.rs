//! From an agent's call to the count on the status line, from a person's yes to the command's start, and the status line alone.

use crate::measure::{Samples, eventually, timed};
use crate::report::Row;
use crate::rows::Size;
use crate::world::World;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Rounds of: the agent is told to make a file, the status line counts the request, a yes lets it run. The floor is one tmux command, by
/// the tmux program. When a file was made is known to the kernel's tick.
pub(crate) fn approval(world: &World, size: Size) -> Vec<Row> {
    world.ok(&["plugin", "load"]);
    let agent = world.launch("demo", "approval", 0, false).remove(0);
    let (mut counted, mut set) = (Samples::default(), Samples::default());
    let mut started = Samples::default();
    let warm = 2;
    for round in 0..size.of(10, 60) + warm {
        world.prompt(&agent);
        let file = world.at(&format!("made-{round}"));
        let call = format!("RUN touch {}", file.display());
        world.ok(&["send", &agent.id, "-m", &call]);
        let (id, asked) = eventually("a request waits", || {
            world.database(|db| {
                db.query_row(
                    "SELECT id, requested_at FROM approvals WHERE status = 'pending'",
                    [],
                    |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
                )
                .ok()
            })
        });
        let at = eventually("the status line counts it", || {
            (world.tmux(&["show-options", "-gqv", "@conductor_pending"]) == "1")
                .then(SystemTime::now)
        });
        let count = at
            .duration_since(SystemTime::UNIX_EPOCH + Duration::from_millis(asked.unsigned_abs()))
            .unwrap_or_default();
        let one = timed(&mut world.tmux_command(&["set-option", "-g", "@bench", "1"]));
        let yes = SystemTime::now();
        let mut approve = world.ours(&["approve", &id.to_string()]);
        assert!(timed(&mut approve).ok, "the request was not approved");
        let start = made(&file, yes);

        if round >= warm {
            counted.push_ms(count);
            set.push_ms(one.took);
            started.push_ms(start);
        }
    }
    let line = status_line(world, size);
    world.end("approval");
    let shown = counted.over(&set);
    let runs = started.over(&set);
    vec![
        Row::most(
            "request -> count on the status line / tmux command",
            shown.median(),
            "x",
            10.0,
        )
        .note(format!(
            "{:.1} ms, p95 {:.1}x",
            counted.median(),
            shown.quantile(0.95)
        ))
        .more(json!({"ours_ms": counted.median(), "floor_ms": set.median()})),
        Row::most(
            "yes -> the command runs / tmux command",
            runs.median(),
            "x",
            15.0,
        )
        .note(format!(
            "{:.1} ms, p95 {:.1}x",
            started.median(),
            runs.quantile(0.95)
        ))
        .more(json!({"ours_ms": started.median(), "floor_ms": set.median()})),
        line,
    ]
}

/// Rounds of: the segment is made wrong, and a tick puts it right, in turn with one tmux command that sets an option.
fn status_line(world: &World, size: Size) -> Row {
    let (mut ours, mut floor) = (Samples::default(), Samples::default());
    for round in 0..size.of(20, 100) {
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for which in order {
            let mut command = if which == 0 {
                world
                    .database(|db| db.execute("DELETE FROM meta WHERE key LIKE 'shown:%'", []))
                    .unwrap();
                world.tmux(&["set-option", "-g", "@conductor_live", "wrong"]);
                world.ours(&["tick"])
            } else {
                world.tmux_command(&["set-option", "-g", "@bench", "1"])
            };
            let done = timed(&mut command);
            assert!(done.ok, "a call failed");
            [&mut ours, &mut floor][which].push_ms(done.took);
        }
        let live = world.tmux(&["show-options", "-gqv", "@conductor_live"]);
        assert_eq!(live, "1", "the tick did not put it right");
    }
    let ratio = ours.over(&floor);
    Row::told(
        "status line brought up to date by a tick / tmux command",
        ratio.median(),
        "x",
    )
    .note(format!(
        "{:.1} ms, p95 {:.1}x, n {}",
        ours.median(),
        ratio.quantile(0.95),
        ratio.len()
    ))
    .more(json!({"ours_ms": ours.median(), "floor_ms": floor.median()}))
}

/// How long after `begun` the command made this file.
fn made(file: &Path, begun: SystemTime) -> Duration {
    eventually("the command ran", || {
        let at = fs::metadata(file).ok()?.modified().ok()?;
        Some(at.duration_since(begun).unwrap_or_default())
    })
}
