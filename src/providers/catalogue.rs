//! Which providers there are: built-in ones, and a person's own in `providers/`.

use super::dialect::Dialect;
use super::manifest::Manifest;
use crate::error::{Failure, Result};
use crate::fsx;
use crate::paths::{self, Home};
use std::path::PathBuf;

const BUILT_IN: &[(&str, &str)] = &[
    (
        "claude_code",
        include_str!("../../agent_store/providers/claude_code.toml"),
    ),
    (
        "codex",
        include_str!("../../agent_store/providers/codex.toml"),
    ),
    (
        "gemini",
        include_str!("../../agent_store/providers/gemini.toml"),
    ),
    (
        "opencode",
        include_str!("../../agent_store/providers/opencode.toml"),
    ),
    (
        "kiro_cli",
        include_str!("../../agent_store/providers/kiro_cli.toml"),
    ),
    (
        "q_cli",
        include_str!("../../agent_store/providers/q_cli.toml"),
    ),
    (
        "demo",
        include_str!("../../agent_store/providers/demo.toml"),
    ),
    (
        "generic",
        include_str!("../../agent_store/providers/generic.toml"),
    ),
];

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
        let mut names: Vec<String> = BUILT_IN
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect();
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
            let named = BUILT_IN.iter().filter(|(own, _)| *own == name);
            for (own, text) in named.chain(BUILT_IN) {
                let manifest = Manifest::parse(text).map_err(|why| {
                    Failure::failed(format!("read built-in provider manifest {own}: {why}"))
                })?;
                if *own == name || manifest.aliases.iter().any(|alias| alias == name) {
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
        for (name, _) in BUILT_IN {
            let manifest = catalogue.get(name).unwrap();
            assert_eq!(manifest.name, *name);
            assert_eq!(Catalogue::built_in_dialect(name), Some(manifest.dialect));
        }
        assert_eq!(catalogue.get("claude").unwrap().name, "claude_code");
    }

    #[test]
    fn every_manifest_in_the_store_is_built_in() {
        let store = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("agent_store/providers");
        let mut names: Vec<String> = std::fs::read_dir(store)
            .unwrap()
            .map(|entry| {
                entry
                    .unwrap()
                    .file_name()
                    .to_str()
                    .unwrap()
                    .trim_end_matches(".toml")
                    .to_owned()
            })
            .collect();
        names.sort();
        let mut built_in: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        built_in.sort_unstable();
        assert_eq!(names, built_in);
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
        let demo = BUILT_IN.iter().find(|(name, _)| *name == "demo").unwrap().1;
        let text = demo.replace("enter_ms = 10", "enter_ms = 31");
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
