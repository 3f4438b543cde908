//! A picture of a terminal: SVG with fixed colours, without scripts and without fonts of its own.

use super::screen::{Cell, Colour, Screen, Style};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Width and height of a cell, and where in it letters stand, in pixels.
const CELL: (usize, usize) = (8, 17);
const BASELINE: usize = 13;
/// The usual fonts are 0.602 times as wide as they are high.
const FONT: &str = "13.3px ui-monospace, \"DejaVu Sans Mono\", Menlo, Consolas, monospace";
/// Room around the cells.
const MARGIN: usize = 12;
const FOREGROUND: &str = "#d5dae3";
const BACKGROUND: &str = "#14171f";
/// The first 16 colours.
const PALETTE: [&str; 16] = [
    "#2a2f3a", "#ef6b73", "#8cc570", "#e5c07b", "#61afef", "#c58af9", "#56c2c9", "#c8ccd4",
    "#6b7280", "#ff8a92", "#a6e08a", "#f5d491", "#82c4ff", "#dba6ff", "#7fe0e6", "#ffffff",
];

/// The picture of `screen`, of so many columns, with a title that is read to who cannot see it.
pub(crate) fn picture(screen: &Screen, columns: usize, title: &str) -> String {
    let width = columns * CELL.0 + 2 * MARGIN;
    let height = screen.rows.len() * CELL.1 + 2 * MARGIN;
    let (mut grounds, mut texts) = (String::new(), String::new());
    let mut frames = BTreeMap::new();
    for (number, row) in screen.rows.iter().enumerate() {
        let top = MARGIN + number * CELL.1;
        ground(&mut grounds, row, top);
        frame(&mut frames, row, top);
        words(&mut texts, row, top);
    }
    let frames: String = frames
        .iter()
        .map(|(look, path)| format!("<path d=\"{path}\"{look}/>\n"))
        .collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         <title>{}</title>\n\
         <style>text {{ font: {FONT}; fill: {FOREGROUND} }} path {{ fill: none }} .b {{ font-weight: bold }} \
         .i {{ font-style: italic }} .u {{ text-decoration: underline }} .d {{ opacity: .6 }}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n\
         <g shape-rendering=\"crispEdges\">\n{grounds}{frames}</g>\n{texts}</svg>\n",
        escaped(title)
    )
}

/// A part of a row that is drawn alike: from this column, up to this one.
struct Run {
    from: usize,
    to: usize,
    text: String,
    style: Style,
}

/// The row in runs; `joins` says whether a cell goes on with the run before it.
fn runs(row: &[Cell], joins: impl Fn(&Run, &Cell) -> bool) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut at = 0;
    for cell in row {
        match runs.last_mut() {
            Some(run) if joins(run, cell) => {
                run.text.push_str(&cell.text);
                run.to += cell.width;
            }
            _ => runs.push(Run {
                from: at,
                to: at + cell.width,
                text: cell.text.clone(),
                style: cell.style,
            }),
        }
        at += cell.width;
    }
    runs
}

/// Backgrounds that are not the terminal's own.
fn ground(out: &mut String, row: &[Cell], top: usize) {
    let same = |run: &Run, cell: &Cell| colours(run.style).1 == colours(cell.style).1;
    for run in runs(row, same) {
        if let Some(colour) = colours(run.style).1 {
            let (x, wide) = (MARGIN + run.from * CELL.0, (run.to - run.from) * CELL.0);
            let tall = CELL.1;
            let _ = writeln!(
                out,
                "<rect x=\"{x}\" y=\"{top}\" width=\"{wide}\" height=\"{tall}\" fill=\"{colour}\"/>"
            );
        }
    }
}

/// Which sides of its cell a line reaches: left, right, up, down.
fn sides(text: &str) -> Option<[bool; 4]> {
    let sides = match text {
        "─" => "lr",
        "│" => "ud",
        "┌" => "rd",
        "┐" => "ld",
        "└" => "ru",
        "┘" => "lu",
        "├" => "rud",
        "┤" => "lud",
        "┬" => "lrd",
        "┴" => "lru",
        "┼" => "lrud",
        _ => return None,
    };
    Some(['l', 'r', 'u', 'd'].map(|side| sides.contains(side)))
}

/// Frames as lines, by how they look: fonts differ in how they draw them.
fn frame(out: &mut BTreeMap<String, String>, row: &[Cell], top: usize) {
    let half = top + CELL.1 / 2;
    let line = |run: &Run, cell: &Cell| {
        run.style == cell.style && run.text.starts_with('─') && cell.text == "─"
    };
    for run in runs(row, line) {
        let first: String = run.text.chars().take(1).collect();
        let Some([left, right, up, down]) = sides(&first) else {
            continue;
        };
        let look = format!(" stroke=\"{}\"{}", colours(run.style).0, class(run.style));
        let path = out.entry(look).or_default();
        let (start, end) = (MARGIN + run.from * CELL.0, MARGIN + run.to * CELL.0);
        let middle = start + CELL.0 / 2;
        if left || right {
            let from = if left { start } else { middle };
            let to = if right { end } else { middle };
            let _ = write!(path, "M{from} {half}.5H{to}");
        }
        if up || down {
            let from = if up { top } else { half };
            let to = if down { top + CELL.1 } else { half };
            let _ = write!(path, "M{middle}.5 {from}V{to}");
        }
    }
}

/// The letters. Each run stands at its own place and has its own width, whatever the font.
fn words(out: &mut String, row: &[Cell], top: usize) {
    let joins = |run: &Run, cell: &Cell| {
        let plain = |text: &str| text.is_ascii() && !text.starts_with(' ');
        let gap = run.text.ends_with(' ') && cell.text == " ";
        run.style == cell.style && plain(&run.text) && cell.text.is_ascii() && !gap
    };
    for run in runs(row, joins) {
        let text = run.text.trim_end();
        if text.is_empty() || sides(text).is_some() {
            continue;
        }
        let colour = colours(run.style).0;
        let fill = if colour == FOREGROUND {
            String::new()
        } else {
            format!(" style=\"fill: {colour}\"")
        };
        let width = (run.to - run.from - (run.text.len() - text.len())) * CELL.0;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" textLength=\"{width}\"{}{fill}>{}</text>",
            MARGIN + run.from * CELL.0,
            top + BASELINE,
            class(run.style),
            escaped(text)
        );
    }
}

fn class(style: Style) -> String {
    let names: Vec<&str> = [
        (style.bold, "b"),
        (style.italic, "i"),
        (style.underline, "u"),
        (style.dim, "d"),
    ]
    .iter()
    .filter(|(set, _)| *set)
    .map(|(_, name)| *name)
    .collect();
    if names.is_empty() {
        String::new()
    } else {
        format!(" class=\"{}\"", names.join(" "))
    }
}

/// Foreground, and background where it is not the terminal's own.
fn colours(style: Style) -> (String, Option<String>) {
    let fg = named(style.fg);
    let bg = named(style.bg);
    if style.reverse {
        (
            bg.unwrap_or_else(|| BACKGROUND.to_owned()),
            Some(fg.unwrap_or_else(|| FOREGROUND.to_owned())),
        )
    } else {
        (fg.unwrap_or_else(|| FOREGROUND.to_owned()), bg)
    }
}

fn named(colour: Colour) -> Option<String> {
    match colour {
        Colour::Default => None,
        Colour::Index(at @ 0..=15) => Some(PALETTE[usize::from(at)].to_owned()),
        Colour::Index(at @ 16..=231) => {
            let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            let at = at - 16;
            Some(rgb(level(at / 36), level(at / 6 % 6), level(at % 6)))
        }
        Colour::Index(at) => {
            let grey = 8 + 10 * (at - 232);
            Some(rgb(grey, grey, grey))
        }
        Colour::Rgb(red, green, blue) => Some(rgb(red, green, blue)),
    }
}

fn rgb(red: u8, green: u8, blue: u8) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[test]
fn a_picture_has_what_the_screen_has() {
    let text = "a <b> & c\u{1b}[7m日\u{1b}[0m  far\n┌──┐\n\u{1b}[31;1mred\u{1b}[0m\n";
    let screen = Screen::read(text);
    let svg = picture(&screen, 20, "A <title>");
    assert!(svg.contains(">a &lt;b&gt; &amp; c</text>") && svg.contains("A &lt;title&gt;"));
    assert!(svg.contains(&format!(
        "width=\"16\" height=\"17\" fill=\"{FOREGROUND}\"/>"
    )));
    assert!(svg.contains("M16 37.5H20M16.5 37V46"), "{svg}");
    assert!(
        svg.contains("<text x=\"116\"") && svg.contains(">far</text>"),
        "{svg}"
    );
    assert!(svg.contains(">日</text>") && svg.contains("class=\"b\" style=\"fill: #ef6b73\">red"));
    assert!(!svg.contains("<script") && !svg.contains("href"));
}
