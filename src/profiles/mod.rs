//! Files that people write: profiles, a project's `.conductor/`, `config.toml`; which file won, and what is wrong with it.
//!
//! | room | what lives there |
//! |---|---|
//! | [`finding`] | what is wrong with a file, and on which line |
//! | [`front_matter`] | a Markdown file split into YAML fields and body |
//! | [`profile`], [`inheritance`] | fields -> [`crate::domain::profile::Profile`], over what it extends |
//! | [`catalogue`] | the profiles that can be found: which one wins, lists, checks, search |
//! | [`built_in`] | the profiles that are part of the binary |
//! | [`search`] | ranking and near names |
//! | [`project`] | a project's `.conductor/`, and the hashes that trust is bound to |
//! | [`flow_file`] | flows, and how their prompts are filled |
//! | [`edit`] | creating and installing profiles |
//! | [`policy`], [`policy_file`], [`policy_always`] | `policy.toml`: which rules hold, how they are written, the one that `always` adds |
//! | [`policy_sight`] | the disk, as a policy looks at it |
//! | [`config`], [`config_table`] | `config.toml`; its keys, and the reference made from them |

pub mod built_in;
pub mod catalogue;
pub mod config;
mod config_reference;
pub mod config_table;
pub mod edit;
mod effects;
mod fields;
mod files;
pub mod finding;
pub mod flow_file;
pub mod front_matter;
pub mod inheritance;
mod keys;
pub mod policy;
pub mod policy_always;
#[cfg(test)]
mod policy_campaign_tests;
#[cfg(test)]
mod policy_corpus_tests;
pub mod policy_file;
pub mod policy_sight;
pub mod profile;
pub mod project;
mod scaffold;
pub mod search;
mod sources;
mod yaml;
