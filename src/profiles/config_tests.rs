//! What `config.toml` may say.

use super::*;
use crate::profiles::config_table::Key;
use proptest::prelude::*;

fn fault(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// The default file with every key that has a default, or every key, taken out of its comment.
fn uncommented(wanted: impl Fn(&Key) -> bool) -> String {
    let mut text = default_text();
    for key in KEYS.iter().filter(|key| wanted(key)) {
        text = text.replace(
            &format!("\n# {} = ", key.name),
            &format!("\n{} = ", key.name),
        );
    }
    text
}

#[test]
fn the_table_the_defaults_and_the_default_file_agree() {
    assert_eq!(parse("").unwrap(), Config::default());
    assert_eq!(parse(&default_text()).unwrap(), Config::default());
    let text = uncommented(|key| !key.default.is_empty());
    assert_ne!(text, default_text());
    assert_eq!(parse(&text).unwrap(), Config::default());
    let config = parse(&uncommented(|_| true)).unwrap();
    assert_eq!(config.provider.as_deref(), Some("claude_code"));
    assert_eq!(config.notify.command.unwrap().len(), 2);
    for key in KEYS {
        assert!(reference_markdown().contains(&format!("| `{}` |", key.name)));
    }
}

#[test]
fn every_field_is_in_the_table() {
    let text = format!("{:?}", Config::default());
    let fields = text.matches(": ").count();
    assert_eq!(fields, KEYS.len() + 5, "{text}");
}

#[test]
fn a_missing_file_is_the_defaults_and_a_bad_one_is_explained() {
    let temp = tempfile::tempdir().unwrap();
    let home = Home::at(temp.path()).unwrap();
    assert_eq!(load(&home).unwrap(), Config::default());
    crate::fsx::write_atomic(&home.config(), b"\n\xff").unwrap();
    assert!(
        load(&home)
            .unwrap_err()
            .message()
            .ends_with("line 2: not UTF-8")
    );
    crate::fsx::write_atomic(&home.config(), b"# x\nprovder = \"codex\"\n").unwrap();
    let failure = load(&home).unwrap_err();
    assert!(failure.message().starts_with(&format!(
        "read {}: line 2: unknown field",
        home.config().display()
    )));
    assert_eq!(failure.hints(), ["did you mean provider?"]);
    std::fs::remove_file(home.config()).unwrap();
    crate::fsx::create_private_dir(&home.config()).unwrap();
    assert!(
        load(&home)
            .unwrap_err()
            .message()
            .ends_with("it is a directory")
    );
}

#[test]
fn faults_name_their_line() {
    for (text, line) in [
        ("[limits]\nhop = 3\n", 2),
        ("[limit]\nhops = 3\n", 1),
        ("[limits]\n\nhops = \"3\"\n", 3),
        ("[limits]\nhops = -1\n", 2),
        ("[limits]\ndepth = 3\nhops = 0\n", 3),
        ("limits.hops = 0\n", 1),
        ("[limits]\nmax_body_bytes = 1048577\n", 2),
        ("[retention]\nlog_max_bytes = 1\n", 2),
        ("[notify]\ncommand = []\n", 2),
        ("[notify]\ncommand = \"x; y\"\n", 2),
        ("provider = \"../x\"\n", 1),
        ("a\n", 1),
        ("[limits]\nhops = 3\nhops = 4\n", 3),
    ] {
        let fault = fault(text);
        assert!(
            fault.starts_with(&format!("line {line}: ")),
            "{text:?}: {fault}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[a-z\\[\\]=\"'.0-9\n# ]{0,60}|limits\\.[a-z_]{1,8} ?= ?-?[0-9]{1,20}") {
        let _ = parse(&text);
    }
}

#[test]
fn comments_are_left_out_and_what_looks_like_one_is_not() {
    let with = "# depth = 9\n[limits]\n  # hops = 1\ndepth = 2 # not 3\n\n[notify]\n# the end";
    assert_eq!(parse(with).unwrap().limits.depth, 2);
    let failure = parse("# one\n\n[limits]\n# four\ndepht = 2\n").unwrap_err();
    assert!(failure.message().contains("line 5"), "{failure}");
    let several = "[notify]\ncommand = [\"a\", '''\n# b''']\n";
    let command = parse(several).unwrap().notify.command.unwrap();
    assert_eq!(command, ["a", "# b"], "it belongs to the text");
}
