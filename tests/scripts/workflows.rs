//! The workflows of continuous integration: they can be read, run what exists, and name what they use exactly.

use std::path::Path;

const MANIFEST: &str = include_str!("../../Cargo.toml");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(dir: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(root().join(dir)).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yml"))
        .map(|path| {
            (
                path.display().to_string(),
                std::fs::read_to_string(path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

#[test]
fn every_workflow_can_be_read_and_runs_what_exists() {
    let workflows = files(".github/workflows");
    assert_eq!(workflows.len(), 3);
    for (name, text) in workflows {
        let workflow: yaml_serde::Value =
            yaml_serde::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(
            workflow.get("permissions").is_some(),
            "{name}: rights are named"
        );
        let jobs = workflow
            .get("jobs")
            .and_then(|jobs| jobs.as_mapping())
            .unwrap();
        for (job, body) in jobs {
            assert!(
                body.get("timeout-minutes").is_some() && body.get("runs-on").is_some(),
                "{name}: {job:?} has a time limit and a machine"
            );
        }
        // What a matrix fills into `scripts/…`.
        let campaigns = text.lines().filter_map(|line| {
            let names = line.trim().strip_prefix("campaign: [")?;
            Some(names.trim_end_matches(']'))
        });
        for campaign in campaigns.flat_map(|names| names.split(", ")) {
            let script = campaign.split(' ').next().unwrap();
            assert!(
                root().join("scripts").join(script).exists(),
                "{name}: {script}"
            );
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        for test in words.iter().zip(words.iter().skip(1)) {
            let known = format!("[[test]]\nname = \"{}\"\n", test.1);
            assert!(
                *test.0 != "--test" || MANIFEST.contains(&known),
                "{name}: {test:?}"
            );
        }
        for line in text.lines().map(str::trim) {
            for word in line.split([' ', '"', '$', '(', ')']) {
                if let Some(script) = word.strip_prefix("scripts/") {
                    assert!(
                        root().join("scripts").join(script).exists(),
                        "{name}: {word}"
                    );
                }
            }
            if let Some((_, action)) = line.split_once("uses: ") {
                let (_, at) = action
                    .split_once('@')
                    .unwrap_or_else(|| panic!("{name}: {action}"));
                assert!(at.starts_with('v'), "{name}: {action}");
            }
        }
    }
}

#[test]
fn templates_and_helpers_can_be_read() {
    for (name, text) in files(".github/ISSUE_TEMPLATE")
        .into_iter()
        .chain(files(".github"))
    {
        let _: yaml_serde::Value =
            yaml_serde::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    let deny = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let deny: toml::Table = deny.parse().unwrap();
    for part in ["advisories", "licenses", "bans", "sources"] {
        assert!(deny.contains_key(part), "{part}");
    }
}

/// What is packaged is where the manifest says.
#[test]
fn packages_name_files_that_exist_or_are_made() {
    let manifest: toml::Table = MANIFEST.parse().unwrap();
    let metadata = &manifest["package"]["metadata"];
    for asset in metadata["deb"]["assets"].as_array().unwrap() {
        let source = asset[0].as_str().unwrap();
        let made = source.starts_with("target/");
        assert!(made || root().join(source).exists(), "{source}");
    }
    let url = metadata["binstall"]["pkg-url"].as_str().unwrap();
    assert!(url.starts_with(
        "{ repo }/releases/download/v{ version }/agent-conductor-{ version }-{ target }"
    ));
    let formula =
        std::fs::read_to_string(root().join("packaging/homebrew/agent-conductor.rb")).unwrap();
    for part in [
        "@REPOSITORY@",
        "@VERSION@",
        "@SHA256:x86_64-unknown-linux-gnu@",
        "@SHA256:aarch64-unknown-linux-gnu@",
    ] {
        assert!(formula.contains(part), "{part}");
    }
}
