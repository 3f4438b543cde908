//! The table and the JSON lines.

use serde_json::{Value, json};

/// One figure and the budget that it is held against.
pub(crate) struct Row {
    name: &'static str,
    figure: f64,
    unit: &'static str,
    budget: f64,
    /// Whether the budget is a least value.
    least: bool,
    /// Whether there is no budget: the figure is only told.
    told: bool,
    note: String,
    more: Value,
}

impl Row {
    /// A figure that must not be above `budget`.
    pub(crate) fn most(name: &'static str, figure: f64, unit: &'static str, budget: f64) -> Self {
        Self {
            name,
            figure,
            unit,
            budget,
            least: false,
            told: false,
            note: String::new(),
            more: json!({}),
        }
    }

    /// A figure that must not be below `budget`.
    pub(crate) fn least(name: &'static str, figure: f64, unit: &'static str, budget: f64) -> Self {
        Self {
            least: true,
            ..Self::most(name, figure, unit, budget)
        }
    }

    /// A figure without a budget.
    pub(crate) fn told(name: &'static str, figure: f64, unit: &'static str) -> Self {
        Self {
            told: true,
            ..Self::most(name, figure, unit, 0.0)
        }
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    pub(crate) fn more(mut self, more: Value) -> Self {
        self.more = more;
        self
    }

    pub(crate) fn met(&self) -> bool {
        if self.told {
            true
        } else if self.least {
            self.figure >= self.budget
        } else {
            self.figure <= self.budget
        }
    }

    fn sign(&self) -> &'static str {
        if self.least { ">=" } else { "<=" }
    }

    /// The line for people.
    pub(crate) fn line(&self) -> String {
        let (sign, budget, word) = if self.told {
            ("", String::new(), "told")
        } else {
            let word = if self.met() { "met" } else { "MISSED" };
            (self.sign(), number(self.budget), word)
        };
        format!(
            "{:<47} {:>9}{:<3} {sign:>2} {budget:>7}{:<3} {word:<7} {}",
            self.name,
            number(self.figure),
            self.unit,
            if self.told { "" } else { self.unit },
            self.note
        )
    }

    /// The line for programs.
    pub(crate) fn json(&self) -> Value {
        let budget = (!self.told).then_some(self.budget);
        json!({"row": self.name, "figure": self.figure, "unit": self.unit, "sign": self.sign(), "budget": budget, "met": self.met(),
            "note": self.note, "more": self.more})
    }
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}
