//! The permission dialog: the person's key or a hook's answer, whichever comes first.

use super::answers;
use super::host::{Host, Mode};
use super::job::Job;
use crate::clock::Deadline;
use serde_json::{Value, json};
use std::collections::VecDeque;

/// How a dialog ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Allowed.
    Yes,
    /// Refused, and why.
    No(String),
    /// The program ends.
    Cut,
}

impl Host {
    /// Opens a dialog with `text` about the use of a tool; `PermissionRequest` hooks are asked beside it.
    pub(super) fn ask(&mut self, text: &str, (tool, input): (&str, &Value)) -> Verdict {
        self.answer = None;
        self.enter(Mode::Dialog(text.to_owned()));
        let fields = json!({"tool_name": tool, "tool_input": input, "permission_suggestions": []});
        let mut hooks = VecDeque::from(self.settings.hooks("PermissionRequest", tool));
        let mut running: Option<Job> = None;
        let mut told = false;
        let verdict = loop {
            while running.is_none()
                && let Some(hook) = hooks.pop_front()
            {
                running = self.start_hook("PermissionRequest", &hook, &fields).ok();
            }
            if !told {
                told = true;
                self.notify(&format!("The demo agent needs your permission: {tool}"));
            }
            if let Some(yes) = self.answer.take() {
                break if yes {
                    Verdict::Yes
                } else {
                    Verdict::No("the person said no".into())
                };
            }
            if self.stopped() {
                break Verdict::Cut;
            }
            if let Some(job) = &mut running {
                if job.service() {
                    let decision = answers::permission(&job.outcome(None));
                    running = None;
                    match decision {
                        Some(Ok(())) => break Verdict::Yes,
                        Some(Err(message)) => break Verdict::No(message),
                        None => continue,
                    }
                }
                if job.deadline.passed() {
                    job.terminate();
                    self.background.extend(running.take());
                    continue;
                }
            } else if self.deaf() {
                break Verdict::No("nobody is there to answer".into());
            }
            match &running {
                Some(job) => self.pump(&job.wants(), job.deadline),
                None => self.pump(&[], Deadline::never()),
            }
        };
        if let Some(mut job) = running {
            // After a yes the hook is left alone; its late answer counts for nothing.
            if verdict != Verdict::Yes {
                job.terminate();
            }
            self.background.push(job);
        }
        self.enter(Mode::Working);
        self.settle();
        verdict
    }
}
