//! The files of one agent: its launch file, its configuration and the text that tells it who it is.

use super::super::context::Context;
use super::super::start::LaunchFile;
use super::Plan;
use crate::domain::policy::OWN_TOOLS;
use crate::domain::terminal::Terminal;
use crate::error::{Failure, Result};
use crate::fsx;
use crate::paths;
use crate::providers::{self, Dialect, Firmness, LaunchSpec};
use std::collections::BTreeMap;

/// Writes what `conductor-hook start` and the agent read, into the terminal's directory.
pub(super) fn write(cx: &Context, plan: &Plan, row: &Terminal, resume: bool) -> Result<()> {
    if plan.manifest.dialect == Dialect::Kiro {
        super::super::setup::refresh(cx, &plan.manifest)?;
    }
    let run_dir = cx.home.run_of(row.id.as_str());
    let mut env: BTreeMap<String, String> = BTreeMap::new();
    env.insert(paths::name::TERMINAL_ID.to_owned(), row.id.to_string());
    env.insert(paths::name::SESSION.to_owned(), row.session.clone());
    env.insert(
        paths::name::HOOK.to_owned(),
        cx.binary.to_string_lossy().into_owned(),
    );
    env.insert(
        paths::name::HOME.to_owned(),
        cx.home.root().to_string_lossy().into_owned(),
    );
    env.insert(paths::name::TMUX_SOCKET.to_owned(), cx.tmux.socket_text());
    let mcp_env = env.clone();
    let persona = persona(plan, row);
    let spec = LaunchSpec {
        hook: &cx.binary,
        run_dir: &run_dir,
        agent_session: row.agent_session.as_deref().unwrap_or_default(),
        resume,
        profile: plan.profile.name.as_str(),
        model: plan.model.as_deref(),
        persona: &persona,
        permission_mode: plan.profile.permission_mode.as_deref(),
        tools: &plan.profile.tools,
        allowed_tools: &plan.profile.allowed_tools,
        mcp_servers: &plan.profile.mcp_servers,
        mcp_env: &mcp_env,
        own_tools: &OWN_TOOLS,
        hooked: row.hooked,
        extra: &plan.extra,
    };
    let files = providers::prepare(&plan.manifest, &spec)?;
    // The pane gets the tmux server's environment; the caller's PATH is the one its programs are found along.
    let mut launch_env: BTreeMap<String, String> = BTreeMap::new();
    if let Some(path) = paths::env("PATH") {
        launch_env.insert("PATH".to_owned(), path);
    }
    launch_env.extend(files.env);
    launch_env.extend(plan.profile.env.clone());
    launch_env.extend(plan.env.iter().cloned());
    launch_env.extend(env);
    let launch = LaunchFile {
        program: files.program,
        argv0: files.argv0,
        args: files.args,
        env: launch_env,
        cwd: row.cwd.clone(),
    };
    let failed = |e: std::io::Error| {
        Failure::state(format!("write the files of terminal {}: {e}", row.id)).disk(&e)
    };
    fsx::create_private_dir(&run_dir).map_err(failed)?;
    fsx::create_private_dir(&cx.home.terminal_logs()).map_err(failed)?;
    for (name, bytes) in files.files {
        fsx::write_atomic(&run_dir.join(name), &bytes).map_err(failed)?;
    }
    let launch = serde_json::to_vec(&launch).map_err(|e| failed(e.into()))?;
    fsx::write_atomic(&run_dir.join(LaunchFile::NAME), &launch).map_err(failed)
}

/// The profile's text, and how messages reach this agent.
fn persona(plan: &Plan, row: &Terminal) -> String {
    let role = plan.role.as_str();
    let reports = plan.caller.as_ref().map_or_else(String::new, |caller| {
        format!(
            " You were started by terminal {caller}; send_message without receiver_id goes there."
        )
    });
    // What the program cannot be held to is asked of the model.
    let tools = &plan.profile.tools;
    let limits = if plan.manifest.enforce.tools == Firmness::Soft
        && !tools.is_empty()
        && !tools.iter().any(|tool| tool == "*" || tool == "@builtin")
    {
        format!(
            " Use these tools only: {}, and those of the server conductor.",
            plan.manifest.own_tools(tools).join(", ")
        )
    } else {
        String::new()
    };
    let worktree = own_worktree(row);
    format!(
        "{body}\n\n## Your place\n\nYou run in terminal {id} of the tmux session {session}, as a {role}.{reports}{limits}{worktree} Other agents and people \
         reach you through Agent Conductor. A line that begins with `[conductor #N from NAME]` is such a message, delivered for NAME. Where \
         the line says that the text is in the context added to the prompt, it stands there between two lines with the same tag. Where it says that the \
         message is long, read it with the MCP tool read_inbox of the server conductor. `(peer)` marks a note from a peer, `(again)` a message that you may have seen before.\n",
        body = plan.profile.persona.trim_end(),
        id = row.id,
        session = row.session,
    )
}

/// What an agent should know about a worktree of its own.
fn own_worktree(row: &Terminal) -> String {
    let branch = row
        .worktree
        .as_ref()
        .and_then(|worktree| worktree.branch.as_ref());
    branch.map_or_else(String::new, |branch| {
        format!(
            " You work in a git worktree of your own, on the branch {branch}: commit your work there, whoever started you takes it over from that \
             branch. What you leave without a commit is not taken over. Stay in this directory, and do not switch to another branch."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::TerminalId;
    use crate::domain::worktree::Worktree;

    #[test]
    fn an_agent_is_told_of_its_worktree() {
        let id = TerminalId::from_bytes([1, 2, 3, 4]);
        let mut row = Terminal::sample(id.clone());
        assert_eq!(own_worktree(&row), "");
        row.worktree = Some(Worktree::planned("/r".into(), &id, String::new()));
        assert!(
            own_worktree(&row).contains("on the branch conductor/01020304: commit your work there")
        );
    }
}
