//! Delivering by the agent's own channel: nothing is typed, so no draft, no mode and no key of a person is in the way.
//!
//! A plugin is rung for and fetches with its own hook; a program of the agent is told. Neither has the fence's receipts: what was handed over
//! and is not proven is handed over again, and says so.

use super::{Step, socket, wait_for};
use crate::clock;
use crate::domain::message::{GateReason, Message, Transport};
use crate::domain::terminal::Terminal;
use crate::domain::text::{self, Limits};
use crate::error::{Failure, Kind, Result};
use crate::failpoint;
use crate::fsx;
use crate::proc::{self, Identity};
use crate::providers::{Channel, Manifest};
use crate::services::after::Aftermath;
use crate::services::context::Context;
use crate::services::start::LaunchFile;
use crate::store::{Budget, DueKind, Durability, Store};
use std::io::Write;
use std::time::Duration;

/// What was handed over is looked after when it is not proven by then, in milliseconds.
const PROOF_MS: i64 = 5_000;

/// How long the agent's program may take to queue a message.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// What the agent's program is told: never the body, because others can read the arguments of a process.
pub const fn limits(limits: Limits) -> Limits {
    Limits {
        inline_chars: 0,
        ..limits
    }
}

/// Rings for the plugin of the agent.
pub(super) fn ring(
    cx: &Context,
    store: &mut Store,
    terminal: &Terminal,
    head: &Message,
) -> Result<Step> {
    // The plugin of an agent that a person started knows its process only.
    let file = match terminal.root {
        Some(root) if terminal.adopted => {
            let file = cx.home.bell(root.pid);
            if let Some(dir) = file.parent() {
                let _ = fsx::create_private_dir(dir);
            }
            file
        }
        _ => cx.home.run_of(terminal.id.as_str()).join(Channel::BELL),
    };
    // Written to, not replaced: the plugin's watch does not tell of a file that was moved to its place.
    fsx::open_append(&file)
        .and_then(|mut bell| bell.write_all(format!("{}\n", head.id).as_bytes()))
        .map_err(|e| Failure::state(format!("ring for terminal {}: {e}", terminal.id)).disk(&e))?;
    failpoint::hit("channel.rung");
    wait_for(cx, store, terminal, head, GateReason::Channel)
}

/// Lets the agent's program queue the head; `None` when it would not, and the message is where it was.
pub(super) fn queue(
    cx: &Context,
    store: &mut Store,
    terminal: &Terminal,
    head: &Message,
    manifest: &Manifest,
    arguments: &[String],
) -> Result<Option<Step>> {
    let (Some(session), Some(own)) = (terminal.agent_session.as_deref(), Identity::own()) else {
        return Ok(None);
    };
    // Before its first event the agent has not said which conversation it is in.
    if terminal.last_event_at.is_none() {
        return Ok(None);
    }
    failpoint::hit("channel.before_claim");
    let claimed = store.write(Durability::Process, Budget::Call, |tx| {
        tx.claim_message(head.id, Transport::Api, own, clock::now())
    })?;
    if !claimed {
        return Ok(Some(Step::Again));
    }
    failpoint::hit("channel.claimed");
    let placement = text::place(head, limits(manifest.limits()));
    let arguments = arguments.iter().map(|argument| {
        // One that ends with a placeholder: no value is ever read as another one.
        let ends = [("{agent_session}", session), ("{line}", placement.line())];
        let filled = ends
            .iter()
            .find_map(|(mark, value)| Some(format!("{}{value}", argument.strip_suffix(mark)?)));
        filled.unwrap_or_else(|| argument.clone())
    });
    let told = tell(cx, terminal, manifest, arguments);
    failpoint::hit("channel.told");
    // One that did not end in time may have done it.
    if let Err(why) = told
        && why.kind() != Kind::TimedOut
    {
        tracing::warn!(%why, terminal = %terminal.id, "queue a message with the agent's own program");
        store.write(Durability::Process, Budget::Call, |tx| {
            tx.refuse_message(head.id, GateReason::Channel)
        })?;
        return Ok(None);
    }
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        let now = clock::now();
        // The prompt hook may have proven it already.
        if tx.place_message(head.id, now)? {
            tx.set_due(
                DueKind::Proof,
                &head.id.to_string(),
                socket(terminal).as_deref(),
                clock::after_ms(now, PROOF_MS),
            )?;
        }
        aftermath.arm(tx, terminal, now)
    })?;
    failpoint::hit("channel.placed");
    aftermath.run(cx, store);
    Ok(Some(Step::Waits))
}

/// Runs the agent's program as the agent itself was started: the same file, with the same variables.
fn tell(
    cx: &Context,
    terminal: &Terminal,
    manifest: &Manifest,
    arguments: impl Iterator<Item = String>,
) -> Result<()> {
    let launch = LaunchFile::read(&cx.home, &terminal.id).ok();
    let program = match &launch {
        Some(launch) => launch.program.clone(),
        None => crate::providers::program(manifest)?,
    };
    let mut command = proc::command(program);
    command.args(arguments).current_dir(&terminal.cwd);
    if let Some(launch) = &launch {
        command.envs(&launch.env);
    }
    proc::run_limited(command, COMMAND_LIMIT).map(drop)
}
