//! The one owner of time: nothing else asks for "now".

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::time::{Duration, Instant};

/// The wall clock, in UTC, cut to milliseconds (what the database stores).
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the wall clock"
)]
pub fn now() -> Timestamp {
    let now = after_ms(Timestamp::now(), skew_ms(crate::paths::name::CLOCK_SKEW));
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// A test may set the clocks of one process wrong (debug builds only).
#[cfg(debug_assertions)]
fn skew_ms(name: &str) -> i64 {
    crate::paths::env(name)
        .and_then(|ms| ms.parse().ok())
        .unwrap_or(0)
}

#[cfg(not(debug_assertions))]
const fn skew_ms(_name: &str) -> i64 {
    0
}

/// The clock that stands still while the machine sleeps and that nobody sets: the boot that it belongs to, and milliseconds. All processes
/// read the same one. `None` where it cannot be told which boot this is.
pub fn awake() -> Option<(String, i64)> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let at = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).ok()?;
    let at = Duration::from(at);
    let ms = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    Some((
        boot.trim().to_owned(),
        ms.saturating_add(skew_ms(crate::paths::name::AWAKE_SKEW)),
    ))
}

/// `at` plus `ms` milliseconds; saturates at the end of time.
pub fn after_ms(at: Timestamp, ms: i64) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond().saturating_add(ms)).unwrap_or(Timestamp::MAX)
}

/// Milliseconds from `since` to `now`. A time ahead of the clock, by more than processes differ, was written before the clock was set back:
/// nobody knows how long ago that is, so it counts as very long.
pub fn elapsed_ms(since: Timestamp, now: Timestamp) -> i64 {
    let passed = now.as_millisecond() - since.as_millisecond();
    if passed < -1_000 {
        i64::MAX
    } else {
        passed.max(0)
    }
}

/// The time zone with this IANA name, if this machine knows it.
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

/// The name of this machine's time zone; `UTC` where it has none that other processes could find by its name.
pub fn system_zone() -> String {
    let zone = TimeZone::try_system().ok();
    let name = zone.as_ref().and_then(TimeZone::iana_name);
    name.filter(|name| self::zone(name).is_some())
        .unwrap_or("UTC")
        .to_owned()
}

/// A point on the monotonic clock until which somebody waits.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// A deadline `wait` from now; a span too long for the clock never comes.
    pub fn after(wait: Duration) -> Self {
        Self(Instant::now().checked_add(wait))
    }

    /// A deadline that never comes.
    pub const fn never() -> Self {
        Self(None)
    }

    /// Time left: zero when the deadline has passed, [`Duration::MAX`] when it never comes.
    pub fn left(&self) -> Duration {
        self.0.map_or(Duration::MAX, |at| {
            at.saturating_duration_since(Instant::now())
        })
    }

    /// Whether the deadline has passed.
    pub fn passed(&self) -> bool {
        self.left().is_zero()
    }
}

/// Sleeps for `span`, or until `deadline` if that comes first.
pub fn sleep(span: Duration, deadline: &Deadline) {
    std::thread::sleep(span.min(deadline.left()));
}
