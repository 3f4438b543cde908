//! `request_approval` and `approval_status`: an agent asks a person, and cannot decide.

use super::arguments::Arguments;
use super::host::Host;
use super::tool::Call;
use crate::clock::Deadline;
use crate::domain::approval::{Approval, ApprovalStatus};
use crate::domain::ids::ApprovalId;
use crate::error::{Failure, Result};
use crate::services::approve;
use crate::services::request::{self, Wish};
use crate::services::wait::{self, Look, PERIOD};
use crate::store::Store;
use serde_json::{Value, json};
use std::time::Duration;

/// Default wait of a request, in seconds.
const DEFAULT_WAIT: u64 = 45;

impl Host {
    pub(super) fn request_approval(&self, arguments: &Arguments<'_>, call: &Call) -> Result<Value> {
        let (mut store, own) = self.open()?;
        let cx = self.context(&own);
        let supervisor = match arguments.text("supervisor_id") {
            Some(text) => Some(self.in_session(&mut store, &own, &text)?.id),
            None => None,
        };
        let wish = Wish {
            command: arguments.text("command_text").unwrap_or_default(),
            reason: arguments.text("reason"),
            supervisor,
            metadata: arguments.0.get("metadata").cloned(),
        };
        let approval = match request::wish(&cx, &mut store, &own, &wish)? {
            Ok(approval) => approval,
            Err(reason) => {
                return Ok(
                    json!({"approval_id": Value::Null, "status": "denied", "reason": reason}),
                );
            }
        };
        let seconds = arguments.number("timeout").unwrap_or(DEFAULT_WAIT);
        wait_for(&mut store, approval.id, seconds, call)
    }

    pub(super) fn approval_status(&self, arguments: &Arguments<'_>, call: &Call) -> Result<Value> {
        let (mut store, own) = self.open()?;
        let text = arguments.text("approval_id").unwrap_or_default();
        let id = ApprovalId::parse(&text).map_err(|e| Failure::usage(e.to_string()))?;
        let approval = approve::known(&mut store, id)?;
        if approval.terminal.as_ref() != Some(&own.id) {
            return Err(
                Failure::refused(format!("approval {id} was not asked for by you"))
                    .hint("use the approval_id that request_approval returned to you"),
            );
        }
        wait_for(
            &mut store,
            id,
            arguments.number("timeout").unwrap_or(0),
            call,
        )
    }
}

fn wait_for(store: &mut Store, id: ApprovalId, seconds: u64, call: &Call) -> Result<Value> {
    let deadline = Deadline::after(Duration::from_secs(seconds));
    let stop = || call.cancelled();
    let decided = wait::until(store, deadline, stop, |store| {
        let approval = approve::known(store, id)?;
        Ok(if approval.status == ApprovalStatus::Pending {
            Look::NotYet(PERIOD)
        } else {
            Look::Found(approval)
        })
    })?;
    let approval = match decided {
        Some(approval) => approval,
        None => approve::known(store, id)?,
    };
    Ok(shown(&approval))
}

fn shown(approval: &Approval) -> Value {
    json!({"approval_id": approval.id, "status": approval.status.as_str(), "reason": approval.reason})
}
