//! The front door for agents: an MCP server on stdin and stdout.
//!
//! One process serves one agent. It speaks every published revision: those that open with `initialize` (2024-11-05 to
//! 2025-11-25) and 2026-07-28, where each request carries its revision; a client may use both in one process.
//!
//! | file | what lives there |
//! |---|---|
//! | `lines` | bytes to lines, with a cap |
//! | `protocol` | one line to JSON-RPC messages, and the answers' outer form |
//! | `eras` | the revisions, and what a result looks like in each |
//! | `arguments` | checks a call's arguments against the tool's input schema |
//! | `calls` | calls under way and the one writer: who is answered, exactly once |
//! | `server` | the loop: reads, dispatches, ends |
//! | `tool` | the interface to the tools |
//! | `definitions`, `host`, `pages` | the tools: what agents see, the services behind, results that fit |
//! | `approvals`, `notes` | those that ask a person |
//!
//! Only `host` knows what a tool does, and nothing but JSON lines reaches the output.

mod approvals;
mod arguments;
mod calls;
mod definitions;
mod eras;
mod faults;
mod host;
mod lines;
mod notes;
mod pages;
mod protocol;
mod server;
mod tool;

#[cfg(test)]
mod tests;

pub use server::serve;
pub use tool::{Annotations, Call, Cancelled, ToolDef, ToolHost, ToolResult};

/// Serves the agent that this process belongs to until its client goes away; the exit code.
pub fn run(cx: &crate::services::context::Context) -> u8 {
    let host = std::sync::Arc::new(host::Host::new(cx));
    serve(
        host,
        std::io::stdin(),
        std::io::stdout(),
        env!("CARGO_PKG_VERSION"),
    )
}
