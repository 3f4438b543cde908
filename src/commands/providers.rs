//! Agent programs.

use super::{Door, state};
use crate::cli;
use crate::domain::text::{one_line, sanitise};
use crate::error::{Failure, Result};
use crate::providers::setup::Edit;
use crate::services::doctor::Level;
use crate::services::provider::{self, ProviderView};
use crate::services::setup;
use crate::ui::table::Table;
use serde_json::json;
use std::io::IsTerminal;

pub(super) fn provider(door: &mut Door<'_>, command: &cli::Provider) -> Result<u8> {
    let cx = door.cx.clone();
    match command {
        cli::Provider::List => {
            let list = provider::list(&cx)?;
            door.print(&list, |list| table(list))?;
        }
        cli::Provider::Show { name } => {
            let (_, view) = provider::show(&cx, name)?;
            door.print(&view, page)?;
        }
        cli::Provider::Check { name } => {
            let findings = provider::check(&cx, name)?;
            let broken = findings.iter().any(|f| f.level == Level::Broken);
            door.print(&findings, |findings| state::findings(findings))?;
            return Ok(u8::from(broken));
        }
        cli::Provider::Setup {
            name,
            dry_run,
            undo,
            yes,
        } => set_up(door, name, *dry_run, *undo, *yes)?,
    }
    Ok(0)
}

fn yes(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

fn table(list: &[ProviderView]) -> String {
    let mut table = Table::new(&[
        "provider",
        "installed",
        "proof",
        "gate",
        "channel",
        "setup",
        "tools",
        "tested with",
    ]);
    for p in list {
        let installed = match (&p.program, &p.version) {
            (None, _) => "no",
            (Some(_), Some(version)) => version,
            (Some(_), None) => "yes",
        };
        let verified = if p.verified.is_empty() {
            "not the real program".to_owned()
        } else {
            p.verified.join(", ")
        };
        table.row(&[
            p.name.as_str(),
            installed,
            yes(p.proof),
            yes(p.gate),
            p.channel.unwrap_or("-"),
            p.setup,
            p.tools,
            &verified,
        ]);
    }
    table.render()
}

fn page(p: &ProviderView) -> String {
    let or = |text: &Option<String>, other: &str| one_line(text.as_deref().unwrap_or(other));
    format!(
        "{title} ({name}{aliases})\n\
         program:      {program}\n\
         version:      {version}\n\
         tested with:  {verified}\n\
         proof:        {proof}\n\
         gate:         {gate}\n\
         channel:      {channel}\n\
         resume:       {resume}\n\
         setup:        {setup}\n\
         tools:        {tools}\n\
         allowedTools: {allowed}\n\
         live:         {live}\n",
        title = one_line(&p.title),
        name = p.name,
        aliases = p
            .aliases
            .iter()
            .map(|a| format!(", {a}"))
            .collect::<String>(),
        program = or(&p.program, "not installed"),
        version = or(&p.version, "not known"),
        verified = if p.verified.is_empty() {
            "nobody has run our tests with the real program".to_owned()
        } else {
            p.verified.join(", ")
        },
        proof = if p.proof {
            "its own events prove delivery"
        } else {
            "none: messages end as placed"
        },
        gate = if p.gate {
            "its calls wait for the policy and for you"
        } else {
            "none"
        },
        channel = p.channel.unwrap_or("a paste into its pane"),
        resume = yes(p.resume),
        setup = p.setup,
        tools = p.tools,
        allowed = p.allowed_tools,
        live = p.live,
    )
}

/// The change as people read it; the text of a settings file is not ours.
fn diff(edit: &Edit) -> String {
    let (before, after) = (
        edit.before.as_deref().unwrap_or_default(),
        edit.after.as_deref().unwrap_or_default(),
    );
    let path = edit.path.display().to_string();
    let shown = |there: &Option<String>| {
        if there.is_some() {
            let kind = if edit.is_link() {
                " (symbolic link)"
            } else {
                ""
            };
            format!("{}{kind}", one_line(&path))
        } else {
            "/dev/null".to_owned()
        }
    };
    let text = similar::TextDiff::from_lines(before, after)
        .unified_diff()
        .header(&shown(&edit.before), &shown(&edit.after))
        .missing_newline_hint(!edit.is_link())
        .to_string();
    sanitise(&text)
}

fn set_up(door: &mut Door<'_>, name: &str, dry_run: bool, undo: bool, sure: bool) -> Result<()> {
    let cx = door.cx.clone();
    if !dry_run {
        setup::allowed(&cx)?;
    }
    let planned = setup::plan(&cx, name, undo)?;
    let changes: Vec<&Edit> = planned.edits.iter().filter(|edit| edit.changes()).collect();
    let diffs: String = changes.iter().map(|edit| diff(edit)).collect();
    let ask =
        !dry_run && !sure && !changes.is_empty() && !door.json && std::io::stdin().is_terminal();
    if ask {
        door.write(&diffs)?;
        door.write("Write this? [y/N] ")?;
        let mut line = String::new();
        std::io::stdin()
            .read_line(&mut line)
            .map_err(|e| Failure::failed(format!("read the answer: {e}")))?;
        if !matches!(line.trim(), "y" | "Y" | "yes") {
            return Err(Failure::refused("nothing was changed")
                .hint("answer y to write it, or give --yes; --dry-run only shows it"));
        }
    }
    if !dry_run {
        setup::apply(&cx, &planned)?;
    }
    let files: Vec<_> = changes
        .iter()
        .map(|edit| {
            let kind = match (&edit.before, &edit.after) {
                (None, _) => "created",
                (_, None) => "removed",
                _ => "changed",
            };
            json!({"path": edit.path.display().to_string(), "change": kind, "diff": diff(edit)})
        })
        .collect();
    let done = json!({
        "provider": planned.manifest.name, "written": !dry_run, "undone": undo && !dry_run, "files": files,
    });
    let title = planned.manifest.title.clone();
    door.print(&done, |_| {
        let mut text = if ask { String::new() } else { diffs };
        text.push_str(&match (changes.is_empty(), dry_run, undo) {
            (true, _, _) => format!("{title}: nothing to change\n"),
            (false, true, _) => format!("{title}: this would be written; nothing was changed\n"),
            (false, false, false) => {
                format!("{title} is set up; agents that run already need a restart\n")
            }
            (false, false, true) => format!("{title}: our entries are taken out\n"),
        });
        text
    })
}
