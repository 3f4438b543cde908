//! Timing processes and describing samples.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One process from its start to its end, by the clock that other processes read too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timed {
    /// When it was started, since 1970.
    pub(crate) start: Duration,
    /// How long the caller was blocked.
    pub(crate) took: Duration,
    /// Whether it succeeded.
    pub(crate) ok: bool,
}

/// The time since 1970.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// Runs a command without output and waits for it.
pub(crate) fn timed(command: &mut Command) -> Timed {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let start = now();
    let clock = Instant::now();
    let ok = command.status().unwrap().success();
    Timed {
        start,
        took: clock.elapsed(),
        ok,
    }
}

/// Samples of one thing, in milliseconds or as ratios.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn push_ms(&mut self, span: Duration) {
        self.0.push(span.as_secs_f64() * 1e3);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value below which `share` of the samples are.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = u32::try_from(sorted.len().saturating_sub(1)).unwrap_or(0);
        let place = (f64::from(last) * share).round();
        sorted
            .iter()
            .zip(0_u32..)
            .find(|(_, index)| f64::from(*index) >= place)
            .map_or(f64::NAN, |(value, _)| *value)
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// What each sample is of the one taken with it in the same round.
    pub(crate) fn over(&self, floor: &Self) -> Self {
        Self(self.0.iter().zip(&floor.0).map(|(a, b)| a / b).collect())
    }

    pub(crate) fn values(&self) -> &[f64] {
        &self.0
    }
}

impl From<Vec<f64>> for Samples {
    fn from(values: Vec<f64>) -> Self {
        Self(values)
    }
}

/// Numbers that are random enough to kill processes by.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        Self(now().as_secs() | 1)
    }

    /// A number below one.
    pub(crate) fn share(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        f64::from(u32::try_from(self.0 >> 32).unwrap_or(0)) / 4_294_967_296.0
    }
}

/// What `look` finds, asked again and again; fails loudly with `what` after a minute.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_mins(2);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            Instant::now() < end,
            "did not happen in two minutes: {what}"
        );
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// `part` of `whole`, as a number with a fraction.
pub(crate) fn share(part: u64, whole: u32) -> f64 {
    f64::from(u32::try_from(part).unwrap_or(u32::MAX)) / f64::from(whole)
}
