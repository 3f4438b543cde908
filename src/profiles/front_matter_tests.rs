//! What a front matter may look like.

use super::*;
use proptest::prelude::*;

fn fault(text: &str) -> Finding {
    parse(text.as_bytes()).unwrap_err()
}

#[test]
fn fields_and_body_are_split() {
    let text = "\u{feff}\r\n---\r\nname: dev\r\ntags: [a, b]\r\n--- \r\n\r\n  # Body\r\n---\r\nend\r\n\r\n";
    let document = parse(text.as_bytes()).unwrap();
    assert_eq!(document.fields["name"], "dev");
    assert_eq!(document.body, "  # Body\n---\nend");
    assert_eq!(document.line_of("tags"), Some(4));
    assert_eq!(document.body_line, 7);
    assert_eq!(parse(b"---\n---").unwrap().body, "");
}

#[test]
fn a_file_that_is_no_document_is_explained() {
    assert_eq!(fault("").message, "there is no front matter");
    assert_eq!(fault("# Title\n---\n").line, Some(1));
    assert_eq!(fault("\n---\nname: x\n").line, Some(2));
    assert_eq!(fault("---\n- a\n---\n").line, Some(2));
    assert_eq!(parse(b"---\na: \xff\n---\n").unwrap_err().line, Some(2));
    assert_eq!(parse(b"---\n\na: \0\n---\n").unwrap_err().line, Some(3));
    assert!(parse(&vec![b'x'; MAX_BYTES + 1]).is_err());
    assert!(fault("---\na: \"\\0\"\n---\n").message.contains("NUL"));
    assert!(fault("---\na: .nan\n---\n").message.contains("number"));
}

#[test]
fn the_usual_traps_say_what_to_quote() {
    let schedule = fault("---\nname: x\nschedule: */5 * * * *\n---\n");
    assert_eq!(schedule.line, Some(3));
    assert_eq!(
        schedule.hint.as_deref(),
        Some("quote the schedule: schedule: \"*/5 * * * *\"")
    );
    let colon = fault("---\nname: x\ndescription: Use this: when\n---\n");
    assert_eq!(colon.line, Some(3), "{colon}");
    assert_eq!(
        colon.hint.as_deref(),
        Some("quote the description: description: \"Use this: when\"")
    );
    assert!(!colon.message.contains("line"), "{colon}");
    let tab = fault("---\nenv:\n\tA: b\n---\n");
    let deep = fault("---\na: b\n c: d\n---\n");
    assert!(deep.hint.is_some_and(|hint| hint.contains("indentation")));
    let single = fault("---\ndescription: 'it's'\n---\n");
    assert!(
        single
            .hint
            .is_some_and(|hint| hint.contains("single quotes"))
    );
    assert_eq!(
        tab.hint.as_deref(),
        Some("indent with spaces: YAML takes no tabs")
    );
}

#[test]
fn large_files_are_read_or_refused_soon() {
    let line = |at: usize| format!("k{at}: [a, {{b: c}}]\n");
    let keys: String = (0..10_000).map(line).collect();
    let mut times = Vec::new();
    for yaml in [
        keys,
        "- ".repeat(120_000),
        "? ".repeat(120_000),
        "a: ".repeat(80_000),
        "[],".repeat(80_000),
        "'\n".repeat(120_000),
        "\n".repeat(240_000),
        "#".repeat(240_000),
        format!("a: [{}]", "{},".repeat(80_000)),
        format!("a: {}", "x ".repeat(120_000)),
    ] {
        let started = std::time::Instant::now();
        let _ = parse(format!("---\n{yaml}\n---\n").as_bytes());
        times.push(started.elapsed());
    }
    assert!(times.iter().all(|time| time.as_secs() < 5), "{times:?}");
}

#[test]
fn a_key_that_appears_twice_is_an_error_with_its_line() {
    let twice = fault("---\nname: a\ntags: []\nname: b\n---\n");
    assert_eq!(twice.to_string(), "line 4: the key `name` appears twice");
    assert!(
        fault("---\nenv:\n  A: 1\n  A: 2\n---\n")
            .message
            .contains("`A`")
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = parse(text.as_bytes());
        let _ = parse(format!("---\n{text}\n---\n{text}").as_bytes());
    }

    #[test]
    fn no_yaml_makes_it_panic(text in "[a-c&*!:\\-|>'\"#,\\[\\]{}\\\\0?%@` \t\n]{0,60}") {
        let _ = parse(format!("---\n{text}\n---\n").as_bytes());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }
}
