//! What our pages show exists: commands, options, links, anchors, scripts; and each page can be reached.

use crate::cli::Cli;
use clap::{Command, CommandFactory};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Our pages by their path below the root.
fn pages() -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    for dir in [
        "",
        "docs",
        "docs/decisions",
        ".github",
        ".github/ISSUE_TEMPLATE",
    ] {
        let Ok(entries) = std::fs::read_dir(root().join(dir)) else {
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.extension().is_some_and(|e| e == "md") {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy();
                pages.insert(name.into_owned(), std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    pages
}

/// The lines in fences, and the spans of code outside of them.
fn code(page: &str) -> Vec<String> {
    let mut code = Vec::new();
    let mut fenced = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            code.push(line.trim().to_owned());
        } else {
            code.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    code
}

/// The lines outside of fences, without their spans of code.
fn prose(page: &str) -> Vec<String> {
    let mut fenced = false;
    page.lines()
        .filter(|line| {
            let mark = line.trim_start().starts_with("```");
            fenced ^= mark;
            !mark && !fenced
        })
        .map(|line| line.split('`').step_by(2).collect())
        .collect()
}

/// The words of each command in a line of a shell, without comments and what follows a redirection.
fn commands(line: &str) -> Vec<Vec<String>> {
    let line = line.split(" # ").next().unwrap_or(line);
    let line = line.strip_prefix("$ ").unwrap_or(line);
    let words = shell_words::split(line)
        .unwrap_or_else(|_| line.split_whitespace().map(str::to_owned).collect());
    words
        .split(|word| ["|", "&&", "||", ";", "#"].contains(&word.as_str()))
        .map(|words| {
            words
                .iter()
                .skip_while(|w| w.contains('=') && !w.starts_with('-') || *w == "exec")
                .take_while(|w| !w.starts_with('>') && !w.starts_with("2>"))
                .map(|w| w.trim_matches(['[', ']', ',', ';', '…']).to_owned())
                .filter(|w| !w.is_empty())
                .collect()
        })
        .collect()
}

/// Whether a word stands for others: `TERMINAL`, `ID`, `<id>`.
fn placeholder(word: &str) -> bool {
    word.starts_with('<')
        || word
            .chars()
            .all(|c| c.is_ascii_uppercase() || "|-_./".contains(c))
}

/// What is wrong with a call of ours, whose name is not among the words.
fn wrong(command: &Command, words: &[String]) -> Option<String> {
    let mut command = command;
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += 1;
        if word == "--" {
            return None;
        }
        let (name, joined) = word
            .split_once('=')
            .map_or((word.as_str(), false), |(n, _)| (n, true));
        let argument = if let Some(long) = name.strip_prefix("--") {
            let found = command.get_arguments().find(|a| {
                a.get_long_and_visible_aliases()
                    .is_some_and(|all| all.contains(&long))
            });
            match (found, long) {
                (None, "help" | "version") => continue,
                (found, _) => found,
            }
        } else if name.starts_with('-')
            && name.len() > 1
            && !name[1..].starts_with(|c: char| c.is_ascii_digit())
        {
            command.get_arguments().find(|a| {
                a.get_short()
                    .is_some_and(|short| name[1..].starts_with(short))
            })
        } else if command.has_subcommands() && !placeholder(word) {
            for one in word.split('|') {
                match command.find_subcommand(one) {
                    Some(_) => {}
                    None if !command.is_subcommand_required_set()
                        && command.get_positionals().count() > 0 => {}
                    None => return Some(format!("{} has no command {one}", command.get_name())),
                }
            }
            if let Some(next) = word
                .split('|')
                .next()
                .and_then(|one| command.find_subcommand(one))
            {
                command = next;
            }
            continue;
        } else {
            continue;
        };
        let Some(argument) = argument else {
            return Some(format!("{} has no option {name}", command.get_name()));
        };
        if argument.get_action().takes_values()
            && !joined
            && (name.starts_with("--") || name.len() == 2)
        {
            at += 1;
        }
    }
    None
}

fn tree() -> Command {
    let mut tree = Cli::command();
    tree.build();
    tree
}

#[test]
fn every_command_and_option_on_our_pages_exists() {
    let tree = tree();
    let mut wrongs = Vec::new();
    let mut seen = 0;
    for (name, page) in pages().iter().filter(|(name, _)| *name != "docs/cli.md") {
        for words in code(page).iter().flat_map(|line| commands(line)) {
            let Some(first) = words.first() else { continue };
            let script = root().join(first);
            if first == "conductor" || first == "conductor-hook" {
                seen += 1;
                if let Some(what) = wrong(&tree, &words[1..]) {
                    wrongs.push(format!("{name}: `{}`: {what}", words.join(" ")));
                }
            } else if tree.find_subcommand(first).is_some()
                && words.iter().any(|w| w.starts_with("--"))
            {
                seen += 1;
                if let Some(what) = wrong(&tree, &words) {
                    wrongs.push(format!("{name}: `{}`: {what}", words.join(" ")));
                }
            } else if first.starts_with("scripts/") {
                let text = std::fs::read_to_string(&script).unwrap_or_default();
                if text.is_empty() && !script.is_dir() {
                    wrongs.push(format!("{name}: there is no {first}"));
                }
                for option in words
                    .iter()
                    .skip(1)
                    .filter(|w| w.starts_with("--") && w.len() > 2)
                {
                    let option = option.split('=').next().unwrap_or(option);
                    if !text.contains(option) {
                        wrongs.push(format!("{name}: {first} has no option {option}"));
                    }
                }
            }
        }
    }
    assert!(wrongs.is_empty(), "\n{}", wrongs.join("\n"));
    assert!(seen > 150, "only {seen} commands were looked at");
}

/// A heading's anchor, as forges make it.
fn slug(title: &str) -> String {
    title
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// The anchors of a page's headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut fenced = false;
    for line in page.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let title = line.trim_start_matches('#');
        if fenced || title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let slug = slug(title);
        let same = (1..).map(|n| format!("{slug}-{n}"));
        let free = std::iter::once(slug.clone())
            .chain(same)
            .find(|s| !anchors.contains(s));
        anchors.extend(free);
    }
    anchors
}

/// The targets of a page's links, without those that leave the repository.
fn links(page: &str) -> Vec<String> {
    prose(page)
        .iter()
        .flat_map(|line| {
            line.split("](")
                .skip(1)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .collect()
}

/// `page`'s target as a path below the root, and its anchor.
fn resolve(page: &str, target: &str) -> (String, Option<String>) {
    let (path, anchor) = target
        .split_once('#')
        .map_or((target, None), |(path, anchor)| {
            (path, Some(anchor.to_owned()))
        });
    if path.is_empty() {
        return (page.to_owned(), anchor);
    }
    let mut whole = PathBuf::from(page);
    whole.pop();
    for part in path.split('/') {
        match part {
            ".." => {
                whole.pop();
            }
            "." => {}
            part => whole.push(part),
        }
    }
    (whole.to_string_lossy().into_owned(), anchor)
}

#[test]
fn every_link_leads_somewhere_and_every_page_is_linked() {
    let pages = pages();
    let mut wrongs = Vec::new();
    let mut linked = BTreeSet::from(["README.md".to_owned()]);
    for (name, page) in &pages {
        for target in links(page) {
            let (path, anchor) = resolve(name, &target);
            if !root().join(&path).exists() {
                wrongs.push(format!("{name}: {target}: there is no {path}"));
            } else if let (Some(anchor), Some(page)) = (anchor, pages.get(&path))
                && !anchors(page).contains(&anchor)
            {
                wrongs.push(format!("{name}: {target}: no such heading"));
            }
            if path != *name {
                linked.insert(path);
            }
        }
    }
    for name in pages.keys().filter(|name| name.starts_with("docs/")) {
        if !linked.contains(name) {
            wrongs.push(format!("{name}: no page links to it"));
        }
    }
    assert!(wrongs.is_empty(), "\n{}", wrongs.join("\n"));
}

/// The rows of the tables whose last column is called `test`, each with that column's spans of code.
fn tested(page: &str) -> Vec<(&str, Vec<&str>)> {
    let mut rows = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if line.ends_with("| test |") {
            inside = true;
        } else if !line.starts_with('|') {
            inside = false;
        } else if inside && !line.starts_with("|---") {
            let cells = line.trim_end_matches([' ', '|']);
            let last = cells.rsplit(" | ").next().unwrap_or_default();
            rows.push((line, last.split('`').skip(1).step_by(2).collect()));
        }
    }
    rows
}

fn sources(dir: &Path, found: &mut Vec<(String, String)>) {
    for path in std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path.to_string_lossy().into_owned(), text));
        }
    }
}

/// Whether `name` (`file::function`, `dir::file::function`) is a test in one of these files.
fn is_test(name: &str, sources: &[(String, String)]) -> bool {
    let Some((file, function)) = name.rsplit_once("::") else {
        return false;
    };
    let file = format!("/{}.rs", file.replace("::", "/"));
    let head = format!("fn {function}(");
    sources
        .iter()
        .filter(|(path, _)| path.ends_with(&file))
        .filter_map(|(_, text)| text.split_once(&head))
        .any(|(before, _)| {
            let mut lines = before
                .lines()
                .rev()
                .skip_while(|line| line.trim().is_empty());
            lines.next().is_some_and(|line| line.trim() == "#[test]")
        })
}

#[test]
fn every_row_of_the_tables_of_defences_names_tests_that_exist() {
    let mut all = Vec::new();
    for dir in ["src", "tests"] {
        sources(&root().join(dir), &mut all);
    }
    let pages = pages();
    let mut wrongs = Vec::new();
    for (name, least) in [("docs/reliability.md", 24), ("docs/security.md", 31)] {
        let rows = tested(&pages[name]);
        assert!(rows.len() >= least, "{name}: only {} rows", rows.len());
        for (row, tests) in rows {
            if tests.is_empty() {
                wrongs.push(format!("{name}: no test: {row}"));
            }
            for test in tests.iter().filter(|test| !is_test(test, &all)) {
                wrongs.push(format!("{name}: there is no test {test}"));
            }
        }
    }
    assert!(wrongs.is_empty(), "\n{}", wrongs.join("\n"));
}

#[test]
fn a_row_without_a_test_is_seen() {
    let page = "| a | test |\n|---|---|\n| x `y` | `b::c`, `d::e` |\n| z | |\n\n| a | b |\n|---|---|\n| x | `f::g` |\n";
    let cells: Vec<Vec<&str>> = tested(page).into_iter().map(|row| row.1).collect();
    assert_eq!(cells, [vec!["b::c", "d::e"], vec![]]);
    let file = |text: &str| [("/src/domain/b.rs".to_owned(), text.to_owned())];
    let there = file("#[test]\n    fn c() {}\n");
    assert!(is_test("b::c", &there) && is_test("domain::b::c", &there));
    assert!(!is_test("b::d", &there) && !is_test("bb::c", &there) && !is_test("c", &there));
    assert!(!is_test("b::c", &file("fn c() {}\n")));
}

/// The lines below a heading, up to the next one that is no deeper.
fn section<'a>(page: &'a str, anchor: &str) -> Vec<&'a str> {
    let level = |line: &str| line.len() - line.trim_start_matches('#').len();
    let mut lines = page
        .lines()
        .skip_while(|line| level(line) == 0 || slug(line.trim_start_matches('#')) != anchor);
    let depth = lines.next().map_or(0, level);
    lines
        .take_while(|line| level(line) == 0 || level(line) > depth)
        .collect()
}

/// The numbers in a text: `10,502`.
fn numbers(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_digit() && c != ',')
        .map(|word| word.trim_matches(','))
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn what_the_readme_claims_stands_in_its_proof() {
    let pages = pages();
    let claims = section(&pages["README.md"], "what-it-does-that-others-do-not");
    let rows: Vec<_> = claims
        .iter()
        .filter(|line| line.starts_with("| **"))
        .collect();
    assert!(rows.len() > 5, "{claims:?}");
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [claim, proof] = cells.as_slice() else {
            panic!("{row}")
        };
        let mut proofs = String::new();
        for target in links(proof) {
            let (path, anchor) = resolve("README.md", &target);
            let text = std::fs::read_to_string(root().join(&path)).unwrap();
            proofs += &anchor.map_or(text.clone(), |anchor| section(&text, &anchor).join("\n"));
        }
        assert!(!proofs.is_empty(), "no proof: {row}");
        for number in numbers(claim) {
            assert!(numbers(&proofs).contains(number), "{number}: {row}");
        }
        for name in code(proof).iter().filter(|name| name.contains('_')) {
            assert!(proofs.contains(&format!("fn {name}(")), "{name}: {row}");
        }
    }
}

#[test]
fn the_checks_see_what_is_wrong() {
    let tree = tree();
    let wrong = |line: &str| {
        let words = commands(line).remove(0);
        wrong(&tree, &words[1..])
    };
    for right in [
        "conductor send TERMINAL -m \"TEXT\" --key K  # a comment",
        "conductor --json flow enable|disable NAME",
        "conductor policy check --cwd ~/shop --tool Write -- src/main.rs --what",
        "conductor inbox show 12 | less --what",
        "conductor inbox 3f2a --limit=5 [--status S]",
        "conductor logs %7 -n 5 -f",
        "conductor COMMAND --help",
    ] {
        assert_eq!(wrong(right), None, "{right}");
    }
    for bad in [
        "conductor sned TERMINAL",
        "conductor send TERMINAL --massage X",
        "conductor flow start nightly",
        "conductor send -m --wait --what",
        "conductor inbox -z",
        "conductor flow enable|start NAME",
    ] {
        assert!(wrong(bad).is_some(), "{bad}");
    }
    assert_eq!(
        anchors("# A `b-c`: d_e!\n## x\n```\n# no\n```\n## x\n"),
        ["a-b-c-d_e", "x", "x-1"].map(str::to_owned).into()
    );
    assert_eq!(
        section("# A\n## B c\nx\n### D\ny\n## E\nz\n", "b-c"),
        ["x", "### D", "y"]
    );
    assert_eq!(numbers("Of 10,502, 0%"), ["10,502", "0"].into());
    assert_eq!(links("[a](b.md#c) `[d](e)` [f](https://g)\n"), ["b.md#c"]);
    assert_eq!(
        resolve("docs/a.md", "../b.md#c"),
        ("b.md".to_owned(), Some("c".to_owned()))
    );
}
