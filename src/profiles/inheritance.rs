//! A profile over everything that it extends.

use super::finding::{self, Finding};
use super::profile::{self, Draft};
use super::sources::{Source, Sources};
use crate::domain::ids::Name;
use crate::domain::profile::Scope;
use crate::error::{Failure, Kind, Result};

/// Most parents that a profile may have, one above the other.
pub const MAX_PARENTS: usize = 8;

/// `draft` over its parents. Parents are looked for as every profile is; one that extends its own name gets the one that it shadows.
pub(super) fn whole(
    sources: &Sources<'_>,
    draft: Draft,
    name: &Name,
    scope: Scope,
    warnings: &mut Vec<Finding>,
) -> Result<Draft> {
    let mut whole = draft;
    let mut chain: Vec<(Scope, Name)> = Vec::new();
    let mut last = (scope, name.clone());
    while let Some(parent) = whole.extends.take() {
        let shown = |chain: &[(Scope, Name)]| {
            let names = chain.iter().map(|(_, name)| name.as_str());
            let ends = [last.1.as_str(), parent.as_str()];
            names.chain(ends).collect::<Vec<_>>().join(" -> ")
        };
        let own = last.1 == parent;
        let source = sources
            .winning(&parent, own.then_some(last.0), warnings)
            .map_err(|failure| {
                if own && failure.kind() == Kind::NotFound {
                    Failure::failed(format!("it extends itself: {}", shown(&chain)))
                } else {
                    failure.context(format!("{} extends {parent}", last.1))
                }
            })?;
        let next = (source.scope, parent.clone());
        if next == last || chain.contains(&next) {
            let message = format!("it extends itself: {}", shown(&chain));
            return Err(Failure::failed(message));
        }
        if chain.len() >= MAX_PARENTS {
            let message = format!("it extends more than {MAX_PARENTS}: {}", shown(&chain));
            return Err(Failure::failed(message));
        }
        let what = format!("{} extends {parent}: read profile {parent}", last.1);
        whole = whole.over(usable(&what, &source, &parent, warnings)?);
        chain.push(std::mem::replace(&mut last, next));
    }
    Ok(whole)
}

/// What a source says when nothing in it is an error.
pub(super) fn usable(
    what: &str,
    source: &Source,
    name: &Name,
    warnings: &mut Vec<Finding>,
) -> Result<Draft> {
    let (draft, findings) = profile::read(&source.bytes, Some(name.as_str()));
    if let Some(failure) = finding::failure(what, &findings) {
        return Err(match &source.path {
            Some(path) => failure.hint(format!("it is {}", path.display())),
            None => failure,
        });
    }
    warnings.extend(findings);
    Ok(draft)
}
