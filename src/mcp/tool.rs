//! The interface to the tools: what the server needs to know of them, and what they get with a call.

use super::calls::{Flight, Outlet};
use super::eras::Era;
use super::protocol::{Id, notification};
use serde_json::{Map, Value};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The definition of one tool; does not change while the server runs.
#[derive(Debug, Clone)]
pub struct ToolDef {
    /// The name that clients call; lower case letters and underscores.
    pub name: &'static str,
    /// The name that people see.
    pub title: &'static str,
    /// What it does, for the model.
    pub description: &'static str,
    /// JSON Schema of the arguments; an object. Calls are checked against it before they reach the host.
    pub input_schema: Value,
    /// JSON Schema of the result; an object.
    pub output_schema: Value,
    /// What a client may assume of it.
    pub annotations: Annotations,
}

/// What a client may assume of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Annotations {
    /// It changes nothing.
    pub read_only: bool,
    /// It may destroy something.
    pub destructive: bool,
    /// The same call again changes nothing more.
    pub idempotent: bool,
    /// It reaches beyond this program.
    pub open_world: bool,
}

/// What a call came to.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolResult {
    /// It worked; a JSON object that fits the tool's output schema.
    Ok(Value),
    /// It did not work; told to the model, not a protocol error.
    Error {
        /// A sentence: what did not work, and why.
        message: String,
        /// What to do next.
        hint: String,
    },
}

/// The tools behind the server.
pub trait ToolHost: Send + Sync {
    /// The tools, always in the same order.
    fn tools(&self) -> &[ToolDef];

    /// How to use the tools together, for the model.
    fn instructions(&self) -> &str;

    /// What a person may read where there are no tools; some clients take a server that offers nothing for a broken one.
    fn note(&self) -> Option<&str> {
        None
    }

    /// Whether a call of this tool may take long: it then runs on a thread of its own, else on the reader's thread.
    fn waits(&self, name: &str) -> bool;

    /// Runs a tool with checked arguments (defaults filled in). May block when [`ToolHost::waits`] says so.
    fn call(&self, name: &str, arguments: &Map<String, Value>, call: &Call) -> ToolResult;

    /// Takes back the result of a call that was finished but could not be given to the client: the call was cancelled, or the
    /// answer could not be written. Told once for a call, and never for one whose answer was written.
    fn not_given(&self, name: &str, result: ToolResult);
}

/// Why nobody waits for a call any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The client cancelled this call.
    ByClient,
    /// The client is gone: input ended, or output cannot be written.
    ClientGone,
}

/// One call under way, as the tool sees it.
pub struct Call {
    flight: Arc<Flight>,
    progress: Option<Progress>,
}

/// Where progress goes.
pub(super) struct Progress {
    outlet: Arc<Outlet>,
    token: Id,
    era: Era,
    last: Mutex<f64>,
}

impl Progress {
    /// Progress of one call, under the client's token.
    pub(super) fn new(outlet: Arc<Outlet>, token: Id, era: Era) -> Self {
        Self {
            outlet,
            token,
            era,
            last: Mutex::new(f64::NEG_INFINITY),
        }
    }
}

impl Call {
    /// A call that belongs to `flight`.
    pub(super) fn new(flight: Arc<Flight>, progress: Option<Progress>) -> Self {
        Self { flight, progress }
    }

    /// A call with no client behind it, for tests of tools.
    #[cfg(test)]
    pub(crate) fn unattached() -> Self {
        Self::new(Flight::unattached(), None)
    }

    /// Cancels the call, for tests of tools.
    #[cfg(test)]
    pub(crate) fn cancel(&self, why: Cancelled) {
        self.flight.cancel(why);
    }

    /// Whether nobody waits for the answer any more.
    pub fn cancelled(&self) -> bool {
        self.why_cancelled().is_some()
    }

    /// Why nobody waits for the answer any more; `None` while somebody does.
    pub fn why_cancelled(&self) -> Option<Cancelled> {
        self.flight.cancelled()
    }

    /// Tells the client how far the call is. Nothing is sent without a token, after a cancellation, or when `elapsed_seconds`
    /// is not above the last that was sent.
    pub fn progress(&self, elapsed_seconds: f64, message: &str) {
        let Some(progress) = &self.progress else {
            return;
        };
        let mut last = progress.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !elapsed_seconds.is_finite() || elapsed_seconds <= *last {
            return;
        }
        *last = elapsed_seconds;
        let params = progress
            .era
            .progress(&progress.token, elapsed_seconds, message);
        progress.outlet.notify_for(
            &self.flight,
            &notification("notifications/progress", &params),
        );
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("cancelled", &self.cancelled())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_cancelled_once() {
        let call = Call::unattached();
        assert!(!call.cancelled());
        call.cancel(Cancelled::ClientGone);
        call.cancel(Cancelled::ByClient);
        assert_eq!(
            call.why_cancelled(),
            Some(Cancelled::ClientGone),
            "the first reason stays"
        );
        call.progress(1.0, "to nobody");
    }
}
