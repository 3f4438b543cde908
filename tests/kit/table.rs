//! What came of each row, and the table of it in the documentation.

use super::mixed::AGENTS;
use super::rows::{ROWS, about};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// What came of one row with one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Works,
    /// It is not so with this agent, which is known, and why.
    Not(&'static str),
    Broken(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Works => f.write_str("ok"),
            Self::Not(why) => f.write_str(why),
            Self::Broken(why) => write!(f, "FAILED: {why}"),
        }
    }
}

#[derive(Default)]
pub(crate) struct Table {
    agents: Vec<String>,
    cells: BTreeMap<(String, String), Outcome>,
    /// Of the one session with several agents.
    mixed: Option<Outcome>,
}

const BEGIN: &str = "<!-- made by tests/kit -->";
const END: &str = "<!-- end of what tests/kit made -->";

fn shown(outcome: Option<&Outcome>) -> String {
    match outcome {
        None => String::new(),
        Some(Outcome::Works) => "yes".to_owned(),
        Some(Outcome::Not(why)) => (*why).to_owned(),
        Some(Outcome::Broken(_)) => "**no**".to_owned(),
    }
}

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/providers.md")
}

impl Table {
    pub(crate) fn put(&mut self, row: &str, agent: &str, outcome: Outcome) {
        if !self.agents.iter().any(|known| known == agent) {
            self.agents.push(agent.to_owned());
        }
        self.cells
            .insert((row.to_owned(), agent.to_owned()), outcome);
    }

    pub(crate) fn put_mixed(&mut self, outcome: Outcome) {
        self.mixed = Some(outcome);
    }

    fn cell(&self, row: &str, agent: &str) -> String {
        shown(self.cells.get(&(row.to_owned(), agent.to_owned())))
    }

    /// The line of the session with several agents, when it ran.
    fn mixed_line(&self) -> Option<String> {
        self.mixed.as_ref()?;
        Some(format!(
            "Mixed session: {} hands a task to each of {} and to one of its own kind, and gets each answer: {}.",
            AGENTS[0],
            AGENTS[1..].join(", "),
            shown(self.mixed.as_ref())
        ))
    }

    /// The table in Markdown, and the line of the mixed session.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "| | {} |\n|---|{}\n",
            self.agents.join(" | "),
            "---|".repeat(self.agents.len())
        );
        for (row, _) in ROWS {
            let cells: Vec<String> = self
                .agents
                .iter()
                .map(|agent| self.cell(row, agent))
                .collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                text.push_str(&format!(
                    "| {row}: {} | {} |\n",
                    about(row),
                    cells.join(" | ")
                ));
            }
        }
        if let Some(line) = self.mixed_line() {
            text.push_str(&format!("\n{line}\n"));
        }
        text
    }

    /// Where a row came out in another way than the page says.
    pub(crate) fn changes(&self) -> Vec<String> {
        let text = std::fs::read_to_string(page()).unwrap_or_default();
        let made = text
            .split_once(BEGIN)
            .and_then(|(_, rest)| rest.split_once(END))
            .map_or("", |(inside, _)| inside);
        let rows: Vec<Vec<String>> = made
            .lines()
            .map(|line| {
                line.trim_matches('|')
                    .split('|')
                    .map(|cell| cell.trim().to_owned())
                    .collect()
            })
            .collect();
        let mut changes = Vec::new();
        for (row, agent) in self.cells.keys() {
            let now = self.cell(row, agent);
            let column = rows
                .iter()
                .find_map(|cells| cells.iter().position(|cell| cell == agent));
            let known = rows
                .iter()
                .find(|cells| {
                    cells
                        .first()
                        .is_some_and(|cell| cell.split(':').next() == Some(row))
                })
                .and_then(|cells| cells.get(column?));
            match known {
                Some(known) if *known == now => {}
                Some(known) => changes.push(format!("{agent} {row}: was {known}, is {now}")),
                None => changes.push(format!("{agent} {row}: new, is {now}")),
            }
        }
        if let Some(line) = self.mixed_line()
            && !made.lines().any(|known| known == line)
        {
            changes.push(line);
        }
        changes
    }

    /// Puts the table into the page.
    pub(crate) fn write(&self) {
        let text = std::fs::read_to_string(page()).unwrap();
        let (before, rest) = text.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        let text = format!("{before}{BEGIN}\n\n{}\n{END}{after}", self.text());
        std::fs::write(page(), text).unwrap();
    }
}
