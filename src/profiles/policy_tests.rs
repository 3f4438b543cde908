//! Tests of loading policies.

use super::*;
use std::time::Instant;

struct Place {
    _temp: tempfile::TempDir,
    home: Home,
    cwd: std::path::PathBuf,
}

impl Place {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(temp.path().join("state")).unwrap();
        fsx::create_private_dir(home.root()).unwrap();
        let cwd = temp.path().join("project");
        fsx::create_private_dir(&cwd.join(".conductor")).unwrap();
        Self {
            cwd: cwd.canonicalize().unwrap(),
            home,
            _temp: temp,
        }
    }

    fn user(&self, text: &str) {
        fsx::write_atomic(&self.home.policy(), text.as_bytes()).unwrap();
    }

    fn project(&self, text: &str) {
        fsx::write_atomic(&self.cwd.join(".conductor/policy.toml"), text.as_bytes()).unwrap();
    }

    fn load(&self) -> Loaded {
        load(&self.home, &self.cwd, &|_, _| false)
    }

    fn has(&self, id: &str) -> bool {
        self.load().policy.rules.iter().any(|rule| rule.id == id)
    }
}

/// What people read and change.
const SOURCE: &str = include_str!("../../agent_store/policy.toml");

#[test]
fn what_is_built_in_is_what_the_file_says() {
    let mut value: serde_json::Value = toml::from_str(SOURCE).unwrap();
    for rule in value["rule"].as_array_mut().unwrap() {
        rule.as_object_mut().unwrap().remove("examples");
    }
    // A rule a line, so that a change can be seen.
    let rules = value["rule"]
        .as_array()
        .unwrap()
        .iter()
        .map(ToString::to_string);
    let wanted = format!(
        "{{\"version\":{},\"rule\":[\n{}\n]}}\n",
        value["version"],
        rules.collect::<Vec<_>>().join(",\n")
    );
    assert_eq!(value.as_object().unwrap().len(), 2, "version and rules");
    if paths::env("CONDUCTOR_RENEW").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/agent_store/policy.json");
        fsx::write_atomic_mode(Path::new(path), wanted.as_bytes(), 0o644).unwrap();
        return;
    }
    assert_eq!(
        BUILT_IN, wanted,
        "CONDUCTOR_RENEW=1 cargo test --lib what_is_built_in"
    );
}

const RULE: &str = "version = 1\n[[rule]]\nid = \"mine\"\ndecision = \"ask\"\nprogram = \"frob\"\n";

#[test]
fn the_built_in_policy_has_no_mistake_and_its_examples_hold() {
    let (file, findings) = match policy_file::parse(SOURCE) {
        Ok(file) => (file, Vec::new()),
        Err(findings) => (PolicyFile::default(), findings),
    };
    assert_eq!(findings, []);
    let mut faults = Vec::new();
    for (rule, line) in &file.rules {
        for fault in examples::faults(rule) {
            faults.push(format!("line {line}: rule {}: {fault}", rule.id));
        }
        assert_eq!(
            rule.presence, None,
            "built-in rules set risk, never presence"
        );
        let tool_only = !rule.names_commands() && !rule.names_paths();
        assert!(
            tool_only || !rule.examples.matches.is_empty(),
            "{} has no example",
            rule.id
        );
        assert!(
            tool_only || !rule.examples.not_matches.is_empty(),
            "{}",
            rule.id
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_users_file_adds_and_a_bad_one_leaves_the_last_good_in_force() {
    let place = Place::new();
    assert_eq!(place.load().layers.len(), 1);
    place.user(&format!("{RULE}risk = \"high\"\n"));
    assert!(place.has("mine"));
    let good = std::fs::metadata(place.home.policy_good()).unwrap();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&good.permissions()) & 0o777,
        0o600
    );
    for bad in [
        "version = 1\n[[rule]]\nid = \"x\"\n",
        "version = 2\n",
        "version = 1\ncolour = 3\n",
        "version = 1\n[[rule]]\nid = \"x\"\ndecision = \"allow\"\nprogram = \"ls\"\nflag = \"-x\"\n",
        "version = 1\n[[rule]]\nid = \"x\"\ndecision = \"ask\"\nprogram = \"ls\"\nexamples = { match = [\"cat\"] }\n",
        "version = 1\n[[rule]]\nid = \"read-files\"\ndecision = \"ask\"\nprogram = \"ls\"\n",
        "version = 1\n[[rule]]\nid = \"x\"\ndecision = \"allow\"\nargv = [\"x\"]\noverrides = [\"gate-files\"]\n",
        "version = 1\n[[rule]]\nid = \"x\"\ndecision = \"allow\"\nany_flag = \"-x\"\n",
        "version = 1\n[[rule]]\nid = \"x\"\ndecision = \"ask\"\n",
        "version = 1\n[defaults]\nexpires = \"1y\"\n",
        "\u{0}",
    ] {
        place.user(bad);
        let loaded = place.load();
        assert!(place.has("mine"), "{bad}");
        assert!(
            loaded.warnings[0].ends_with("the last good copy stays in force"),
            "{bad}: {:?}",
            loaded.warnings
        );
        assert_eq!(loaded.layers[1].name, "last good");
    }
    // A copy that somebody changed is not taken.
    let copy = std::fs::read_to_string(place.home.policy_good()).unwrap();
    let changed = copy.replace("frob", "frab");
    fsx::write_atomic(&place.home.policy_good(), changed.as_bytes()).unwrap();
    assert!(!place.has("mine"));
}

#[test]
fn defaults_are_read() {
    let place = Place::new();
    place.user(
        "version = 1\n[defaults]\nunmatched = \"ask\"\npresence = \"pin\"\nexpires = \"30m\"\n",
    );
    let defaults = place.load().policy.defaults;
    assert!(defaults.ask_unmatched);
    assert_eq!(defaults.presence, Some(Presence::Pin));
    assert_eq!(defaults.expires_seconds, 1800);
    place.project("version = 1\n[defaults]\nunmatched = \"defer\"\npresence = \"caller\"\nexpires = \"20m\"\n");
    let tighter = place.load().policy.defaults;
    assert!(tighter.ask_unmatched);
    assert_eq!(tighter.presence, Some(Presence::Pin));
    assert_eq!(tighter.expires_seconds, 1200);
}

#[test]
fn a_project_only_tightens() {
    let place = Place::new();
    place.project(&format!(
        "{RULE}[[rule]]\nid = \"loose\"\ndecision = \"allow\"\nprogram = \"x\"\noverrides = [\"delete\"]\n"
    ));
    let loaded = place.load();
    assert!(place.has("project:mine"));
    assert!(!place.has("project:loose"));
    assert_eq!(loaded.warnings.len(), 2);
    let trusted = load(&place.home, &place.cwd, &|_, _| true);
    let loose = trusted
        .policy
        .rules
        .iter()
        .find(|rule| rule.id == "project:loose")
        .unwrap();
    assert_eq!(loose.overrides, [""; 0]);
    place.project("version = 1\n[[rule]]\n");
    let loaded = place.load();
    assert!(!place.has("project:mine"));
    assert!(
        loaded.warnings[0].contains("is ignored"),
        "{:?}",
        loaded.warnings
    );
}

#[test]
fn in_a_worktree_of_ours_the_main_ones_policy_goes_on_to_tighten() {
    let place = Place::new();
    let loose = "[[rule]]\nid = \"loose\"\ndecision = \"allow\"\nprogram = \"x\"\n";
    place.project(&format!("{RULE}{loose}"));
    let worktree = place.cwd.join(".conductor/worktrees/0123abcd");
    let own = worktree.join(".conductor/policy.toml");
    fsx::create_private_dir(&worktree.join("made/here")).unwrap();
    let ids = |cwd: &Path, trusted: bool| -> Vec<String> {
        let loaded = load(&place.home, cwd, &|path, _| trusted && *path == own);
        assert!(
            loaded.warnings.len() <= usize::from(!trusted),
            "{:?}",
            loaded.warnings
        );
        let rules = loaded.policy.rules.into_iter().map(|rule| rule.id);
        rules.filter(|id| id.starts_with(PROJECT)).collect()
    };
    let made = worktree.join("made/here");
    for cwd in [&worktree, &made] {
        assert_eq!(ids(cwd, true), ["project:mine"], "nothing of its own");
    }
    fsx::create_private_dir(own.parent().unwrap()).unwrap();
    fsx::write_atomic(&own, format!("{RULE}{loose}").as_bytes()).unwrap();
    assert_eq!(
        ids(&made, true),
        ["project:mine", "project:loose"],
        "the same"
    );
    assert_eq!(ids(&made, false), ["project:mine"]);
    fsx::write_atomic(&own, format!("version = 1\n{loose}").as_bytes()).unwrap();
    assert_eq!(
        ids(&made, false),
        ["project:mine"],
        "what its agent left out"
    );
}

#[test]
fn loading_is_cheap() {
    let place = Place::new();
    let begun = Instant::now();
    for _ in 0..20 {
        drop(place.load());
    }
    // Measured without optimisation; the released program needs a fraction.
    let each = begun.elapsed() / 20;
    assert!(each.as_millis() < 60, "{each:?}");
}
