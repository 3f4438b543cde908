//! Figures for a monitoring system, in Prometheus' text format (version 0.0.4).

use super::Door;
use crate::error::Result;
use crate::services::metrics::{self, Metric};

pub(super) fn metrics(door: &mut Door<'_>) -> Result<()> {
    let found = metrics::metrics(&door.cx)?;
    door.print(&found, |found| found.iter().map(exposed).collect())
}

fn exposed(metric: &Metric) -> String {
    let mut text = format!(
        "# HELP {name} {help}\n# TYPE {name} {kind}\n",
        name = metric.name,
        help = metric.help,
        kind = metric.kind
    );
    for sample in &metric.samples {
        let labels: Vec<String> = sample
            .labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        text.push_str(&format!("{}{labels} {}\n", metric.name, sample.value));
    }
    text
}

/// A label's value: backslash, quote and line end are escaped.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::metrics::Sample;

    #[test]
    fn labels_are_escaped() {
        let metric = Metric {
            name: "x",
            help: "An x.",
            kind: "gauge",
            samples: vec![Sample {
                labels: [("a", "q\"\\\n".to_owned())].into(),
                value: 3,
            }],
        };
        assert_eq!(
            exposed(&metric),
            "# HELP x An x.\n# TYPE x gauge\nx{a=\"q\\\"\\\\\\n\"} 3\n"
        );
    }
}
