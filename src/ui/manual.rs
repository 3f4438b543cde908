//! Pages of the manual, section 5, made from the Markdown of our documentation.

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

/// What a page of the manual is about.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// The page's name, without its section.
    pub name: &'static str,
    /// One line: what the file is.
    pub summary: &'static str,
    /// The only second-level sections that it takes; empty: all.
    pub only: &'static [&'static str],
    /// Second-level sections that it leaves out.
    pub without: &'static [&'static str],
    /// Other pages that it refers to, with their sections.
    pub see: &'static [(&'static str, u8)],
}

/// The page in roff's man macros, with the text of `markdown`. `version` is the program's.
///
/// Takes what our pages consist of: headings, paragraphs, lists, tables and fences, one level deep. A link is its text.
pub fn page(format: &Format, markdown: &str, version: &str) -> String {
    let mut roff = Roff::new();
    let source = format!("Agent Conductor {version}");
    roff.control(
        "TH",
        // A date of nothing would be left out, and what follows take its place.
        [format.name, "5", " ", source.as_str(), "File formats"],
    );
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{} - {}", format.name, format.summary))]);
    if format.only.is_empty() {
        roff.control("SH", ["DESCRIPTION"]);
    }
    let mut lines = markdown.lines().peekable();
    let mut skipped = !format.only.is_empty();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("## ") {
            let title = plain(title);
            skipped = format.without.contains(&title.as_str())
                || !(format.only.is_empty() || format.only.contains(&title.as_str()));
            if !skipped {
                roff.control("SH", [title.to_uppercase().as_str()]);
            }
        } else if line.starts_with("```") {
            let block: Vec<&str> = lines
                .by_ref()
                .take_while(|l| !l.starts_with("```"))
                .collect();
            if !skipped {
                fence(&mut roff, &block);
            }
        } else if skipped || line.starts_with("# ") || line.starts_with("<!--") || line.is_empty() {
        } else if let Some(title) = line.strip_prefix("### ") {
            roff.control("SS", [plain(title).as_str()]);
        } else if line.starts_with('|') {
            let mut rows = vec![line];
            while let Some(row) = lines.next_if(|l| l.starts_with('|')) {
                rows.push(row);
            }
            table(&mut roff, &rows);
        } else {
            let (mark, first) = item(line);
            let mut text = first.to_owned();
            while let Some(next) = lines.next_if(|l| goes_on(l)) {
                text.push(' ');
                text.push_str(next.trim());
            }
            match mark {
                Some(mark) => roff.control("IP", [mark, "4"]),
                None => roff.control("PP", []),
            };
            roff.text(inlines(&text));
        }
    }
    roff.control("SH", ["SEE ALSO"]);
    let mut see = vec![bold("conductor-hook"), roman("(1)")];
    for (name, section) in format.see {
        see.extend([roman(", "), bold(*name), roman(format!("({section})"))]);
    }
    roff.text(see);
    roff.render()
}

/// The mark of a list's item and the text behind it; no mark: a paragraph.
fn item(line: &str) -> (Option<&str>, &str) {
    if let Some(rest) = line.strip_prefix("- ") {
        return (Some("*"), rest);
    }
    match line.split_once(". ") {
        Some((number, rest)) if number.bytes().all(|b| b.is_ascii_digit()) => {
            (Some(&line[..=number.len()]), rest)
        }
        _ => (None, line),
    }
}

/// Whether a line belongs to the paragraph or item above it.
fn goes_on(line: &str) -> bool {
    let indented = line.starts_with(' ');
    !line.is_empty()
        && !line.starts_with(['#', '|'])
        && !line.starts_with("```")
        && !line.starts_with("<!--")
        && (indented || item(line).0.is_none())
}

fn fence(roff: &mut Roff, block: &[&str]) {
    roff.control("PP", []);
    roff.control("RS", ["4"]);
    roff.control("nf", []);
    for line in block {
        roff.text([roman(if line.is_empty() { " " } else { line })]);
    }
    roff.control("fi", []);
    roff.control("RE", []);
}

/// Each row is an entry: its first cell, and the others beneath; those of a third column on carry their column's name.
fn table(roff: &mut Roff, rows: &[&str]) {
    let head = rows.first().map(|row| cells(row)).unwrap_or_default();
    for row in rows.iter().skip(2) {
        let cells = cells(row);
        let Some((first, rest)) = cells.split_first() else {
            continue;
        };
        roff.control("TP", []);
        roff.text(inlines(first));
        let mut text = Vec::new();
        for (at, cell) in rest.iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
            if !text.is_empty() {
                text.push(roman("; "));
            }
            if let Some(name) = head.get(at + 1).filter(|name| at > 0 && !name.is_empty()) {
                text.push(italic(plain(name)));
                text.push(roman(": "));
            }
            text.extend(inlines(cell));
        }
        roff.text(text);
    }
}

fn cells(row: &str) -> Vec<String> {
    let mut cells = Vec::new();
    let mut cell = String::new();
    let mut chars = row.trim().trim_start_matches('|').chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next_if_eq(&'|').is_some() {
            cell.push('|');
        } else if c == '|' {
            cells.push(std::mem::take(&mut cell).trim().to_owned());
        } else {
            cell.push(c);
        }
    }
    cells
}

/// The text without its marks.
fn plain(text: &str) -> String {
    inlines(text)
        .into_iter()
        .map(|inline| match inline {
            Inline::Roman(text) | Inline::Italic(text) | Inline::Bold(text) => text,
            Inline::LineBreak => " ".to_owned(),
        })
        .collect()
}

/// Code and strong text are bold, emphasis is italic, a link is its text.
fn inlines(text: &str) -> Vec<Inline> {
    let mut out = Vec::new();
    let mut run = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '`' => enclosed(rest, "`").map(|(inner, left)| (vec![bold(inner)], left)),
            '*' if rest.starts_with("**") => {
                enclosed(rest, "**").map(|(inner, left)| (vec![bold(plain(inner))], left))
            }
            '*' => enclosed(rest, "*").map(|(inner, left)| (vec![italic(plain(inner))], left)),
            '[' => link(rest).map(|(inner, left)| (inlines(inner), left)),
            '\\' => rest[1..]
                .chars()
                .next()
                .filter(|next| next.is_ascii_punctuation())
                .map(|next| (vec![roman(next.to_string())], &rest[2..])),
            _ => None,
        };
        if let Some((made, left)) = taken {
            if !run.is_empty() {
                out.push(roman(std::mem::take(&mut run)));
            }
            out.extend(made);
            rest = left;
        } else {
            run.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    if !run.is_empty() {
        out.push(roman(run));
    }
    out
}

/// What stands between `mark` at the start of `text` and the next one, and what follows.
fn enclosed<'a>(text: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    let inner = &text[mark.len()..];
    let end = inner.find(mark)?;
    (end > 0 && !inner.starts_with(' ')).then(|| (&inner[..end], &inner[end + mark.len()..]))
}

fn link(text: &str) -> Option<(&str, &str)> {
    let (inner, rest) = text[1..].split_once("](")?;
    let (_, left) = rest.split_once(')')?;
    (!inner.contains('[')).then_some((inner, left))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(markdown: &'static str) -> String {
        let format = Format {
            name: "conductor-x",
            summary: "a file",
            only: &[],
            without: &["Left out"],
            see: &[("conductor-y", 5)],
        };
        page(&format, markdown, "1.2.3")
    }

    #[test]
    fn a_page_has_what_its_markdown_has() {
        let page = made(
            "# X\n\nA [link](y.md) to `a-b`\nand **more**.\n\n## Keys\n\n| key | | default |\n|---|---|---|\n| `name` | its name \\| id | none |\n\n- one\n  goes on\n- two\n\n```toml\n.x = 1\n\n'y'\n```\n\n## Left out\n\nsecret\n",
        );
        let body = page.split(".SH DESCRIPTION").nth(1).unwrap();
        assert_eq!(
            body,
            "\n.PP\nA link to \\fBa\\-b\\fR and \\fBmore\\fR.\n.SH KEYS\n.TP\n\\fBname\\fR\nits name | id; \\fIdefault\\fR: none\n\
             .IP * 4\none goes on\n.IP * 4\ntwo\n.PP\n.RS 4\n.nf\n\\&.x = 1\n \n\\*(Aqy\\*(Aq\n.fi\n.RE\n.SH \"SEE ALSO\"\n\\fBconductor\\-hook\\fR(1), \\fBconductor\\-y\\fR(5)\n"
        );
        assert!(
            page.contains("\n.TH conductor-x 5 \" \" \"Agent Conductor 1.2.3\" \"File formats\"\n"),
            "{page}"
        );
    }

    #[test]
    fn marks_that_do_not_close_are_text() {
        assert_eq!(
            plain("a * b ** c ` d [e] \\* 2*3*4"),
            "a * b ** c ` d [e] * 234"
        );
        assert_eq!(plain("`[[x]]` [`f`](g#h)"), "[[x]] f");
    }
}
