//! Profiles, `install`, `trust`, `untrust`.

use super::Door;
use crate::cli;
use crate::domain::ids::Name;
use crate::domain::profile::Scope;
use crate::domain::text::one_line;
use crate::error::{Failure, Result};
use crate::paths;
use crate::proc;
use crate::profiles::edit::{self, Install};
use crate::profiles::finding::{Finding, Severity};
use crate::services::identity::{self, Caller};
use crate::services::profile::{self, Trusted, name, with_catalogue};
use crate::ui::table::{self, Table};
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::path::Path;

const fn scope(scope: cli::Scope) -> Scope {
    match scope {
        cli::Scope::User => Scope::User,
        cli::Scope::Project => Scope::Project,
    }
}

pub(super) fn profile(door: &mut Door<'_>, command: &cli::Profile) -> Result<()> {
    let cwd = paths::working_directory()?;
    let trusted = Trusted::read(&door.cx)?;
    let cx = door.cx.clone();
    match command {
        cli::Profile::List => {
            let list = with_catalogue(&cx, &trusted, &cwd, |c| c.list());
            door.print(&list, |list| {
                let mut table = Table::new(&["name", "scope", "role", "provider", "description"]);
                for e in list {
                    let note = match (&e.problem, e.shadowed, e.trusted) {
                        (Some(problem), _, _) => format!("BROKEN: {problem}"),
                        (None, true, _) => "(shadowed)".to_owned(),
                        (None, false, false) => "(not trusted)".to_owned(),
                        (None, false, true) => table::cut(&e.description, 70),
                    };
                    table.row(&[
                        e.name.as_str(),
                        e.scope.as_str(),
                        e.role.as_deref().unwrap_or("-"),
                        e.provider.as_deref().unwrap_or("-"),
                        &note,
                    ]);
                }
                table.render()
            })
        }
        cli::Profile::Show { name: text } => {
            let name = name(text)?;
            let loaded = with_catalogue(&cx, &trusted, &cwd, |c| c.load(&name))?;
            let p = &loaded.profile;
            let value = json!({
                "name": p.name, "description": p.description, "scope": loaded.scope,
                "path": loaded.path.as_ref().map(|path| path.display().to_string()),
                "role": p.role, "provider": p.provider, "model": p.model, "tags": p.tags, "tools": p.tools,
                "allowedTools": p.allowed_tools,
                "mcpServers": p.mcp_servers.iter().map(|s| s.name.clone()).collect::<Vec<_>>(),
                "permissionMode": p.permission_mode, "env": p.env.keys().collect::<Vec<_>>(), "prompt": p.prompt,
                "other": loaded.extra, "persona": p.persona,
                "warnings": loaded.warnings.iter().map(|w| w.message.clone()).collect::<Vec<_>>(),
            });
            door.print(&value, |value| {
                let mut text = String::new();
                for (key, value) in value.as_object().into_iter().flatten() {
                    let shown = match value {
                        serde_json::Value::Null => continue,
                        serde_json::Value::Array(list) if list.is_empty() => continue,
                        serde_json::Value::Object(other) if other.is_empty() => continue,
                        serde_json::Value::String(s) if key == "persona" => {
                            text.push('\n');
                            text.push_str(&crate::domain::text::sanitise(s));
                            text.push('\n');
                            continue;
                        }
                        serde_json::Value::String(s) => one_line(s),
                        other => one_line(&other.to_string()),
                    };
                    text.push_str(&format!("{key}: {shown}\n"));
                }
                text
            })
        }
        cli::Profile::Path { name: text } => {
            let name = name(text)?;
            let path =
                with_catalogue(&cx, &trusted, &cwd, |c| c.path(&name))?.ok_or_else(|| {
                    Failure::not_found(format!("profile {name} is built in and has no file")).hint(
                        format!(
                            "`conductor-hook profile create {name} --from {name}` makes a copy"
                        ),
                    )
                })?;
            let shown = path.display().to_string();
            door.print(&json!({"name": name, "path": shown}), |_| {
                format!("{shown}\n")
            })
        }
        cli::Profile::Create {
            name: text,
            from,
            scope: to,
        } => {
            let name = name(text)?;
            let template = match from {
                Some(from) => {
                    let from = profile::name(from)?;
                    Some(with_catalogue(&cx, &trusted, &cwd, |c| c.source(&from))?.bytes)
                }
                None => None,
            };
            let written = edit::create(&cx.home, &cwd, &name, template.as_deref(), scope(*to))?;
            door.print(&written, |w| format!("wrote {}\n", w.path.display()))
        }
        cli::Profile::Edit { name: text } => {
            let name = name(text)?;
            edit_profile(door, &trusted, &cwd, &name)
        }
        cli::Profile::Validate { name: text } => {
            let findings = if text.contains('/') {
                with_catalogue(&cx, &trusted, &cwd, |c| c.validate_file(Path::new(text)))?
            } else {
                let name = name(text)?;
                with_catalogue(&cx, &trusted, &cwd, |c| c.validate(&name))?
            };
            findings_out(door, text, &findings)
        }
        cli::Profile::Find { words } => {
            let found = with_catalogue(&cx, &trusted, &cwd, |c| c.find(&words.join(" ")));
            let list: Vec<_> = found.iter().map(|m| &m.entry).collect();
            door.print(&list, |list| {
                let mut table = Table::new(&["name", "scope", "description"]);
                for e in list {
                    table.row(&[
                        e.name.as_str(),
                        e.scope.as_str(),
                        &table::cut(&e.description, 80),
                    ]);
                }
                table.render()
            })
        }
    }
}

fn findings_out(door: &mut Door<'_>, what: &str, findings: &[Finding]) -> Result<()> {
    door.print(&findings, |findings| {
        let mut text = String::new();
        for f in *findings {
            let word = match f.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            let line = f
                .line
                .map(|line| format!("line {line}: "))
                .unwrap_or_default();
            text.push_str(&format!("{word}: {line}{}\n", one_line(&f.message)));
            if let Some(hint) = &f.hint {
                text.push_str(&format!("  hint: {}\n", one_line(hint)));
            }
        }
        if findings.is_empty() {
            text.push_str("nothing is wrong\n");
        }
        text
    })?;
    match crate::profiles::finding::failure(format!("check {}", one_line(what)), findings) {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

fn edit_profile(door: &mut Door<'_>, trusted: &Trusted, cwd: &Path, name: &Name) -> Result<()> {
    let cx = door.cx.clone();
    let path = with_catalogue(&cx, trusted, cwd, |c| c.path(name))?.ok_or_else(|| {
        Failure::refused(format!("profile {name} is built in")).hint(format!(
            "make a copy first: `conductor-hook profile create {name} --from {name}`"
        ))
    })?;
    let editor = paths::env("VISUAL").or_else(|| paths::env("EDITOR"));
    let Some(editor) = editor.or_else(|| {
        // Nobody is there to leave it again.
        std::io::stdin().is_terminal().then(|| "vi".to_owned())
    }) else {
        return Err(
            Failure::refused(format!("edit profile {name}: no editor is set")).hint(format!(
                "set EDITOR, or edit the file that `conductor-hook profile path {name}` prints"
            )),
        );
    };
    let words = shell_words::split(&editor)
        .map_err(|e| Failure::usage(format!("the editor {editor:?}: {e}")))?;
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::usage("the editor is empty"));
    };
    let status = proc::command(program)
        .args(arguments)
        .arg(&path)
        .status()
        .map_err(|e| Failure::failed(format!("start the editor {program}: {e}")))?;
    if !status.success() {
        return Err(Failure::failed(format!("the editor {program} failed")));
    }
    let findings = with_catalogue(&cx, trusted, cwd, |c| c.validate_file(&path))?;
    findings_out(door, name.as_str(), &findings)
}

pub(super) fn install(
    door: &mut Door<'_>,
    source: &str,
    to: cli::Scope,
    new_name: Option<&str>,
    force: bool,
) -> Result<()> {
    let cwd = paths::working_directory()?;
    let new_name = new_name.map(name).transpose()?;
    identity::honest_beside(&door.cx.home, "install")?;
    let written = edit::install(
        &door.cx.home,
        &cwd,
        Install {
            source,
            scope: scope(to),
            name: new_name.as_ref(),
            force,
        },
    )?;
    door.print(&written, |written| {
        written
            .iter()
            .map(|w| format!("wrote {}\n", w.path.display()))
            .collect()
    })
}

/// Trust is a person's decision: an agent could otherwise start what a repository brings.
fn person(door: &Door<'_>) -> Result<String> {
    let mut store = door.cx.store()?;
    match identity::honest(&mut store, "trust")? {
        caller @ Caller::Person { .. } => Ok(caller.word()),
        _ => Err(Failure::refused("agents cannot decide what is trusted")
            .hint("a person runs this in a shell of their own")),
    }
}

pub(super) fn trust(door: &mut Door<'_>, dir: &Path, yes: bool) -> Result<()> {
    let actor = person(door)?;
    let (project, contents) = profile::contents(dir)?;
    let shown = contents.show();
    if !door.json {
        door.write(&format!(
            "{}\n{shown}\n",
            one_line(&project.dir().to_string_lossy())
        ))?;
    }
    if !yes && !door.json {
        if !std::io::stdin().is_terminal() {
            return Err(Failure::refused("nobody is there to answer")
                .hint("look at the list above, then add --yes"));
        }
        door.write("Trust exactly these files? [y/N] ")?;
        let mut answer = String::new();
        std::io::stdin()
            .read_line(&mut answer)
            .map_err(|e| Failure::failed(format!("read the answer: {e}")))?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            return Err(Failure::refused("nothing was trusted")
                .hint("`conductor-hook trust DIR` again, and y, accepts them"));
        }
    } else if !yes {
        return Err(Failure::refused("--json asks nothing")
            .hint("look at the list without --json first, then add --yes"));
    }
    let mut store = door.cx.store()?;
    let count = profile::trust(&mut store, &project, &contents, &actor)?;
    let answer = json!({"project": project.dir().display().to_string(), "files": count});
    door.print(&answer, |_| {
        format!(
            "trusted {count} file{}\n",
            if count == 1 { "" } else { "s" }
        )
    })
}

pub(super) fn untrust(door: &mut Door<'_>, dir: &Path) -> Result<()> {
    let actor = person(door)?;
    let mut store = door.cx.store()?;
    let count = profile::untrust(&mut store, dir, &actor)?;
    if count == 0 {
        return Err(Failure::not_found(format!(
            "nothing of {} is trusted",
            one_line(&dir.to_string_lossy())
        ))
        .hint("name the directory that was given to `conductor-hook trust`"));
    }
    let _ = std::io::stdout().flush();
    door.print(&json!({"files": count}), |_| {
        format!(
            "{count} file{} no longer trusted\n",
            if count == 1 { "" } else { "s" }
        )
    })
}
