//! Tests of how flows are read and filled.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn flow(lines: &str, body: &str) -> (FlowFile, Vec<Finding>) {
    read(
        format!("---\n{lines}\n---\n\n{body}\n").as_bytes(),
        Some("nightly"),
    )
}

const LEAST: &str = "name: nightly\nschedule: \"0 2 * * *\"\nagent_profile: tester";

fn errors(findings: &[Finding]) -> Vec<String> {
    findings
        .iter()
        .filter(|f| f.is_error())
        .map(ToString::to_string)
        .collect()
}

#[test]
fn the_least_that_a_flow_needs() {
    let (flow, findings) = flow(LEAST, "Run the tests.");
    assert_eq!(findings, []);
    assert_eq!(flow.schedule.unwrap().text(), "0 2 * * *");
    assert_eq!((flow.jitter_ms, flow.timeout_ms), (0, DEFAULT_TIMEOUT_MS));
    assert_eq!(flow.prompt, "Run the tests.");
}

#[test]
fn every_key_is_read() {
    let all = format!(
        "{LEAST}\nprovider: demo\nscript: ./check.sh 'a b' c\ntimezone: Europe/Berlin\noverlap: replace\ncatch_up: all\njitter: 5m\ntimeout: 90\nsession: night\ncwd: ~/src\ndescription: x"
    );
    let (flow, findings) = flow(&all, "Look at [[what]].");
    assert_eq!(findings, []);
    assert_eq!(flow.script.unwrap(), ["./check.sh", "a b", "c"]);
    assert_eq!((flow.jitter_ms, flow.timeout_ms), (300_000, 90_000));
    assert_eq!(flow.overlap, Some(Overlap::Replace));
    assert_eq!(flow.catch_up, Some(CatchUp::All));
    assert_eq!(flow.timezone.as_deref(), Some("Europe/Berlin"));
    assert_eq!(flow.session.unwrap().as_str(), "night");
}

#[test]
fn what_is_wrong_is_found_with_its_line() {
    for (lines, message) in [
        (
            "schedule: \"0 2 * * *\"\nagent_profile: x",
            "there is no name",
        ),
        ("name: nightly\nagent_profile: x", "there is no schedule"),
        (
            "name: nightly\nschedule: \"@daily\"",
            "there is no agent_profile",
        ),
        (
            "name: nightly\nschedule: \"0 25 * * *\"\nagent_profile: x",
            "line 3: schedule: the hour field \"25\": 25 is not between 0 and 23",
        ),
        (
            &format!("{LEAST}\ntimezone: Mars/Olympus"),
            "line 5: timezone: \"Mars/Olympus\" is not a zone",
        ),
        (
            &format!("{LEAST}\noverlap: maybe"),
            "line 5: overlap: \"maybe\" is not skip, queue or replace",
        ),
        (&format!("{LEAST}\ncatch_up: two"), "line 5: catch_up"),
        (
            &format!("{LEAST}\ntimeout: soon"),
            "line 5: timeout: \"soon\" is not a span",
        ),
        (
            &format!("{LEAST}\ntimeout: 0"),
            "line 5: timeout is shorter than a second",
        ),
        (
            &format!("{LEAST}\njitter: 1d"),
            "line 5: jitter is 1d, and the times are 1d apart",
        ),
        (&format!("{LEAST}\nscript: \"'\""), "line 5: script:"),
        (&format!("{LEAST}\nscript: \"\""), "line 5: script is empty"),
        (&format!("{LEAST}\nsession: a b"), "line 5: session:"),
    ] {
        let (_, findings) = flow(lines, "x");
        let errors = errors(&findings);
        assert!(
            errors.iter().any(|e| e.starts_with(message)),
            "{message}: {errors:?}"
        );
    }
    let (_, findings) = flow(&format!("{LEAST}\nshedule: x"), "x");
    assert!(
        findings[0].message.contains("did you mean schedule?"),
        "{findings:?}"
    );
    let (_, findings) = flow(LEAST, "one\n\nsee [[what]]");
    assert_eq!(
        errors(&findings),
        ["line 9: nothing fills [[what]]: there is no script"]
    );
    let (_, findings) = flow(LEAST, "");
    assert!(errors(&findings)[0].contains("no body"));
    let (_, findings) = read(b"---\nname: x\nschedule: */5 * * * *\n---\nx", None);
    assert!(findings[0].hint.is_some(), "an unquoted star: {findings:?}");
}

#[test]
fn variables_are_filled_once() {
    let values = json!({"a": "1 [[b]]", "b": 2, "c": null, "d.e": {"x": [true]}});
    let values = values.as_object().unwrap();
    let filled = |text| fill(text, values);
    assert_eq!(
        filled("[[a]] and [[ b ]][[c]] [[d.e]]").unwrap(),
        "1 [[b]] and 2 {\"x\":[true]}"
    );
    assert_eq!(
        filled("if [[ -f x ]]; then [[[b]]] \\[[a]]").unwrap(),
        "if [[ -f x ]]; then [2] [[a]]"
    );
    assert_eq!(filled("[[a").unwrap(), "[[a");
    assert_eq!(
        filled("[[x]] [[y]] [[x]]").unwrap_err(),
        "the script's output has no [[x]], [[y]]"
    );
    let long = json!({"a": "x".repeat(60_000)});
    assert!(fill(&"[[a]]".repeat(1_000), long.as_object().unwrap()).is_err());
    assert_eq!(
        variables("x\n[[a]]\n[[b]] [[a]]"),
        [("a".to_owned(), 1), ("b".to_owned(), 2)]
    );
}

proptest! {
    #[test]
    fn a_prompt_without_variables_stays_as_it_is(text in "[a-z\\[\\] \n-]{0,40}") {
        prop_assume!(variables(&text).is_empty());
        prop_assert_eq!(fill(&text, &Map::new()).unwrap(), text);
    }

    #[test]
    fn any_file_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (flow, findings) = read(&bytes, None);
        prop_assert!(flow.name.is_some() || findings.iter().any(Finding::is_error));
    }
}
