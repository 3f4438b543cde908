//! Our tables at the end of a TOML document of somebody else, between two comments. Other programs write into the document too, also between
//! the two: what is taken out are our tables, wherever they stand.

use super::MARK;
use crate::paths::name::SETUP;

/// Around our lines.
const FIRST: &str =
    "# agent-conductor: the lines from here to its end are ours (CONDUCTOR_SETUP=1)";
const LAST: &str = "# agent-conductor: end";

/// `text` with our lines at its end.
pub(super) fn with(text: &str, ours: &str) -> String {
    let mut text = text.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&format!("{FIRST}\n{}\n{LAST}\n", ours.trim_end()));
    text
}

/// `text` without our lines.
pub(super) fn without(text: &str, ours: &str) -> String {
    let start = text
        .lines()
        .position(|line| line.trim_end() == FIRST)
        .unwrap_or(0);
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (before, block) = lines.split_at(start);
    let block: Vec<&str> = block
        .iter()
        .copied()
        .filter(|line| !matches!(line.trim_end(), FIRST | LAST))
        .collect();
    let mut known = tables(&ours.split_inclusive('\n').collect::<Vec<_>>());
    let mut left = before.concat();
    for table in tables(&block) {
        let said = bare(&table);
        let same = known.iter().position(|own| bare(own) == said);
        if let Some(same) = same {
            known.remove(same);
            // What people wrote above the next table.
            left.extend(table.iter().copied().filter(|line| is_comment(line)));
        } else if said
            .iter()
            .any(|line| line.contains(MARK) || line.contains(SETUP))
        {
            // Ours, and somebody has changed it.
        } else {
            left.extend(table);
        }
    }
    left
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// The lines of a table that say something.
fn bare<'a>(table: &[&'a str]) -> Vec<&'a str> {
    table
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty() && !is_comment(line))
        .collect()
}

/// The lines in groups that begin with the header of a table; headers without anything of their own are one group with the next.
fn tables<'a>(lines: &[&'a str]) -> Vec<Vec<&'a str>> {
    let is_header = |line: &str| line.trim_start().starts_with('[');
    let mut groups: Vec<Vec<&str>> = Vec::new();
    for line in lines {
        let more = groups.last().is_some_and(|group| {
            bare(group).iter().all(|line| is_header(line)) && group.iter().any(|l| is_header(l))
        });
        match groups.last_mut() {
            Some(group) if !is_header(line) || more => group.push(line),
            _ => groups.push(vec![line]),
        }
    }
    groups
}
