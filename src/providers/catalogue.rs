//! Which providers there are: built-in ones, and a person's own in `providers/`.

use super::dialect::Dialect;
use super::manifest::Manifest;
use crate::error::{Failure, Result};
use crate::fsx;
use crate::paths::{self, Home};
use std::path::PathBuf;

/// The built-in providers, in the order in which they are offered.
const BUILT_IN: [&str; 8] = [
    "claude_code",
    "codex",
    "gemini",
    "opencode",
    "kiro_cli",
    "q_cli",
    "demo",
    "generic",
];

/// `agent_store/providers/*.toml`, a manifest a line in the order of [`BUILT_IN`], which a test holds equal: whoever delivers a message
/// reads one, and JSON is read in a fraction of the time.
const MANIFESTS: &str = include_str!("../../agent_store/providers.jsonl");

/// Largest manifest file, in bytes.
const MAX_FILE: usize = 64 * 1024;

/// The providers of one state directory.
#[derive(Debug, Clone)]
pub struct Catalogue {
    directory: PathBuf,
}

impl Catalogue {
    /// The providers of `home`.
    pub fn of(home: &Home) -> Self {
        Self {
            directory: home.providers(),
        }
    }

    /// The dialect of a built-in provider, without reading anything: hooks ask at every event.
    pub fn built_in_dialect(name: &str) -> Option<Dialect> {
        match name {
            "claude_code" => Some(Dialect::Claude),
            "codex" => Some(Dialect::Codex),
            "gemini" => Some(Dialect::Gemini),
            "opencode" => Some(Dialect::Opencode),
            "kiro_cli" | "q_cli" => Some(Dialect::Kiro),
            "demo" => Some(Dialect::Demo),
            "generic" => Some(Dialect::None),
            _ => None,
        }
    }

    /// Whether calls of this provider's agents pass our gate, as they are told to.
    pub fn gates(&self, provider: &str) -> bool {
        self.get(provider).is_ok_and(|manifest| manifest.gates())
    }

    /// Names of all providers: built-in first, then a person's own.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = BUILT_IN.iter().map(|name| (*name).to_owned()).collect();
        let mut own: Vec<String> = std::fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                entry
                    .file_name()
                    .to_str()?
                    .strip_suffix(".toml")
                    .map(str::to_owned)
            })
            .filter(|name| crate::domain::ids::Name::parse(name).is_ok() && !names.contains(name))
            .collect();
        own.sort();
        names.extend(own);
        names
    }

    /// The provider with this name or alias; a person's own manifest wins over a built-in one.
    pub fn get(&self, name: &str) -> Result<Manifest> {
        if crate::domain::ids::Name::parse(name).is_ok() {
            let file = self.directory.join(format!("{name}.toml"));
            match fsx::read_file_limited(&file, MAX_FILE) {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes);
                    let manifest = Manifest::parse(&text).map_err(|why| {
                        Failure::failed(format!("read provider manifest {}: {why}", file.display()))
                    })?;
                    if manifest.name == name {
                        return Ok(manifest);
                    }
                    return Err(Failure::failed(format!(
                        "read provider manifest {}: it names itself {:?}",
                        file.display(),
                        manifest.name
                    )));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(Failure::failed(format!(
                        "read provider manifest {}: {error}",
                        file.display()
                    )));
                }
            }
            // Whoever delivers asks by the name: the other manifests need not be read then.
            let all = || BUILT_IN.into_iter().zip(MANIFESTS.lines());
            for (own, text) in all().filter(|(own, _)| *own == name).chain(all()) {
                let manifest: Manifest = serde_json::from_str(text).map_err(|why| {
                    Failure::failed(format!("read built-in provider manifest {own}: {why}"))
                })?;
                if own == name || manifest.aliases.iter().any(|alias| alias == name) {
                    return Ok(manifest);
                }
            }
        }
        let shown = crate::domain::text::one_line(name);
        Err(
            Failure::not_found(format!("there is no provider {shown:?}"))
                .hint(format!("providers: {}", self.names().join(", "))),
        )
    }

    /// The first provider whose program is installed; the demo agent does not count.
    pub fn first_installed(&self) -> Option<Manifest> {
        self.names()
            .iter()
            .filter(|name| *name != "demo")
            .filter_map(|name| self.get(name).ok())
            .find(|manifest| program(manifest).is_ok())
    }
}

/// The program file of a provider.
pub fn program(manifest: &Manifest) -> Result<PathBuf> {
    if manifest.program == "{self}" {
        return paths::own_binary();
    }
    if manifest.names_no_program() {
        return Err(
            Failure::usage(format!("{} has no program of its own", manifest.title)).hint(format!(
                "name one: `conductor-hook launch -p {} -- PROGRAM ARGUMENTS`",
                manifest.name
            )),
        );
    }
    paths::find_program(&manifest.program, None).ok_or_else(|| {
        Failure::not_found(format!(
            "{} is not installed: no program {} along PATH",
            manifest.title, manifest.program
        ))
        .hint("install it, or choose another provider with -p; `-p demo` needs nothing")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> (tempfile::TempDir, Catalogue) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        fsx::create_private_dir(&home.providers()).unwrap();
        (dir, Catalogue::of(&home))
    }

    #[test]
    fn every_built_in_manifest_is_sound_and_its_dialect_is_known_without_reading() {
        let (_dir, catalogue) = catalogue();
        for name in BUILT_IN {
            let manifest = catalogue.get(name).unwrap();
            assert_eq!(manifest.name, name);
            assert_eq!(Catalogue::built_in_dialect(name), Some(manifest.dialect));
        }
        assert_eq!(catalogue.get("claude").unwrap().name, "claude_code");
    }

    fn store() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("agent_store")
    }

    fn source(name: &str) -> String {
        std::fs::read_to_string(store().join(format!("providers/{name}.toml"))).unwrap()
    }

    #[test]
    fn every_manifest_in_the_store_is_built_in_as_it_is() {
        let mut names: Vec<String> = std::fs::read_dir(store().join("providers"))
            .unwrap()
            .map(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                name.strip_suffix(".toml").unwrap().to_owned()
            })
            .collect();
        names.sort();
        let mut built_in = BUILT_IN;
        built_in.sort_unstable();
        assert_eq!(names, built_in);
        let mut wanted = String::new();
        for name in BUILT_IN {
            let text = source(name);
            Manifest::parse(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
            let value: serde_json::Value = toml::from_str(&text).unwrap();
            wanted += &format!("{value}\n");
        }
        if paths::env("CONDUCTOR_RENEW").is_some() {
            let file = store().join("providers.jsonl");
            fsx::write_atomic_mode(&file, wanted.as_bytes(), 0o644).unwrap();
            return;
        }
        assert!(
            MANIFESTS == wanted,
            "CONDUCTOR_RENEW=1 cargo test --lib every_manifest_in_the_store"
        );
    }

    #[test]
    fn unknown_and_hostile_names_are_not_found() {
        let (_dir, catalogue) = catalogue();
        for name in ["nope", "../claude_code", "", "a/b", "x\ny"] {
            assert_eq!(
                catalogue.get(name).unwrap_err().kind(),
                crate::error::Kind::NotFound,
                "{name:?}"
            );
        }
    }

    #[test]
    fn a_persons_own_manifest_wins_and_a_broken_one_is_said() {
        let (dir, catalogue) = catalogue();
        let text = source("demo").replace("enter_ms = 10", "enter_ms = 31");
        fsx::write_atomic(&dir.path().join("providers/demo.toml"), text.as_bytes()).unwrap();
        assert_eq!(catalogue.get("demo").unwrap().submit.enter_ms, 31);
        fsx::write_atomic(&dir.path().join("providers/mine.toml"), b"name = 1").unwrap();
        assert!(
            catalogue
                .get("mine")
                .unwrap_err()
                .message()
                .contains("mine.toml")
        );
    }
}
