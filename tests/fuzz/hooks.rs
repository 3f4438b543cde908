//! What agents' hooks say: whatever it is, the answer is one that the agent understands, and nothing is allowed that was not asked for whole.

use crate::engine::{Target, Trail};
use conductor::domain::event::AgentEvent;
use conductor::domain::policy::{Action, Call, Decision, Policy, judge};
use conductor::domain::text::is_unsafe;
use conductor::paths::Home;
use conductor::profiles::policy;
use conductor::profiles::policy_sight::Disk;
use conductor::providers::{Catalogue, Dialect, Manifest, Verdict};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The program under test.
const BINARY: &str = env!("CARGO_BIN_EXE_conductor-hook");

/// One input in this many is given to the program itself.
const RARELY: u64 = 200;

/// Agents, the folder with what their hooks were seen to say, and the hooks that decide.
const AGENTS: [(&str, &[&str]); 5] = [
    ("claude_code", &["PreToolUse", "PermissionRequest"]),
    ("codex", &["PreToolUse", "PermissionRequest"]),
    ("gemini", &["BeforeTool"]),
    ("opencode", &["tool.before", "permission"]),
    ("kiro_cli", &["preToolUse"]),
];

/// What an agent asks for, read once more.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Asked {
    tool_input: Value,
    args: Value,
}

/// An input is a line `AGENT EVENT`, and behind it what the hook gets.
pub(crate) struct Hooks {
    dir: TempDir,
    manifests: Vec<(&'static str, Manifest)>,
    policy: Policy,
    cwd: PathBuf,
    count: u64,
}

impl Hooks {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["user", "project", "state"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let home = Home::at(dir.path().join("state")).unwrap();
        let catalogue = Catalogue::of(&home);
        Self {
            manifests: AGENTS
                .iter()
                .map(|(name, _)| (*name, catalogue.get(name).unwrap()))
                .collect(),
            policy: policy::built_in().policy,
            cwd: dir.path().join("project"),
            dir,
            count: 0,
        }
    }

    /// What the policy says about a call that `given` asks for, and whether that is what `given` says.
    fn judged(
        &self,
        manifest: &Manifest,
        event: &str,
        given: &[u8],
        trail: &mut Trail,
    ) -> Result<(), String> {
        let dialect = manifest.dialect;
        let incoming = match dialect.read(event, given) {
            Ok(Some(incoming)) => incoming,
            Ok(None) if dialect.decides(event) => {
                return Err(format!(
                    "{event} waits for a decision, and its input means nothing"
                ));
            }
            Ok(None) => return Ok(()),
            Err(why) => {
                trail.says(&why);
                return Ok(());
            }
        };
        trail.passes((event, std::mem::discriminant(&incoming.event)));
        if let AgentEvent::ToolStarting(call) | AgentEvent::PermissionAsked(call) = &incoming.event
            && call.tool.is_empty()
            && !String::from_utf8_lossy(given).contains("tool")
        {
            return Err(format!("{event} asks about nothing"));
        }
        let call = match &incoming.event {
            AgentEvent::ToolStarting(call) => call,
            AgentEvent::PermissionAsked(call) | AgentEvent::ToolFinished(call, _) => {
                return named(&call.tool);
            }
            // The agent asks its person by itself.
            AgentEvent::DialogShown(_) if event == "PermissionRequest" => return Ok(()),
            _ if dialect.decides(event) => {
                return Err(format!("{event} is read as {:?}", incoming.event));
            }
            _ => return Ok(()),
        };
        named(&call.tool)?;
        let action = manifest.action(call);
        let asks = dialect.asks_by_itself(incoming.permission_mode.as_deref());
        let cwd = incoming
            .cwd
            .as_deref()
            .map(Path::new)
            .filter(|dir| dir.is_absolute());
        let ruling = judge(
            &self.policy,
            &Call {
                tool: &call.tool,
                action: &action,
                cwd: cwd.unwrap_or(&self.cwd),
                start: incoming
                    .workdir
                    .as_deref()
                    .map(Path::new)
                    .filter(|dir| dir.is_absolute()),
                profile: "developer",
                agent_asks: asks,
                allows_edits: !asks,
            },
            &Disk::with_path("/usr/bin:/bin"),
        );
        trail.passes((
            std::mem::discriminant(&action),
            ruling.decision as u8,
            ruling.complete,
            asks,
        ));
        if ruling.decision > Decision::Allow {
            return Ok(());
        }
        let asked: Asked = std::str::from_utf8(given)
            .map_err(|error| error.to_string())
            .and_then(|text| serde_json::from_str(text).map_err(|error| error.to_string()))
            .map_err(|error| format!("what is no JSON is allowed ({error})"))?;
        let input = if dialect == Dialect::Opencode {
            &asked.args
        } else {
            &asked.tool_input
        };
        if *input != call.input {
            return Err(format!(
                "{:?} is allowed, and {input} was asked for",
                call.input
            ));
        }
        if let Action::Shell { command } = &action {
            let asked = input
                .as_object()
                .is_some_and(|fields| fields.values().any(|value| value == command));
            if !ruling.complete || !asked {
                return Err(format!("{command:?} is allowed, and {input} was asked for"));
            }
        }
        Ok(())
    }

    /// The program itself, as a process that claims to be an agent's and is not: it denies what waits for a decision, and is quiet otherwise.
    fn denies(
        &self,
        name: &str,
        dialect: Dialect,
        event: &str,
        given: &[u8],
    ) -> Result<(), String> {
        let input = self.dir.path().join("input");
        fs::write(&input, given).unwrap();
        let done = Command::new(BINARY)
            .args(["hook", name, event])
            .env_clear()
            .env("HOME", self.dir.path().join("user"))
            .env("PATH", "/usr/bin:/bin")
            .env("CONDUCTOR_HOME", self.dir.path().join("state"))
            .env("CONDUCTOR_TERMINAL_ID", "0badcafe")
            .current_dir(self.dir.path().join("project"))
            .stdin(fs::File::open(&input).unwrap())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let (out, err) = (
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr),
        );
        if err.contains("internal error") {
            return Err(format!("{name} {event}: {err}"));
        }
        if dialect.decides(event) {
            let refused = match event {
                "permission" => out.contains(r#""reply":"reject""#),
                "PermissionRequest" => out.contains(r#""behavior":"deny""#),
                _ => dialect.blocked(done.status.code(), &out, &err),
            };
            if refused {
                return Ok(());
            }
        } else if done.status.success() && out.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{name} {event} of nobody ends with {:?}, {out:?}, {err:?}",
            done.status.code()
        ))
    }
}

fn named(tool: &str) -> Result<(), String> {
    if tool.chars().any(is_unsafe) || tool.chars().count() > 80 {
        return Err(format!("a tool is called {tool:?}"));
    }
    Ok(())
}

impl Target for Hooks {
    fn seeds(&self) -> Vec<Vec<u8>> {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/agents");
        let mut seeds = Vec::new();
        for (name, events) in AGENTS {
            let text = fs::read_to_string(fixtures.join(name).join("hooks.jsonl")).unwrap();
            for line in text.lines() {
                let seen: Value = serde_json::from_str(line).unwrap();
                let event = seen["event"].as_str().unwrap();
                seeds.push(format!("{name} {event}\n{}", seen["input"]).into_bytes());
            }
            let tool = match name {
                "gemini" => "run_shell_command",
                "kiro_cli" => "execute_bash",
                "opencode" => "bash",
                _ => "Bash",
            };
            let (field, called) = if name == "opencode" {
                ("args", "tool")
            } else {
                ("tool_input", "tool_name")
            };
            for event in events {
                for command in ["git status", "ls && rm -rf /", "cat a | sort"] {
                    let given = json!({called: tool, field: {"command": command}, "cwd": self.cwd});
                    seeds.push(format!("{name} {event}\n{given}").into_bytes());
                }
            }
        }
        seeds
    }

    fn dictionary(&self) -> Vec<Vec<u8>> {
        let mut words: Vec<Vec<u8>> = [
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "null",
            "true",
            "1e999",
            "-0",
            "\"\"",
            "\"\\ud800\"",
            "\"\\u0000\"",
            "\u{feff}",
            "\"tool_name\":",
            "\"tool_input\":",
            "\"command\":\"rm -rf /\"",
            "\"command\":\"ls\"",
            "\"cwd\":\"/\"",
            "\"cwd\":\"relative\"",
            "\"permission_mode\":\"default\"",
            "\"permission_mode\":\"bypassPermissions\"",
            "\"hook_event_name\":\"Stop\"",
            "\"tool_use_id\":\"x\"",
            "\"agent_id\":\"sub\"",
            "\"args\":",
            "\"tool\":\"bash\"",
            "\"workdir\":\"/etc\"",
            "\"mcp_context\":{\"server_name\":\"a\",\"tool_name\":\"b\"}",
            "\"Read\"",
            "\"Write\"",
            "\"Bash\"",
            "\"apply_patch\"",
            "\"file_path\":\"/etc/passwd\"",
            "\"mcp__conductor__handoff\"",
            "*** Begin Patch\\n*** Update File: ../x\\n",
            "\"run_in_background\":true",
            "\"sandbox_permissions\":\"require_escalated\"",
            " PreToolUse\n",
            " Stop\n",
            " nonsense\n",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec();
        words.extend(AGENTS.map(|(name, _)| name.as_bytes().to_vec()));
        words
    }

    fn check(&mut self, input: &[u8], trail: &mut Trail) -> Result<(), String> {
        self.count += 1;
        let end = input
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(input.len());
        let front = String::from_utf8_lossy(&input[..end]).into_owned();
        let given = input.get(end + 1..).unwrap_or_default();
        let (name, event) = front.split_once(' ').unwrap_or((&front, ""));
        let (name, manifest) = self
            .manifests
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap_or(&self.manifests[0]);
        self.judged(manifest, event, given, trail)?;
        if manifest.dialect.decides(event) {
            let incoming = manifest.dialect.read(event, given).ok().flatten();
            let reason = String::from_utf8_lossy(&given[..given.len().min(200)]).into_owned();
            let denied =
                manifest
                    .dialect
                    .decision(event, &Verdict::Deny(reason), incoming.as_ref());
            let blocked =
                manifest
                    .dialect
                    .blocked(Some(i32::from(denied.code)), &denied.out, &denied.err);
            if !blocked && event == "PreToolUse" {
                return Err(format!("a denial lets the call run: {denied:?}"));
            }
        }
        if self.count.is_multiple_of(RARELY) && !event.contains('\0') && !event.starts_with('-') {
            self.denies(name, manifest.dialect, event, given)?;
        }
        Ok(())
    }
}
