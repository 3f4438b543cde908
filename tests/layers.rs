//! Arrows between rooms only point down (docs/architecture; the picture is in src/lib.rs): this holds them, and how large a file may be.

#![expect(
    clippy::unwrap_used,
    reason = "a source file that cannot be read is a failure of the test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const GROUND: [&str; 9] = [
    "clock",
    "error",
    "failpoint",
    "fsx",
    "log",
    "paths",
    "proc",
    "progress",
    "term",
];
const ADAPTERS: [&str; 5] = ["store", "tmux", "providers", "profiles", "git"];

/// The longest file.
const MOST_LINES: usize = 600;

/// Whether `room` may use what is in `other`.
fn may_use(room: &str, other: &str) -> bool {
    let ground = GROUND.contains(&other);
    if room == other {
        return true;
    }
    match room {
        "main" | "lib" => true,
        "domain" => false,
        "log" => ground || other == "domain::text",
        room if GROUND.contains(&room) => ground,
        room if ADAPTERS.contains(&room) => ground || other == "domain",
        "services" => ground || other == "domain" || ADAPTERS.contains(&other),
        "ui" => ["domain", "error"].contains(&other),
        "cli" => ground,
        "demo" => ground || other == "domain",
        "commands" | "mcp" => {
            ground
                || ADAPTERS.contains(&other)
                || ["services", "ui", "domain", "cli"].contains(&other)
                || (room == "commands" && other == "mcp::run")
        }
        _ => false,
    }
}

/// The code without comments, and with empty strings.
fn bare(source: &str) -> String {
    let bytes: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    let skip_to = |from: usize, end: &str| {
        let end: Vec<char> = end.chars().collect();
        (from..bytes.len())
            .find(|at| bytes[*at..].starts_with(&end))
            .map_or(bytes.len(), |found| found + end.len())
    };
    while at < bytes.len() {
        let rest = &bytes[at..];
        let identifier_before = at > 0 && (bytes[at - 1].is_alphanumeric() || bytes[at - 1] == '_');
        if rest.starts_with(&['/', '/']) {
            at = skip_to(at, "\n") - 1;
        } else if rest.starts_with(&['/', '*']) {
            at = skip_to(at + 2, "*/");
        } else if rest[0] == 'r' && !identifier_before && matches!(rest.get(1), Some('"' | '#')) {
            let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
            if rest.get(1 + hashes) == Some(&'"') {
                at = skip_to(at + hashes + 2, &format!("\"{}", "#".repeat(hashes)));
            } else {
                code.push('r');
                at += 1;
            }
        } else if rest[0] == '"' {
            at += 1;
            while at < bytes.len() && bytes[at] != '"' {
                at += if bytes[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if rest[0] == '\'' && rest.get(1) == Some(&'\\') {
            at = skip_to(at + 3, "'");
        } else if rest[0] == '\'' && rest.get(2) == Some(&'\'') {
            at += 3;
        } else {
            code.push(rest[0]);
            at += 1;
        }
    }
    code
}

/// The code that is built when it is not for tests.
fn shipped(source: &str) -> String {
    let mut code = bare(source);
    while let Some(start) = code.find("#[cfg(test)]") {
        let mut depth = 0;
        let mut end = code.len();
        for (at, c) in code[start..].char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(c, '}' | ';') {
                end = start + at + 1;
                break;
            }
        }
        code.replace_range(start..end, "");
    }
    code
}

/// The first two words of each path in `text` up to the end of its group: `a::b`, `{a, b::{c, d}}`.
fn heads(text: &str) -> Vec<String> {
    let word = |text: &str| {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let path = |text: &str| {
        let first = word(text);
        let second = text[first.len()..]
            .strip_prefix("::")
            .map(word)
            .unwrap_or_default();
        if second.is_empty() {
            first
        } else {
            format!("{first}::{second}")
        }
    };
    let Some(group) = text.strip_prefix('{') else {
        return vec![path(text)];
    };
    let mut found = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.push(path(group[start..at].trim()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// What the code in `room` uses of other rooms; `depth` is the number of modules that it stands in.
fn uses(code: &str, depth: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        found.extend(heads(&code[at + "crate::".len()..]));
    }
    let up = "super::".repeat(depth);
    for (at, _) in code.match_indices(&up) {
        let before = code[..at].ends_with("::");
        let rest = &code[at + up.len()..];
        if depth > 0 && !before && !rest.starts_with("super::") {
            found.extend(heads(rest));
        }
    }
    found
}

/// What of `code` is against the arrows.
fn against(room: &str, code: &str, depth: usize) -> Vec<String> {
    uses(&shipped(code), depth)
        .into_iter()
        .filter(|used| {
            let (first, _) = used.split_once("::").unwrap_or((used, ""));
            !may_use(room, first) && !may_use(room, used)
        })
        .collect()
}

/// Every source file that is shipped, with its room and the number of modules that it stands in.
fn sources() -> Vec<(PathBuf, String, usize)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut rest = vec![src.clone()];
    while let Some(dir) = rest.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rest.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let parts: Vec<String> = path
                .strip_prefix(&src)
                .unwrap()
                .with_extension("")
                .iter()
                .map(|part| part.to_string_lossy().into_owned())
                .filter(|part| part != "mod")
                .collect();
            found.push((path, parts[0].clone(), parts.len()));
        }
    }
    found.sort();
    assert!(found.len() > 50, "the sources were not found");
    found
}

fn is_test(path: &Path) -> bool {
    path.iter()
        .any(|part| part == "tests" || part == "tests.rs")
        || path.to_string_lossy().ends_with("_tests.rs")
}

#[test]
fn arrows_only_point_down() {
    let mut wrong = Vec::new();
    for (path, room, depth) in sources() {
        if is_test(&path) {
            continue;
        }
        let code = fs::read_to_string(&path).unwrap();
        for used in against(&room, &code, depth) {
            wrong.push(format!("{} uses {used}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where the server would wait for a process of ours: `run-shell` without `-b`, `if-shell` without `-F`.
fn waits(code: &str) -> Vec<String> {
    // How the words stand in a command's text, and as elements of one.
    let forms = [
        ("run-shell", [" -b", "\", \"-b", "\".to_owned(), \"-b"]),
        ("if-shell", [" -F", "\", \"-F", "\".to_owned(), \"-F"]),
    ];
    let code: Vec<&str> = code
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
        .collect();
    let code = code.join(" ");
    let mut found = Vec::new();
    for (command, good) in forms {
        for (at, _) in code
            .match_indices(&format!("{command}\""))
            .chain(code.match_indices(&format!("{command} ")))
        {
            let rest = &code[at + command.len()..];
            if !good.iter().any(|good| rest.starts_with(good)) {
                found.push(code[at..].chars().take(60).collect());
            }
        }
    }
    found
}

#[test]
fn the_server_waits_for_no_process_of_ours() {
    for (path, _, _) in sources() {
        let code = fs::read_to_string(&path).unwrap();
        if is_test(&path) {
            continue;
        }
        let shipped = code.split("#[cfg(test)]").next().unwrap();
        let found = waits(shipped);
        assert!(found.is_empty(), "{}: {found:?}", path.display());
    }
    assert_eq!(
        waits("list.then([\n    \"run-shell\",\n    \"-d\"])").len(),
        1
    );
    assert_eq!(waits("format!(\"if-shell '{x}' \")").len(), 1);
    assert!(waits("list.then([\"run-shell\", \"-b\"])").is_empty());
}

#[test]
fn files_are_rooms_not_halls() {
    let long: Vec<String> = sources()
        .into_iter()
        .map(|(path, _, _)| (fs::read_to_string(&path).unwrap().lines().count(), path))
        .filter(|(lines, _)| *lines > MOST_LINES)
        .map(|(lines, path)| format!("{} has {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    for (path, _, _) in sources() {
        let code = fs::read_to_string(&path).unwrap();
        assert!(
            code.starts_with("//! "),
            "{} does not begin with //!",
            path.display()
        );
    }
}

#[test]
fn a_forbidden_arrow_is_found_and_only_that() {
    let cases: [(&str, &str, usize, &[&str]); 14] = [
        (
            "domain",
            "use crate::error::Failure;",
            2,
            &["error::Failure"],
        ),
        ("domain", "use crate::domain::ids::Name;", 2, &[]),
        (
            "store",
            "fn f() { crate::tmux::Tmux::at(x); }",
            2,
            &["tmux::Tmux"],
        ),
        (
            "store",
            "use crate::{clock, domain::ids, services::send::{self, x}};",
            2,
            &["services::send"],
        ),
        (
            "services",
            "use crate::{ui, commands::x};",
            2,
            &["commands::x", "ui"],
        ),
        ("services", "use super::super::mcp::run;", 2, &["mcp::run"]),
        ("services", "use super::send::mcp;", 2, &[]),
        ("services", "use super::mcp;", 1, &["mcp"]),
        (
            "log",
            "use crate::domain::text::one_line; use crate::domain::ids::Name;",
            1,
            &["domain::ids"],
        ),
        (
            "ui",
            "use crate::store::Store; use crate::error::Failure;",
            2,
            &["store::Store"],
        ),
        (
            "commands",
            "crate::mcp::run(); crate::mcp::serve();",
            2,
            &["mcp::serve"],
        ),
        (
            "tmux",
            "// crate::store::Store\nlet x = \"crate::store\"; let y = r#\"crate::store\"#; let c = '\"'; let z = 'a';",
            2,
            &[],
        ),
        (
            "tmux",
            "#[cfg(test)]\nmod tests { use crate::store::Store; fn f() { {} } }\nuse crate::services::x;",
            2,
            &["services::x"],
        ),
        (
            "demo",
            "#[cfg(test)]\nmod tests;\nuse crate::mcp::Call;",
            2,
            &["mcp::Call"],
        ),
    ];
    for (room, code, depth, wanted) in cases {
        assert_eq!(against(room, code, depth), wanted, "{room}: {code}");
    }
}
