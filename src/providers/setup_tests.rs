//! Our entries in somebody else's settings: put in once, taken out exactly, and nothing of theirs touched.

use super::*;
use crate::domain::ids::Name;
use crate::error::Kind;
use serde_json::json;
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

pub(super) const CLAUDE: &str = include_str!("../../agent_store/providers/claude_code.toml");
const CODEX: &str = include_str!("../../agent_store/providers/codex.toml");
const GEMINI: &str = include_str!("../../agent_store/providers/gemini.toml");
const KIRO: &str = include_str!("../../agent_store/providers/kiro_cli.toml");
const OPENCODE: &str = include_str!("../../agent_store/providers/opencode.toml");

/// A user's home and a state directory of their own.
pub(super) struct Lab {
    dir: tempfile::TempDir,
    pub(super) user: PathBuf,
    pub(super) home: Home,
    pub(super) hook: PathBuf,
    profiles: Vec<Profile>,
}

impl Lab {
    pub(super) fn new() -> Self {
        Self::named("user", "conductor-hook", "state")
    }

    pub(super) fn named(user: &str, hook: &str, state: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let user = dir.path().join(user);
        fsx::create_private_dir(&user).unwrap();
        Self {
            user,
            hook: dir.path().join(hook),
            home: Home::at(dir.path().join(state)).unwrap(),
            profiles: Vec::new(),
            dir,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.user.join(name)
    }

    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(name);
        fsx::create_private_dir(path.parent().unwrap()).unwrap();
        fsx::write_atomic(&path, text.as_ref()).unwrap();
        path
    }

    pub(super) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).unwrap()
    }

    pub(super) fn plan(&self, manifest: &str) -> Result<Vec<Edit>> {
        plan(
            &Manifest::parse(manifest).unwrap(),
            &SetupSpec {
                hook: &self.hook,
                home: &self.home,
                user_home: &self.user,
                own_tools: &["handoff", "assign"],
                profiles: &self.profiles,
            },
        )
    }

    pub(super) fn set_up(&self, manifest: &str) {
        let name = Manifest::parse(manifest).unwrap().name;
        apply(&self.home, &name, &self.plan(manifest).unwrap()).unwrap();
    }

    pub(super) fn undo(&self, manifest: &str) {
        let name = Manifest::parse(manifest).unwrap().name;
        let edits = undo_plan(&self.home, &name).unwrap();
        undo(&self.home, &name, &edits).unwrap();
    }

    /// Every path in the user's home, with its text where it is a file.
    pub(super) fn tree(&self) -> Vec<(PathBuf, Option<Vec<u8>>)> {
        let mut found = Vec::new();
        let mut rest = vec![self.user.clone()];
        while let Some(dir) = rest.pop() {
            for entry in std::fs::read_dir(&dir).unwrap().flatten() {
                let path = entry.path();
                found.push((path.clone(), std::fs::read(&path).ok()));
                if path.is_dir() {
                    rest.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

pub(super) fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn what_is_not_ours_stays_as_it_is_written() {
    for (indent, end, line_end) in [
        ("  ", "\n", "\n"),
        ("    ", "", "\n"),
        ("\t", "\n", "\n"),
        ("  ", "\r\n", "\r\n"),
    ] {
        let lab = Lab::new();
        let theirs = [
            r#""zebra": [1.10, 1e-7, 12345678901234567890123, -0],"#,
            r#""name": "caf\u00e9 \/ \"{[,:]}\"","#,
            r#""model": "opus","#,
            r#""empty": {},"#,
        ];
        let text = format!(
            "{{{lines}{line_end}{indent}\"hooks\": {{\"Stop\": [{{\"hooks\": []}}], \"Mine\": []}}{line_end}}}{end}",
            lines = theirs
                .map(|line| format!("{line_end}{indent}{line}"))
                .concat(),
        );
        lab.write(".claude/settings.json", &text);
        lab.set_up(CLAUDE);
        let set_up = lab.text(".claude/settings.json");
        let mut at = 0;
        for line in theirs {
            let whole = format!("{line_end}{indent}{line}{line_end}");
            let found = set_up[at..].find(&whole);
            at += found.unwrap_or_else(|| panic!("{line:?} in order in {set_up}"));
        }
        let hooks = &set_up[set_up.find("\"hooks\": {").unwrap()..];
        let inner = format!("{line_end}{indent}{indent}\"PreToolUse\": [");
        assert!(hooks.contains(&inner), "{indent:?}: {hooks}");
        assert!(
            set_up.ends_with(&format!("{line_end}}}{end}")),
            "{set_up:?}"
        );
        assert_eq!(
            set_up.matches('\n').count(),
            set_up.matches(line_end).count(),
            "one kind of line ends"
        );
        let value = parse(&set_up);
        assert_eq!(value["hooks"]["Stop"].as_array().unwrap().len(), 2);
        assert_eq!(value["hooks"]["Mine"], json!([]));
        assert_eq!(
            value["permissions"]["allow"],
            json!(["mcp__conductor__handoff", "mcp__conductor__assign"])
        );
    }
}

#[test]
fn setting_up_twice_is_once() {
    for (manifest, files) in [
        (CLAUDE, vec![".claude/settings.json", ".claude.json"]),
        (CODEX, vec![".codex/config.toml"]),
        (
            GEMINI,
            vec![".gemini/extensions/agent-conductor/hooks/hooks.json"],
        ),
        (
            OPENCODE,
            vec![
                ".config/opencode/opencode.json",
                ".config/opencode/plugin/agent-conductor.js",
            ],
        ),
    ] {
        let lab = Lab::new();
        lab.set_up(manifest);
        let once = lab.tree();
        for file in files {
            assert!(lab.text(file).contains("CONDUCTOR_SETUP"), "{file}");
        }
        assert!(lab.plan(manifest).unwrap().iter().all(|e| !e.changes()));
        lab.set_up(manifest);
        assert_eq!(lab.tree(), once);
        lab.undo(manifest);
        assert_eq!(lab.tree(), vec![], "no file was there before");
        let state = std::fs::read_dir(lab.home.setup()).unwrap().count();
        assert_eq!(state, 0, "nothing is remembered");
    }
}

#[test]
fn undo_brings_back_what_was_there_byte_for_byte() {
    for text in [
        "",
        " \n",
        "{}",
        "{\"a\":1}",
        "{ \"hooks\" : { } , \"b\":[1 ,2]}\n\n",
        "{\n\t\"permissions\": {\"allow\": [\"mcp__conductor__handoff\"]}\n}",
    ] {
        let lab = Lab::new();
        lab.write(".claude/settings.json", text);
        lab.write(".claude/other", "theirs");
        let before = lab.tree();
        lab.set_up(CLAUDE);
        lab.set_up(CLAUDE);
        assert_ne!(lab.tree(), before);
        lab.undo(CLAUDE);
        assert_eq!(lab.tree(), before, "{text:?}");
    }
}

#[test]
fn an_undo_without_a_setup_changes_nothing() {
    let lab = Lab::new();
    lab.write(".claude/settings.json", "{\"a\":1}");
    let before = lab.tree();
    lab.undo(CLAUDE);
    assert_eq!(lab.tree(), before);
}

#[test]
fn mode_and_links_are_kept() {
    let lab = Lab::new();
    let file = lab.write("dotfiles/settings.json", "{\"a\": 1}\n");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o664)).unwrap();
    fsx::create_private_dir(&lab.at(".claude")).unwrap();
    // One link to a link, and one to a file that is not there yet.
    symlink("../dotfiles/settings.json", lab.at(".claude/first")).unwrap();
    symlink("first", lab.at(".claude/settings.json")).unwrap();
    symlink("dotfiles/servers.json", lab.at(".claude.json")).unwrap();
    let before = lab.tree();
    let check = || {
        let mode = std::fs::metadata(&file).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o664);
        for (link, to) in [
            (".claude/settings.json", "first"),
            (".claude.json", "dotfiles/servers.json"),
        ] {
            assert_eq!(std::fs::read_link(lab.at(link)).unwrap(), Path::new(to));
        }
    };
    lab.set_up(CLAUDE);
    check();
    assert!(lab.text("dotfiles/settings.json").contains(MARK));
    assert!(lab.text("dotfiles/servers.json").contains("conductor"));
    lab.undo(CLAUDE);
    check();
    assert_eq!(lab.tree(), before);
}

#[test]
fn a_home_that_is_a_link_is_set_up_once() {
    let mut lab = Lab::new();
    let link = lab.dir.path().join("link");
    symlink(&lab.user, &link).unwrap();
    let real = std::mem::replace(&mut lab.user, link);
    // The directory is not there the first time, and is the second time.
    lab.set_up(CODEX);
    lab.set_up(CODEX);
    lab.undo(CODEX);
    lab.user = real;
    assert_eq!(lab.tree(), vec![]);
}

#[test]
fn undo_after_others_have_written_takes_out_ours() {
    let lab = Lab::new();
    let theirs = json!({"type": "command", "command": "mine"});
    lab.write(
        ".claude/settings.json",
        json!({"permissions": {"allow": ["Bash(ls)", "mcp__conductor__handoff"]}}).to_string(),
    );
    lab.set_up(CLAUDE);
    let mut settings = parse(&lab.text(".claude/settings.json"));
    // A group of their own, a hook in our group, a change to our hook, and more of the same kind.
    settings["hooks"]["Stop"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!({"hooks": [theirs]}));
    settings["hooks"]["PreToolUse"][0]["hooks"]
        .as_array_mut()
        .unwrap()
        .push(theirs.clone());
    settings["hooks"]["SessionStart"][0]["hooks"][0]["timeout"] = json!(1);
    settings["permissions"]["allow"]
        .as_array_mut()
        .unwrap()
        .push(json!("mcp__conductor__*"));
    settings["permissions"]["deny"] = json!(["mcp__conductor__assign"]);
    lab.write(".claude/settings.json", settings.to_string());
    // Claude Code writes this one at each start.
    let mut servers = parse(&lab.text(".claude.json"));
    servers["numStartups"] = json!(3);
    servers["mcpServers"]["other"] = json!({"command": "x", "env": {"A": "1"}});
    lab.write(
        ".claude.json",
        serde_json::to_string_pretty(&servers).unwrap(),
    );
    lab.undo(CLAUDE);
    assert_eq!(
        parse(&lab.text(".claude/settings.json")),
        json!({
            "permissions": {
                "allow": ["Bash(ls)", "mcp__conductor__handoff", "mcp__conductor__*"],
                "deny": ["mcp__conductor__assign"],
            },
            "hooks": {
                "Stop": [{"hooks": [theirs]}],
                "PreToolUse": [{"matcher": "*", "hooks": [theirs]}],
            },
        })
    );
    assert_eq!(
        parse(&lab.text(".claude.json")),
        json!({"mcpServers": {"other": {"command": "x", "env": {"A": "1"}}}, "numStartups": 3})
    );
}

#[test]
fn another_version_replaces_what_an_earlier_one_wrote() {
    for manifest in [CLAUDE, CODEX, OPENCODE] {
        let mut lab = Lab::new();
        lab.set_up(manifest);
        let touched = lab.tree();
        for (path, text) in touched {
            let Some(text) = text else { continue };
            let text = String::from_utf8(text).unwrap();
            match path.extension().and_then(|e| e.to_str()) {
                Some("json") => {
                    let mut value = parse(&text);
                    value["theirs"] = json!(1);
                    fsx::write_atomic(&path, value.to_string().as_bytes()).unwrap();
                }
                Some("toml") => {
                    let text = format!("theirs = 1\n{text}");
                    fsx::write_atomic(&path, text.as_bytes()).unwrap();
                }
                _ => {}
            }
        }
        let old = std::mem::replace(&mut lab.hook, lab.dir.path().join("newer"));
        lab.set_up(manifest);
        for (path, text) in lab.tree() {
            let text = String::from_utf8(text.unwrap_or_default()).unwrap();
            assert!(!text.contains(old.to_str().unwrap()), "{text}");
            assert!(path.is_dir() || text.contains("newer"), "{text}");
        }
        lab.undo(manifest);
        for (path, text) in lab.tree() {
            let text = String::from_utf8(text.unwrap_or_default()).unwrap();
            let rest: String = text.split_whitespace().collect();
            assert!(
                path.is_dir() || ["{\"theirs\":1}", "theirs=1"].contains(&rest.as_str()),
                "{text}"
            );
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_and_untouched() {
    for (name, text) in [
        (".claude/settings.json", &b"{\"a\": 1,}"[..]),
        (".claude/settings.json", b"// a comment\n{}"),
        (".claude/settings.json", b"[]"),
        (".claude/settings.json", b"\"text\""),
        (".claude/settings.json", b"{\"a\": \"\xff\"}"),
        (".claude/settings.json", b"{\"hooks\": []}"),
        (".claude/settings.json", b"{\"hooks\": null}"),
        (".claude/settings.json", b"{\"hooks\": {\"Stop\": {}}}"),
        (
            ".claude/settings.json",
            b"{\"permissions\": {\"allow\": \"all\"}}",
        ),
        (
            ".claude.json",
            b"{\"mcpServers\": {\"conductor\": {\"command\": \"theirs\"}}}",
        ),
        (".claude.json", b"{\"mcpServers\": 1}"),
    ] {
        let lab = Lab::new();
        lab.write(name, text);
        let before = lab.tree();
        let shown = String::from_utf8_lossy(text);
        let failure = lab.plan(CLAUDE).unwrap_err();
        assert_eq!(failure.kind(), Kind::Refused, "{shown}: {failure}");
        assert!(failure.message().contains(name), "{failure}");
        assert_eq!(lab.tree(), before, "{shown}");
    }
}

#[test]
fn whole_files_that_are_not_ours_are_refused() {
    for (manifest, file) in [
        (
            GEMINI,
            ".gemini/extensions/agent-conductor/gemini-extension.json",
        ),
        (OPENCODE, ".config/opencode/plugin/agent-conductor.js"),
    ] {
        let lab = Lab::new();
        lab.write(file, "theirs");
        let before = lab.tree();
        let failure = lab.plan(manifest).unwrap_err();
        assert_eq!(failure.kind(), Kind::Refused, "{failure}");
        assert_eq!(lab.tree(), before);
    }
    let lab = Lab::new();
    lab.write(".config/opencode/opencode.jsonc", "{ /* theirs */ }");
    assert_eq!(lab.plan(OPENCODE).unwrap_err().kind(), Kind::Refused);
}

#[test]
fn a_file_that_cannot_be_written_leaves_all_as_it_was() {
    let lab = Lab::new();
    lab.write(".claude/settings.json", "{\"a\":1}");
    let edits = lab.plan(CLAUDE).unwrap();
    // Between the plan and the writing somebody else writes the second one.
    lab.write(".claude.json", "{\"b\":2}");
    let before = lab.tree();
    let failure = apply(&lab.home, "claude_code", &edits).unwrap_err();
    assert!(failure.message().contains("meanwhile"), "{failure}");
    assert_eq!(lab.tree(), before);
    let manifest = Manifest::parse(CLAUDE).unwrap();
    assert!(!in_force(&lab.home, &manifest));
    lab.set_up(CLAUDE);
    assert!(in_force(&lab.home, &manifest));
    lab.undo(CLAUDE);
    assert_eq!(lab.tree(), before);
    assert!(!in_force(&lab.home, &manifest));
}

#[test]
fn codex_gets_lines_that_are_toml_and_lose_nothing() {
    for text in [
        "",
        "model = \"o\"",
        "# theirs\nmodel = 'o'\n\n[[hooks.Stop]]\n[[hooks.Stop.hooks]]\ntype = \"command\"\ncommand = \"mine\"\n",
        "[mcp_servers.other]\ncommand = \"x\"\n",
    ] {
        let lab = Lab::named("user", "con \"ductor's\" hook", "state");
        lab.write(".codex/config.toml", text);
        let before = lab.tree();
        lab.set_up(CODEX);
        let set_up = lab.text(".codex/config.toml");
        assert!(set_up.starts_with(text), "{set_up}");
        let table: toml::Table = toml::from_str(&set_up).unwrap();
        let server = &table["mcp_servers"]["conductor"];
        assert_eq!(server["command"].as_str(), lab.hook.to_str());
        let stop = table["hooks"]["Stop"].as_array().unwrap();
        let ours = stop.last().unwrap()["hooks"][0]["command"].as_str();
        assert!(ours.unwrap().ends_with("hook codex Stop"), "{ours:?}");
        lab.undo(CODEX);
        assert_eq!(lab.tree(), before);
    }
}

#[test]
fn codex_lines_that_do_not_fit_are_refused() {
    for text in [
        "hooks = {Stop = []}\n",
        "[hooks]\nStop = []\n",
        "[mcp_servers.conductor]\ncommand = \"theirs\"\n",
        "mcp_servers = {}\n",
        "not toml",
    ] {
        let lab = Lab::new();
        lab.write(".codex/config.toml", text);
        let before = lab.tree();
        let failure = lab.plan(CODEX).unwrap_err();
        assert_eq!(failure.kind(), Kind::Refused, "{text}: {failure}");
        assert_eq!(lab.tree(), before);
    }
}

/// Codex itself writes what its person trusts into the file, between the tables that are there.
#[test]
fn undo_keeps_what_others_wrote_between_our_lines() {
    let lab = Lab::new();
    lab.write(".codex/config.toml", "model = \"o\"\n");
    lab.set_up(CODEX);
    let trust = "[hooks.state.\"/x/config.toml:stop:0:0\"]\ntrusted_hash = \"sha256:00\"\n\n";
    let project = "\n# my own\n[projects.\"/x\"]\ntrust_level = \"trusted\"\n";
    let last = "# agent-conductor: end\n";
    let text = lab
        .text(".codex/config.toml")
        .replace(
            "[mcp_servers.conductor]",
            &format!("{trust}[mcp_servers.conductor]"),
        )
        .replace("timeout = 30\n", "timeout = 31\n")
        .replace(last, &format!("{project}{last}"));
    let text = format!("{text}[tui]\nx = 1\n").replacen("model =", "# first\nmodel =", 1);
    lab.write(".codex/config.toml", &text);
    lab.undo(CODEX);
    let left = lab.text(".codex/config.toml");
    let table: toml::Table = toml::from_str(&left).unwrap();
    let theirs: toml::Table =
        toml::from_str(&format!("model = \"o\"\n{trust}{project}[tui]\nx = 1\n")).unwrap();
    assert_eq!(table, theirs, "{left}");
    assert!(!left.contains("conductor"), "{left}");
    assert!(
        left.contains("# first\n") && left.contains("# my own\n"),
        "{left}"
    );
    // Somebody took away one of the two comments.
    lab.undo(CODEX);
    lab.set_up(CODEX);
    let text = lab.text(".codex/config.toml").replace(last, "") + "[more]\ny = 2\n";
    lab.write(".codex/config.toml", text);
    lab.undo(CODEX);
    assert_eq!(
        lab.text(".codex/config.toml"),
        format!("{left}[more]\ny = 2\n")
    );
}

#[test]
fn a_profile_that_is_gone_leaves_no_file_behind_after_undo() {
    let mut lab = Lab::new();
    let profiles = |names: &[&str]| -> Vec<Profile> {
        names
            .iter()
            .map(|name| Profile {
                name: Name::parse(name).unwrap(),
                description: "a test".to_owned(),
                role: None,
                provider: None,
                model: None,
                tags: Vec::new(),
                tools: Vec::new(),
                allowed_tools: Vec::new(),
                mcp_servers: Vec::new(),
                permission_mode: None,
                env: BTreeMap::new(),
                prompt: None,
                persona: "You test.".to_owned(),
            })
            .collect()
    };
    lab.profiles = profiles(&["one", "two"]);
    lab.set_up(KIRO);
    assert!(lab.text(".kiro/agents/conductor-two.json").contains(MARK));
    lab.profiles = profiles(&["one", "three"]);
    lab.set_up(KIRO);
    lab.undo(KIRO);
    assert_eq!(lab.tree(), vec![]);
}
