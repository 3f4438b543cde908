//! What the death of a tmux server has left to be resumed: the list, and starting it again.

use super::context::Context;
use super::resume::{self, Where};
use crate::clock;
use crate::domain::ids::TerminalId;
use crate::domain::loss::Spot;
use crate::domain::terminal::{Server, Terminal};
use crate::error::{Failure, Result};
use crate::store::{Budget, Durability, Store};
use crate::tmux::PaneId;
use serde::Serialize;

/// How long a lost terminal is offered, in milliseconds.
const OFFERED_MS: i64 = 14 * 24 * 60 * 60 * 1000;

/// A terminal that can be resumed, or was about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offer {
    /// The terminal.
    pub terminal: TerminalId,
    /// Why it ended.
    pub reason: String,
    /// Its session.
    pub session: String,
    /// Its window.
    pub window: String,
    /// Its provider.
    pub provider: String,
    /// Its profile.
    pub profile: String,
    /// Its directory.
    pub cwd: String,
    /// Messages that wait for it.
    pub unread: i64,
    /// Whether its conversation is taken up; one that never began begins anew.
    pub begun: bool,
    /// What keeps it from being resumed now, and what to do about it.
    pub hindrance: Option<String>,
    /// What became of it: `resumed`, `lives` (it was there, or another call started it), `failed`; absent where nothing was tried.
    pub outcome: Option<&'static str>,
}

impl Offer {
    /// Whether it was tried and is not there.
    pub fn failed(&self) -> bool {
        self.outcome == Some("failed")
    }
}

/// A failure with its hints on one line.
fn whole(failure: &Failure) -> String {
    let hints = failure.hints().join("; ");
    if hints.is_empty() {
        failure.message().to_owned()
    } else {
        format!("{} ({hints})", failure.message())
    }
}

/// The terminals that wait to be resumed, supervisors first.
pub fn lost(store: &mut Store) -> Result<Vec<Terminal>> {
    let since = clock::after_ms(clock::now(), -OFFERED_MS);
    Ok(store.read(|tx| tx.lost_terminals(since))?)
}

/// What there is to say about a terminal that may be resumed.
pub fn offer(cx: &Context, store: &mut Store, terminal: &Terminal) -> Result<Offer> {
    let hindrance = resume::hindrance(cx, store, terminal).map(|failure| whole(&failure));
    Ok(Offer {
        terminal: terminal.id.clone(),
        reason: terminal.state.reason.clone(),
        session: terminal.session.clone(),
        window: terminal.window.clone(),
        provider: terminal.provider.clone(),
        profile: terminal.profile.clone(),
        cwd: terminal.cwd.to_string_lossy().into_owned(),
        unread: store.read(|tx| tx.open_count(Some(&terminal.id)))?,
        begun: terminal.begun,
        hindrance,
        outcome: None,
    })
}

/// Tells the people at this server how many agents can be resumed, once for each loss.
pub fn announce(cx: &Context, store: &mut Store) -> Result<()> {
    let count = lost(store)?.len();
    if count == 0 {
        return Ok(());
    }
    let fresh = store.write(Durability::Process, Budget::Call, |tx| tx.offer_terminals())?;
    if fresh {
        cx.tmux.offer(count)?;
    }
    Ok(())
}

/// Panes that shared a window before, and where they are now.
struct Mates {
    server: Option<Server>,
    spot: Spot,
    panes: Vec<(i64, PaneId)>,
}

/// Starts `terminals` again, in their order, each in its pane where one is named; those that shared a window share one again. One that fails
/// does not stop the others, and one that lives is left alone. `told` hears of each when it is done.
pub fn resume_all(
    cx: &Context,
    store: &mut Store,
    terminals: &[(Terminal, Option<PaneId>)],
    mut told: impl FnMut(usize, &Offer) -> Result<()>,
) -> Result<Vec<Offer>> {
    let mut windows: Vec<Mates> = Vec::new();
    let mut offers = Vec::new();
    for (index, (terminal, pane)) in terminals.iter().enumerate() {
        let mut offer = offer(cx, store, terminal)?;
        let begun = match pane {
            Some(pane) => resume::resume(cx, store, terminal, Where::In(*pane)),
            None => start(cx, store, terminal, &mut windows),
        };
        match begun {
            Ok(resumed) => {
                offer.outcome = Some("resumed");
                offer.session.clone_from(&resumed.session);
                offer.window.clone_from(&resumed.window);
            }
            Err(failure) => {
                let after = store.read(|tx| tx.terminal(&terminal.id))?;
                let lives = after.as_ref().is_some_and(Terminal::alive);
                offer.outcome = Some(if lives { "lives" } else { "failed" });
                offer.hindrance = (!lives).then(|| whole(&failure));
            }
        }
        told(index, &offer)?;
        offers.push(offer);
    }
    for mates in windows.iter().filter(|mates| mates.panes.len() > 1) {
        if let Some((_, pane)) = mates.panes.first()
            && let Err(error) = cx.tmux.set_layout(*pane, &mates.spot.layout)
        {
            tracing::debug!(%error, "give a window its old layout");
        }
    }
    Ok(offers)
}

/// Starts one again, beside those that it shared its window with.
fn start(
    cx: &Context,
    store: &mut Store,
    terminal: &Terminal,
    windows: &mut Vec<Mates>,
) -> Result<Terminal> {
    let Some(spot) = &terminal.spot else {
        return resume::resume(cx, store, terminal, Where::Window);
    };
    let mates = windows
        .iter_mut()
        .find(|mates| mates.server == terminal.server && mates.spot.window == spot.window);
    let beside = mates
        .as_ref()
        .and_then(|mates| neighbour(&mates.panes, spot.pane_index));
    let place = |resumed: &Terminal| {
        let pane = resumed.pane.as_deref().and_then(PaneId::parse);
        pane.map(|pane| (spot.pane_index, pane))
    };
    if let (Some(mates), Some((pane, before))) = (mates, beside) {
        match resume::resume(cx, store, terminal, Where::Beside { pane, before }) {
            Ok(resumed) => {
                mates.panes.extend(place(&resumed));
                return Ok(resumed);
            }
            // The other pane may be gone again, or its window too small for one more.
            Err(failure) => match store.read(|tx| tx.terminal(&terminal.id))? {
                Some(again) if !again.alive() => {
                    return resume::resume(cx, store, &again, Where::Window);
                }
                _ => return Err(failure),
            },
        }
    }
    let resumed = resume::resume(cx, store, terminal, Where::Window)?;
    windows.push(Mates {
        server: terminal.server.clone(),
        spot: spot.clone(),
        panes: place(&resumed).into_iter().collect(),
    });
    Ok(resumed)
}

/// The pane beside which one with this index stands in its window's order, and whether in front of it.
fn neighbour(panes: &[(i64, PaneId)], index: i64) -> Option<(PaneId, bool)> {
    let before = panes.iter().filter(|(other, _)| *other < index).max();
    let after = panes.iter().filter(|(other, _)| *other > index).min();
    match (before, after) {
        (Some((_, pane)), _) => Some((*pane, false)),
        (None, Some((_, pane))) => Some((*pane, true)),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pane_stands_where_it_stood_among_those_that_are_back() {
        let pane = |n: u32| PaneId::parse(&format!("%{n}")).unwrap();
        assert_eq!(neighbour(&[], 1), None);
        assert_eq!(neighbour(&[(0, pane(4))], 1), Some((pane(4), false)));
        assert_eq!(neighbour(&[(2, pane(4))], 1), Some((pane(4), true)));
        assert_eq!(
            neighbour(&[(3, pane(5)), (0, pane(4)), (2, pane(6))], 1),
            Some((pane(4), false))
        );
    }
}
