//! Arrows between rooms only point down (docs/architecture; the picture is in src/lib.rs): this holds them, how large a file may be, who reads
//! the clock and the environment, and that nothing shipped is there for tests alone.

#![expect(
    clippy::unwrap_used,
    reason = "a source file that cannot be read is a failure of the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

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

/// The longest source file, and the longest of tests and benchmarks.
const MOST_LINES: usize = 600;
const MOST_TEST_LINES: usize = 800;

/// What is public for the campaigns and fuzzers, which are crates of their own.
const FOR_TESTS: [&str; 1] = ["with_path"];

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

/// The code, as long as `source`: comments and texts are blanks.
fn bare(source: &str) -> String {
    let bytes: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    let blank = |code: &mut String, from: usize, to: usize| {
        for c in &bytes[from..to.min(bytes.len())] {
            match c {
                '\n' => code.push('\n'),
                c => code.extend(std::iter::repeat_n(' ', c.len_utf8())),
            }
        }
    };
    let skip_to = |from: usize, end: &str| {
        let end: Vec<char> = end.chars().collect();
        (from..bytes.len())
            .find(|at| bytes[*at..].starts_with(&end))
            .map_or(bytes.len(), |found| found + end.len())
    };
    while at < bytes.len() {
        let (rest, from) = (&bytes[at..], at);
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
                continue;
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
            continue;
        }
        blank(&mut code, from, at);
    }
    code
}

/// What is built when it is not for tests: the code as in [`bare`], and the source with its texts.
fn shipped(source: &str) -> (String, String) {
    let (mut code, mut source) = (bare(source), source.to_owned());
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
        source.replace_range(start..end, "");
    }
    (code, source)
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
        // All of a room's neighbours at once.
        return vec![if text.starts_with('*') {
            "*".to_owned()
        } else {
            path(text)
        }];
    };
    let mut found = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.extend(heads(group[start..at].trim()));
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
    let up = "super::";
    for (at, _) in code.match_indices(up) {
        if code[..at].ends_with("::") {
            continue;
        }
        // Those of a module inside the file count one more.
        let rest = code[at..].trim_start_matches(up);
        let ups = (code[at..].len() - rest.len()) / up.len();
        if ups >= depth {
            found.extend(heads(rest));
        }
        // Nobody writes so, and it would not be followed.
        if rest.starts_with('{') && rest[..rest.find(';').unwrap_or(rest.len())].contains(up) {
            found.insert("super inside of a group".to_owned());
        }
    }
    if code.contains("use crate as") || code.contains("use crate::{self") {
        found.insert("crate under another name".to_owned());
    }
    found
}

/// What of `code`, which is shipped, is against the arrows.
fn against(room: &str, code: &str, depth: usize) -> Vec<String> {
    uses(code, depth)
        .into_iter()
        .filter(|used| {
            let (first, _) = used.split_once("::").unwrap_or((used, ""));
            !may_use(room, first) && !may_use(room, used)
        })
        .collect()
}

/// The Rust files below `dir` of the package.
fn files(dir: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut rest = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(dir)];
    while let Some(dir) = rest.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rest.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "nothing was found in {dir}");
    found
}

/// Every source file, with its room and the number of modules that it stands in.
fn sources() -> Vec<(PathBuf, String, usize)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let found = files("src").into_iter().map(|path| {
        let parts: Vec<String> = path
            .strip_prefix(&src)
            .unwrap()
            .with_extension("")
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .filter(|part| part != "mod")
            .collect();
        let room = parts[0].clone();
        (path, room, parts.len())
    });
    found.collect()
}

/// A source that is shipped, without what is for tests.
struct Shipped {
    path: PathBuf,
    room: String,
    depth: usize,
    code: String,
    source: String,
}

/// The sources that are shipped; they are read once.
fn shipped_sources() -> &'static [Shipped] {
    static READ: OnceLock<Vec<Shipped>> = OnceLock::new();
    READ.get_or_init(|| {
        let kept = sources().into_iter().filter(|(path, _, _)| !is_test(path));
        let read = kept.map(|(path, room, depth)| {
            let (code, source) = shipped(&fs::read_to_string(&path).unwrap());
            Shipped {
                path,
                room,
                depth,
                code,
                source,
            }
        });
        read.collect()
    })
}

fn is_test(path: &Path) -> bool {
    path.iter()
        .any(|part| part == "tests" || part == "tests.rs")
        || path.to_string_lossy().ends_with("_tests.rs")
}

#[test]
fn arrows_only_point_down() {
    let mut wrong = Vec::new();
    for one in shipped_sources() {
        for used in against(&one.room, &one.code, one.depth) {
            wrong.push(format!("{} uses {used}", one.path.display()));
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
    for one in shipped_sources() {
        let found = waits(&one.source);
        assert!(found.is_empty(), "{}: {found:?}", one.path.display());
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
    let mut long = Vec::new();
    for (dir, most) in [
        ("src", MOST_LINES),
        ("tests", MOST_TEST_LINES),
        ("benches", MOST_TEST_LINES),
    ] {
        for path in files(dir) {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            if lines > most {
                long.push(format!("{} has {lines} lines", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    for path in ["src", "tests", "benches"].into_iter().flat_map(files) {
        let code = fs::read_to_string(&path).unwrap();
        assert!(
            code.starts_with("//! "),
            "{} does not begin with //!",
            path.display()
        );
    }
}

/// How often each word stands in `code`.
fn words(code: &str) -> BTreeMap<&str, usize> {
    let mut found = BTreeMap::new();
    for word in code.split(|c: char| !c.is_alphanumeric() && c != '_') {
        *found.entry(word).or_default() += 1;
    }
    found
}

/// What `code` makes public by name.
fn published(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("pub") {
        let mut rest = code[at + "pub".len()..].trim_start();
        if let Some(scope) = rest.strip_prefix('(') {
            rest = scope.split_once(')').map_or("", |(_, rest)| rest);
        }
        let mut parts = rest.split_whitespace().skip_while(|word| *word == "const");
        let first = parts.next().unwrap_or_default();
        let constant = rest.trim_start().starts_with("const ") && first.ends_with(':');
        let kinds = ["fn", "struct", "enum", "static", "type", "trait"];
        let name = if constant {
            first
        } else if kinds.contains(&first) {
            parts.next().unwrap_or_default()
        } else {
            continue;
        };
        let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
        found.push(&name[..end.unwrap_or(name.len())]);
    }
    found
}

#[test]
fn nothing_is_public_for_tests_alone() {
    let all = shipped_sources();
    let code: String = all.iter().map(|one| one.code.as_str()).collect();
    let uses = words(&code);
    let mut alone = Vec::new();
    for one in all {
        for name in published(&one.code) {
            if uses[name] == 1 && !FOR_TESTS.contains(&name) {
                alone.push(format!("{}: {name}", one.path.display()));
            }
        }
    }
    assert!(alone.is_empty(), "no code uses {}", alone.join("\n"));
    let code = "pub fn a() {} pub(super) const fn b() {} pub const C: u8 = 1; pub struct D<T>(T); pub mod e;";
    assert_eq!(published(code), ["a", "b", "C", "D"]);
}

/// What only one room does; the lints of .clippy.toml hold the rest, for tests too.
const OWNED: [(&str, &[&str]); 5] = [
    ("Instant::now", &["clock"]),
    ("current_dir()", &["paths"]),
    ("current_exe()", &["paths"]),
    ("temp_dir()", &["paths"]),
    ("env::args", &["main", "commands"]),
];

#[test]
fn clock_and_environment_have_one_owner_each() {
    let mut wrong = Vec::new();
    for one in shipped_sources() {
        for (word, owners) in OWNED {
            if one.code.contains(word) && !owners.contains(&&*one.room) {
                wrong.push(format!("{} has {word}", one.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_for_tests_says_so_in_its_name() {
    let mut wrong = Vec::new();
    for (path, _, _) in sources() {
        let source = fs::read_to_string(&path).unwrap();
        let code = bare(&source);
        for (at, mark) in code.match_indices("#[cfg(test)]") {
            let end = code[at..]
                .find(['{', ';'])
                .map_or(code.len(), |end| at + end);
            let item = &code[at + mark.len()..end];
            let file = source[at..end]
                .split_once("path = \"")
                .map(|(_, rest)| rest);
            let Some((_, name)) = item.split_once("mod ") else {
                continue;
            };
            let named = match file {
                Some(file) => file.split('"').next().unwrap().trim_end_matches(".rs"),
                None => name.trim(),
            };
            let inside = code[end..].starts_with('{');
            if !inside && named != "tests" && !named.ends_with("_tests") {
                wrong.push(format!("{}: {named}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_dependency_is_used() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    let read = |dirs: &[&str]| -> String {
        let files = dirs.iter().flat_map(|dir| files(dir));
        files
            .map(|path| fs::read_to_string(path).unwrap())
            .collect()
    };
    let (src, all) = (read(&["src"]), read(&["src", "tests", "benches"]));
    for (table, code) in [("\n[dependencies]\n", src), ("\n[dev-dependencies]\n", all)] {
        let table = manifest.split_once(table).unwrap().1;
        let table = table.split("\n[").next().unwrap();
        let uses = words(&code);
        for (name, _) in table.lines().filter_map(|line| line.split_once(" = ")) {
            let name = name.replace('-', "_");
            assert!(uses.contains_key(&*name), "nothing uses {name}");
        }
    }
}

#[test]
fn a_forbidden_arrow_is_found_and_only_that() {
    let cases: [(&str, &str, usize, &[&str]); 18] = [
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
        ("services", "use crate::*;", 2, &["*"]),
        (
            "services",
            "mod inside { use super::super::super::mcp; }",
            2,
            &["mcp"],
        ),
        (
            "services",
            "use super::{send, super::mcp};",
            2,
            &["super inside of a group"],
        ),
        (
            "domain",
            "use crate as all;",
            2,
            &["crate under another name"],
        ),
    ];
    for (room, code, depth, wanted) in cases {
        let (shipped, _) = shipped(code);
        assert_eq!(against(room, &shipped, depth), wanted, "{room}: {code}");
    }
}
