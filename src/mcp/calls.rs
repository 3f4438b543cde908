//! Calls under way and the one writer.
//!
//! The rule of exactly once: a finished call is *claimed* under the writer's lock, which a cancellation before that prevents;
//! its result counts as given when its line was written whole. In every other case the host gets the result back, once.

use super::protocol::Id;
use super::tool::{Cancelled, ToolHost, ToolResult};
use crate::clock::Deadline;
use serde_json::Value;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most calls that may wait at the same time.
pub(super) const MAX_WAITING: usize = 16;

/// How long the end waits for calls that were told that the client is gone.
const END_WAIT: Duration = Duration::from_millis(1500);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One call, from its request to its answer.
pub(super) struct Flight {
    id: Option<Id>,
    name: String,
    waits: bool,
    state: Mutex<FlightState>,
}

#[derive(Default)]
struct FlightState {
    cancelled: Option<Cancelled>,
    /// Its answer is being written: too late to cancel.
    claimed: bool,
    /// Its thread is done with it (its answer may still wait for the rest of a batch).
    returned: bool,
    /// The result until it was given, or given back.
    result: Option<ToolResult>,
}

impl Flight {
    fn new(id: Option<Id>, name: &str, waits: bool) -> Arc<Self> {
        Arc::new(Self {
            id,
            name: name.to_owned(),
            waits,
            state: Mutex::default(),
        })
    }

    /// A call that nobody answers.
    #[cfg(test)]
    pub(super) fn unattached() -> Arc<Self> {
        Self::new(None, "", false)
    }

    /// Why the answer is not wanted any more.
    pub(super) fn cancelled(&self) -> Option<Cancelled> {
        lock(&self.state).cancelled
    }

    /// Marks the answer as not wanted, unless it is on its way.
    pub(super) fn cancel(&self, why: Cancelled) {
        let mut state = lock(&self.state);
        if !state.claimed {
            state.cancelled.get_or_insert(why);
        }
    }

    /// Keeps the result until its answer was written.
    pub(super) fn returned(&self, result: ToolResult) {
        let mut state = lock(&self.state);
        state.returned = true;
        state.result = Some(result);
    }

    fn claim(&self) -> bool {
        let mut state = lock(&self.state);
        state.claimed = state.cancelled.is_none();
        state.claimed
    }

    fn take_result(&self) -> Option<ToolResult> {
        lock(&self.state).result.take()
    }

    /// Whether a new request under the same id could not be told from this one.
    fn holds(&self, id: &Id) -> bool {
        let state = lock(&self.state);
        self.id.as_ref() == Some(id) && !state.claimed && state.cancelled.is_none()
    }

    fn holds_a_thread(&self) -> bool {
        self.waits && !lock(&self.state).returned
    }
}

/// Why a call cannot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// A call under this id is under way.
    IdInUse,
    /// Too many calls wait already.
    TooMany,
}

/// One message that goes out, and the call whose answer it is.
pub(super) struct Answer {
    /// The message.
    pub(super) message: Value,
    /// The call.
    pub(super) flight: Option<Arc<Flight>>,
}

impl From<Value> for Answer {
    fn from(message: Value) -> Self {
        Self {
            message,
            flight: None,
        }
    }
}

/// The one writer, and all calls under way.
pub(super) struct Outlet {
    host: Arc<dyn ToolHost>,
    output: Mutex<Box<dyn Write + Send>>,
    flights: Mutex<Vec<Arc<Flight>>>,
    landed: Condvar,
    closed: AtomicBool,
    wake: UnixStream,
}

impl Outlet {
    /// An outlet that writes to `output`; `wake` is written to when output breaks.
    pub(super) fn new(
        host: Arc<dyn ToolHost>,
        output: impl Write + Send + 'static,
        wake: UnixStream,
    ) -> Self {
        Self {
            host,
            output: Mutex::new(Box::new(output)),
            flights: Mutex::default(),
            landed: Condvar::new(),
            closed: AtomicBool::new(false),
            wake,
        }
    }

    /// Whether nothing can be written any more.
    pub(super) fn closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Enters a call.
    pub(super) fn begin(&self, id: &Id, name: &str, waits: bool) -> Result<Arc<Flight>, Refused> {
        let mut flights = lock(&self.flights);
        if flights.iter().any(|flight| flight.holds(id)) {
            return Err(Refused::IdInUse);
        }
        let waiting = flights.iter().filter(|f| f.holds_a_thread()).count();
        if waits && waiting >= MAX_WAITING {
            return Err(Refused::TooMany);
        }
        let flight = Flight::new(Some(id.clone()), name, waits);
        flights.push(flight.clone());
        Ok(flight)
    }

    /// Forgets a call that never ran.
    pub(super) fn abandon(&self, flight: &Arc<Flight>) {
        lock(&self.flights).retain(|other| !Arc::ptr_eq(other, flight));
    }

    /// Cancels the call under `id`, if there is one.
    pub(super) fn cancel(&self, id: &Id) {
        for flight in lock(&self.flights).iter().filter(|f| f.holds(id)) {
            flight.cancel(Cancelled::ByClient);
        }
    }

    /// Writes one line with the answers that are still wanted: one message, or an array when `batch`.
    pub(super) fn deliver(&self, answers: Vec<Answer>, batch: bool) {
        let mut messages = Vec::with_capacity(answers.len());
        let mut given = Vec::new();
        let mut dropped = Vec::new();
        {
            let mut output = lock(&self.output);
            for Answer { message, flight } in answers {
                match flight {
                    Some(flight) if !flight.claim() => dropped.push(flight),
                    flight => {
                        messages.push(message);
                        given.extend(flight);
                    }
                }
            }
            let written = match (batch, messages.pop()) {
                (_, None) => true,
                (false, Some(message)) => self.write(&mut output, &message),
                (true, Some(last)) => {
                    messages.push(last);
                    self.write(&mut output, &Value::Array(messages))
                }
            };
            if written {
                for flight in &given {
                    drop(flight.take_result());
                }
            }
        }
        for flight in dropped.iter().chain(&given) {
            self.give_back(flight);
        }
        lock(&self.flights).retain(|flight| {
            !dropped
                .iter()
                .chain(&given)
                .any(|done| Arc::ptr_eq(done, flight))
        });
        self.landed.notify_all();
    }

    /// Writes a notification that belongs to `flight`, unless that was cancelled.
    pub(super) fn notify_for(&self, flight: &Flight, message: &Value) {
        let mut output = lock(&self.output);
        if flight.cancelled().is_none() {
            self.write(&mut output, message);
        }
    }

    /// Tells every call that the client is gone, waits a moment for them, and gives back what is stuck in a write.
    pub(super) fn end(&self) {
        self.closed.store(true, Ordering::Release);
        let mut flights = lock(&self.flights);
        for flight in flights.iter() {
            flight.cancel(Cancelled::ClientGone);
        }
        let deadline = Deadline::after(END_WAIT);
        while !flights.is_empty() && !deadline.passed() {
            (flights, _) = self
                .landed
                .wait_timeout(flights, deadline.left())
                .unwrap_or_else(PoisonError::into_inner);
        }
        let stuck = std::mem::take(&mut *flights);
        drop(flights);
        for flight in stuck {
            self.give_back(&flight);
        }
    }

    fn give_back(&self, flight: &Flight) {
        if let Some(result) = flight.take_result() {
            self.host.not_given(&flight.name, result);
        }
    }

    /// Writes one message as one line; a failure closes the outlet for good.
    fn write(&self, output: &mut MutexGuard<'_, Box<dyn Write + Send>>, message: &Value) -> bool {
        if self.closed() {
            return false;
        }
        let written = serde_json::to_vec(message)
            .map_err(std::io::Error::from)
            .and_then(|mut line| {
                line.push(b'\n');
                output.write_all(&line)?;
                output.flush()
            });
        if written.is_err() {
            self.closed.store(true, Ordering::Release);
            let _ = (&self.wake).write_all(b"x");
        }
        written.is_ok()
    }
}
