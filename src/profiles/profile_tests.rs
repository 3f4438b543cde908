//! What a profile's file may say.

use super::*;
use proptest::prelude::*;

fn errors(text: &str) -> Vec<String> {
    let findings = read(text.as_bytes(), Some("dev")).1;
    let errors = findings.iter().filter(|f| f.is_error());
    errors.map(ToString::to_string).collect()
}

fn warnings(text: &str) -> Vec<String> {
    let (_, findings) = read(text.as_bytes(), Some("dev"));
    assert!(findings.iter().all(|f| !f.is_error()), "{findings:?}");
    findings.iter().map(ToString::to_string).collect()
}

fn with(fields: &str) -> String {
    format!("---\nname: dev\ndescription: d\n{fields}\n---\nbody\n")
}

#[test]
fn a_profile_in_the_manner_of_cli_agent_orchestrator_loads_unchanged() {
    let text = "---
name: dev
description: Implements scoped code changes
role: developer
provider: kiro_cli
engine: v2
allowedTools: [\"@builtin\", \"fs_*\", \"execute_bash\", \"@cao-mcp-server\"]
capabilities:
  - writes Rust, and tests
tags: [rust]
skills: [\"ads-*\"]
container:
  path_maps:
    - host: /home/user/tmp
      guest: /workspace/tmp
provider_init_timeout: 180
toolsSettings:
  execute_bash:
    alwaysAllow: [{preset: readOnly}]
toolAliases: {h: \"@cao-mcp-server/handoff\"}
resources: [\"file://README.md\"]
hooks: {}
useLegacyMcpJson: false
codexConfig: {model_reasoning_effort: xhigh, \"features.fast_mode\": true}
mcpServers:
  cao-mcp-server:
    type: stdio
    command: uvx
    args: [\"--from\", \"git+https://example.org/x.git@main\", \"cao-mcp-server\"]
model: 4.5
---

# DEVELOPER AGENT
* a list, & so on
";
    assert_eq!(warnings(text), Vec::<String>::new());
    let profile = read(text.as_bytes(), None)
        .0
        .into_profile(Name::parse("dev").unwrap());
    assert_eq!(profile.tags, ["rust", "developer"]);
    assert_eq!(profile.model.as_deref(), Some("4.5"));
    assert_eq!(profile.allowed_tools.len(), 4);
    assert_eq!(profile.mcp_servers[0].definition["command"], "uvx");
    assert_eq!(
        profile.persona, "# DEVELOPER AGENT\n* a list, & so on",
        "the body stays as it is"
    );
}

#[test]
fn a_profile_in_the_manner_of_agent_conductor_loads_unchanged() {
    let text = "---
name: dev
description: Coordinates release notes and tagging
default_provider: claude_code
tags: [operations, supervisor]
mcpServers:
  conductor-mcp-server:
    type: stdio
    command: uvx
    args:
      - \"--from\"
      - \"conductor-mcp-server\"
tools:
  - \"@builtin/shell\"
  - \"@conductor-mcp-server/handoff\"
toolAliases:
  delegate: \"@conductor-mcp-server/handoff\"
toolsSettings:
  \"@builtin/shell\":
    workingDirectory: \"/tmp/conductor\"
allowedTools:
variables:
  release_branch: \"main\"
notes: for us
prompt: |
  Remember to coordinate with QA.
---

# ROLE
You orchestrate the release of `{{release_branch}}`.
";
    assert_eq!(warnings(text), Vec::<String>::new());
    let draft = read(text.as_bytes(), None).0;
    assert_eq!(draft.provider.as_deref(), Some("claude_code"));
    assert_eq!(draft.extra["variables"]["release_branch"], "main");
    assert_eq!(draft.allowed_tools, None);
}

#[test]
fn lists_may_be_written_with_commas() {
    let draft = read(
        with("tools: Read, Bash(git log, x)\ntags: a, b").as_bytes(),
        None,
    )
    .0;
    assert_eq!(draft.tools.unwrap(), ["Read", "Bash(git log, x)"]);
    assert_eq!(draft.tags.unwrap(), ["a", "b"]);
}

#[test]
fn unknown_keys_are_kept_and_named() {
    let text = with("allowed_tools: [x]\nteam: core");
    assert_eq!(
        warnings(&text),
        [
            "line 4: the key \"allowed_tools\" is unknown and has no effect; did you mean allowedTools?",
            "line 5: the key \"team\" is unknown and has no effect",
        ]
    );
    assert_eq!(read(text.as_bytes(), None).0.extra["team"], "core");
}

#[test]
fn what_is_missing_or_wrong_is_named_with_its_line() {
    assert_eq!(
        errors("---\nrole: x\n---\n"),
        ["there is no name", "there is no description"]
    );
    assert_eq!(errors("---\nextends: base\nname: dev\n---\n"), [""; 0]);
    assert!(errors(&with("extends: ../base"))[0].starts_with("line 4: extends: \"../base\""));
    assert!(errors("---\nname: ../x\ndescription: d\n---\n")[0].starts_with("line 2: name: "));
    assert_eq!(
        errors(&with("env:\n  LD_PRELOAD: /x")),
        [
            "line 4: env: \"LD_PRELOAD\" may not be set by a profile: it changes what other programs load, or is ours"
        ]
    );
    assert_eq!(
        errors(&with("env: [A]")),
        ["line 4: env is not a map of names but a list"]
    );
    assert_eq!(
        errors(&with("tools: {a: b}")),
        ["line 4: tools is not a list of words"]
    );
    assert_eq!(
        errors(&with("model: --dangerous")),
        ["line 4: model starts with - and would be read as an option"]
    );
    assert_eq!(errors(&with("provider: a/b")).len(), 1);
    assert_eq!(
        errors(&with("mcpServers: {conductor: {command: x}}")).len(),
        1
    );
    assert_eq!(errors(&with("mcpServers: {x: {}}")).len(), 1);
    assert_eq!(warnings(&with("x: y").replace("dev", "other")).len(), 2);
    assert_eq!(
        warnings(&with("role: w").replace("body", "a\nb\u{202e}"))[0],
        "line 7: a control or invisible character (U+202E) stands here"
    );
}

#[test]
fn a_child_stands_over_its_parent() {
    let parent = with(
        "tags: [a]\nmodel: m\nenv: {A: 1, B: 1}\nmcpServers: {x: {command: old}, y: {command: y}}\nextends: root",
    );
    let child = "---\nname: kid\ntags: [b]\nenv: {B: 2}\nmcpServers: {x: {url: new}}\n---\nmore\n";
    let draft = |text: &str| read(text.as_bytes(), None).0;
    let both = draft(child).over(draft(&parent));
    assert_eq!(both.name.unwrap().as_str(), "kid");
    assert_eq!(both.description.as_deref(), Some("d"));
    assert_eq!(both.tags.unwrap(), ["b"]);
    assert_eq!(both.model.as_deref(), Some("m"));
    assert_eq!(both.env["A"], "1");
    assert_eq!(both.env["B"], "2");
    assert_eq!(both.mcp_servers.len(), 2);
    assert_eq!(both.mcp_servers[1].definition["url"], "new");
    assert_eq!(both.persona, "body\n\nmore");
    assert_eq!(both.extends.unwrap().as_str(), "root");
}

proptest! {
    #[test]
    fn no_fields_make_it_panic(key in "name|env|tools|mcpServers|extends|model|prompt", value in "[a-c&:,\\[\\]{}\"0-9 -]{0,30}", body in any::<String>()) {
        let text = format!("---\nname: dev\ndescription: d\n{key}: {value}\n---\n{body}");
        let (draft, _) = read(text.as_bytes(), Some("dev"));
        prop_assert!(draft.env.keys().all(|name| refused_variable(name).is_none()));
        prop_assert!(draft.tools.iter().flatten().all(|tool| !tool.starts_with('-')));
    }
}
