//! Firing hooks: the JSON they read, and waiting for them.

use super::host::Host;
use super::job::{self, End, Job, Outcome, Place};
use super::settings::Hook;
use crate::clock::Deadline;
use serde_json::{Value, json};
use std::time::Duration;

/// How long the hooks of the end may take when somebody outside is in a hurry.
const HURRY: Duration = Duration::from_secs(3);
/// How long a turn waits for `Notification` hooks that still run.
const NOTICE: Duration = Duration::from_secs(5);

impl Host {
    /// Runs all hooks of `event`, one after the other; `subject` is what matchers look at.
    pub(super) fn fire(&mut self, event: &str, subject: &str, fields: &Value) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for hook in self.settings.hooks(event, subject) {
            let job = match self.start_hook(event, &hook, fields) {
                Ok(job) => job,
                Err(outcome) => {
                    outcomes.push(outcome);
                    continue;
                }
            };
            if hook.detached {
                self.background.push(job);
                continue;
            }
            let outcome = self.wait_for(job);
            let cut = outcome.end == End::Cut;
            outcomes.push(outcome);
            if cut {
                break;
            }
        }
        outcomes
    }

    /// Starts one hook.
    pub(super) fn start_hook(
        &self,
        event: &str,
        hook: &Hook,
        fields: &Value,
    ) -> Result<Job, Outcome> {
        let command = job::shell(&hook.command, Place::Session);
        let mut job =
            Job::start(command, self.payload(event, fields)).map_err(|error| Outcome {
                end: End::NotStarted,
                stdout: String::new(),
                stderr: error.to_string(),
            })?;
        let hurry = self.ending.is_some_and(|ending| ending.hurry);
        let limit = if hurry { HURRY } else { Duration::MAX };
        job.deadline = Deadline::after(hook.timeout.min(limit));
        Ok(job)
    }

    /// What a hook reads: the fields of every event, then those of this one.
    fn payload(&self, event: &str, fields: &Value) -> Vec<u8> {
        let mut payload = json!({
            "session_id": self.session,
            "transcript_path": "",
            "cwd": self.cwd,
            "permission_mode": self.options.permission_mode.as_deref().unwrap_or("default"),
            "hook_event_name": event,
        });
        if let (Some(all), Some(own)) = (payload.as_object_mut(), fields.as_object()) {
            all.extend(own.clone());
        }
        payload.to_string().into_bytes()
    }

    /// Waits for a child; an interrupted turn or the end of the program cuts it short, unless this is the end.
    pub(super) fn wait_for(&mut self, mut job: Job) -> Outcome {
        let last = self.mode == super::host::Mode::Ending;
        loop {
            if job.service() {
                return job.outcome(None);
            }
            let forced = if !last && self.stopped() {
                Some(End::Cut)
            } else if job.deadline.passed() {
                Some(End::TimedOut)
            } else {
                None
            };
            if forced.is_some() {
                job.terminate();
                let outcome = job.outcome(forced);
                self.background.push(job);
                return outcome;
            }
            self.pump(&job.wants(), job.deadline);
        }
    }

    /// Starts the `Notification` hooks of a dialog, beside it.
    pub(super) fn notify(&mut self, message: &str) {
        let kind = "permission_prompt";
        let fields = json!({"message": message, "notification_type": kind});
        for hook in self.settings.hooks("Notification", kind) {
            if let Ok(job) = self.start_hook("Notification", &hook, &fields) {
                self.notices.push(job);
            }
        }
    }

    /// Waits for the `Notification` hooks, so that the next event comes after them.
    pub(super) fn settle(&mut self) {
        let deadline = Deadline::after(NOTICE);
        while !self.notices.is_empty() && self.ending.is_none() && !deadline.passed() {
            self.pump(&[], deadline);
        }
        self.background.append(&mut self.notices);
    }
}
