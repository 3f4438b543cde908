//! The profiles that are part of the binary.

/// Name and text of each.
pub const PROFILES: &[(&str, &str)] = &[
    (
        "conductor",
        include_str!("../../agent_store/profiles/conductor.md"),
    ),
    (
        "developer",
        include_str!("../../agent_store/profiles/developer.md"),
    ),
    (
        "document_writer",
        include_str!("../../agent_store/profiles/document_writer.md"),
    ),
    (
        "reviewer",
        include_str!("../../agent_store/profiles/reviewer.md"),
    ),
    (
        "tester",
        include_str!("../../agent_store/profiles/tester.md"),
    ),
];

/// The text of the built-in profile `name`.
pub fn text(name: &str) -> Option<&'static str> {
    let found = PROFILES.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiles::profile;

    #[test]
    fn every_file_of_the_store_is_in_the_table_and_without_fault() {
        let store = concat!(env!("CARGO_MANIFEST_DIR"), "/agent_store/profiles");
        let files = crate::profiles::files::names(std::path::Path::new(store)).unwrap();
        let known: Vec<_> = PROFILES
            .iter()
            .map(|(name, _)| format!("{name}.md"))
            .collect();
        assert_eq!(files, known);
        for (name, text) in PROFILES {
            let (draft, findings) = profile::read(text.as_bytes(), Some(name));
            assert_eq!(findings, [], "{name}");
            let role = draft.role.as_deref();
            assert_eq!(role == Some("supervisor"), *name == "conductor");
            assert_eq!(draft.provider, None, "{name} is for every agent program");
            let lines = text.lines().count();
            assert!((40..=100).contains(&lines), "{name} has {lines} lines");
        }
    }
}
