//! The manual: a page for each command, and one for each kind of file that people write.

use crate::cli::Cli;
use crate::error::{Failure, Result};
use crate::ui::manual::{Format, page};
use clap::CommandFactory;
use std::path::PathBuf;

/// A page of the manual.
pub(super) struct Page {
    /// Its name without the section, as `man` is asked for it.
    pub(super) name: String,
    /// 1 or 5.
    section: u8,
    /// In roff.
    pub(super) text: String,
}

impl Page {
    /// Its place below a directory for manuals.
    pub(super) fn path(&self) -> PathBuf {
        let Self { name, section, .. } = self;
        PathBuf::from(format!("man{section}/{name}.{section}"))
    }
}

/// Each with the documentation that it is made from; the configuration's is made when it is asked for.
const FORMATS: &[(Format, Option<&str>)] = &[
    (
        Format {
            name: "conductor-config",
            summary: "configuration of Agent Conductor (config.toml)",
            only: &[],
            without: &[],
            see: &[("conductor-hook-init", 1), ("conductor-policy", 5)],
        },
        None,
    ),
    (
        Format {
            name: "conductor-flow",
            summary: "a prompt that Agent Conductor gives to a fresh agent at set times",
            only: &[],
            without: &["How it is tried"],
            see: &[("conductor-hook-flow", 1), ("conductor-profile", 5)],
        },
        Some(include_str!("../../../docs/flows.md")),
    ),
    (
        Format {
            name: "conductor-policy",
            summary: "what agents may run, in Agent Conductor (policy.toml)",
            only: &[],
            without: &["Built-in rules", "What was measured"],
            see: &[("conductor-hook-policy", 1), ("conductor-config", 5)],
        },
        Some(include_str!("../../../docs/policy.md")),
    ),
    (
        Format {
            name: "conductor-profile",
            summary: "who an agent of Agent Conductor is",
            only: &[],
            without: &[],
            see: &[
                ("conductor-hook-profile", 1),
                ("conductor-policy", 5),
                ("conductor-provider", 5),
            ],
        },
        Some(include_str!("../../../docs/profiles.md")),
    ),
    (
        Format {
            name: "conductor-provider",
            summary: "an agent program that Agent Conductor runs (a manifest)",
            only: &["Your own manifest", "Permission modes and tools"],
            without: &[],
            see: &[("conductor-hook-provider", 1), ("conductor-profile", 5)],
        },
        Some(include_str!("../../../docs/providers.md")),
    ),
];

/// All pages: those of commands in the order of the reference, then those of files.
pub(super) fn pages() -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    let mut root = Cli::command();
    root.build();
    let mut stack = vec![root];
    while let Some(command) = stack.pop() {
        let name = command
            .get_display_name()
            .unwrap_or_else(|| command.get_name())
            .to_owned();
        let mut children: Vec<_> = command
            .get_subcommands()
            .filter(|c| !c.is_hide_set())
            .cloned()
            .collect();
        children.reverse();
        let mut text = Vec::new();
        clap_mangen::Man::new(command)
            .date(" ")
            .source(concat!("Agent Conductor ", env!("CARGO_PKG_VERSION")))
            .render(&mut text)
            .map_err(|e| Failure::failed(format!("render the page of {name}: {e}")))?;
        pages.push(Page {
            name,
            section: 1,
            text: String::from_utf8_lossy(&text).into_owned(),
        });
        stack.extend(children);
    }
    pages.push(Page {
        name: "conductor".to_owned(),
        section: 1,
        text: ".so man1/conductor-hook.1\n".to_owned(),
    });
    let configuration = crate::profiles::config::reference_markdown();
    for (format, markdown) in FORMATS {
        let markdown = markdown.unwrap_or(&configuration);
        pages.push(Page {
            name: format.name.to_owned(),
            section: 5,
            text: page(format, markdown, env!("CARGO_PKG_VERSION")),
        });
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_every_format_has_a_page() {
        let pages = pages().unwrap();
        let commands = super::super::reference()
            .lines()
            .filter_map(|l| l.strip_prefix("## `")?.strip_suffix('`'))
            .map(|name| name.replace(' ', "-"))
            .collect::<Vec<_>>();
        let names: Vec<_> = pages.iter().map(|page| page.name.clone()).collect();
        assert_eq!(names[..commands.len()], commands);
        assert_eq!(names[commands.len()], "conductor");
        for (page, words) in pages[commands.len() + 1..].iter().zip([
            vec!["max_body_bytes", "LIMITS", "depth"],
            vec!["agent_profile", "catch_up", "THE FILE"],
            vec!["any_flag", "overrides", "[[rule]]"],
            vec!["permissionMode", "extends"],
            vec!["prompt_row", "[launch]", "aider"],
        ]) {
            for word in words {
                assert!(page.text.contains(word), "{} lacks {word}", page.name);
            }
            assert!(!page.text.contains("GTFOBins"), "{}", page.name);
        }
    }

    #[test]
    fn every_page_that_a_format_refers_to_is_there() {
        let pages = pages().unwrap();
        for (format, _) in FORMATS {
            for (name, section) in format.see {
                let there = |page: &Page| page.name == *name && page.section == *section;
                assert!(pages.iter().any(there), "{}: {name}", format.name);
            }
        }
    }

    #[test]
    fn roff_takes_every_page_without_a_complaint() {
        for page in pages().unwrap() {
            for line in page.text.lines() {
                let known = [
                    ".SH", ".SS", ".TH", ".PP", ".TP", ".IP", ".RS", ".RE", ".nf", ".fi", ".br",
                    ".ie", ".el", ".so",
                ];
                assert!(
                    !line.starts_with(['.', '\'']) || known.iter().any(|k| line.starts_with(k)),
                    "{}: {line}",
                    page.name
                );
            }
        }
    }
}
