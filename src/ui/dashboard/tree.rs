//! The tree: tmux servers where there are several, sessions, agents.

use super::look::{Look, put};
use super::{Agent, Parts, View, paint};
use crate::domain::terminal::{Role, Status};
use crate::ui::table::{age, cut};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

/// From this width on profile and provider stand before what an agent does; the details have them too.
const WITH_NAMES: u16 = 44;

/// A line of the tree, or an agent in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Branch {
    /// A tmux server, by its socket.
    Server(String),
    /// A session, by its name.
    Session(String),
    /// An agent, by its place among all.
    Agent(usize),
}

impl Branch {
    /// Lines that it takes where an agent takes `lines`.
    pub const fn height(&self, lines: usize) -> usize {
        match self {
            Self::Agent(_) => lines,
            Self::Server(_) | Self::Session(_) => 1,
        }
    }
}

/// The tree over those `agents` that are `shown`: servers and sessions in the order of their first agent, the supervisor first in each.
/// Servers are named where there are several.
pub fn branches(agents: &[Agent], shown: impl Fn(&Agent) -> bool) -> Vec<Branch> {
    let mut groups: Vec<(&Option<String>, &str, Vec<usize>)> = Vec::new();
    for (at, agent) in agents.iter().enumerate().filter(|(_, agent)| shown(agent)) {
        let known = groups
            .iter_mut()
            .find(|(server, session, _)| **server == agent.server && *session == agent.session);
        match known {
            Some((_, _, members)) => members.push(at),
            None => groups.push((&agent.server, &agent.session, vec![at])),
        }
    }
    let mut servers: Vec<&Option<String>> = Vec::new();
    for (server, _, _) in &groups {
        if !servers.contains(server) {
            servers.push(server);
        }
    }
    let mut tree = Vec::new();
    for server in &servers {
        if servers.len() > 1 {
            let name = server.as_deref().unwrap_or("no server");
            tree.push(Branch::Server(name.to_owned()));
        }
        for (_, session, members) in groups.iter().filter(|(of, _, _)| of == server) {
            tree.push(Branch::Session((*session).to_owned()));
            let first = |role: Role| members.iter().filter(move |at| agents[**at].role == role);
            let members = first(Role::Supervisor).chain(first(Role::Worker));
            tree.extend(members.map(|at| Branch::Agent(*at)));
        }
    }
    tree
}

/// The first line to show of `tree` in `height` lines, so that agent `selected` is in sight: `top`, moved no further than needed.
pub fn kept_in_sight(
    tree: &[Branch],
    selected: Option<usize>,
    top: usize,
    height: usize,
    lines: usize,
) -> usize {
    let whole: usize = tree.iter().map(|branch| branch.height(lines)).sum();
    let top = top.min(whole.saturating_sub(height));
    let mut at = 0;
    let mut first = true;
    for branch in tree {
        match branch {
            Branch::Agent(agent) if Some(*agent) == selected => break,
            Branch::Agent(_) => first = false,
            Branch::Server(_) | Branch::Session(_) => {}
        }
        at += branch.height(lines);
    }
    if at >= whole {
        return top;
    }
    // What stands above the first agent has no cursor that could bring it back.
    let from = if first { 0 } else { at };
    top.min(from).max((at + lines).saturating_sub(height))
}

/// Draws the part of the tree that is in sight.
pub(super) fn draw(view: &View<'_>, buffer: &mut Buffer, parts: Parts) {
    let area = parts.tree;
    if area.width == 0 || area.height == 0 {
        return;
    }
    if view.tree.is_empty() {
        let text = if view.filter.is_some() {
            "nothing fits the filter"
        } else if view.agents.iter().any(|agent| !agent.status.alive()) {
            "no agent lives; e shows those that ended"
        } else {
            "no agents: `conductor-hook launch` starts some"
        };
        put(buffer, area.x, area.y, text, u16::MAX, view.look.dim());
        return;
    }
    let mut line = 0;
    for branch in view.tree {
        let height = branch.height(parts.lines);
        for part in 0..height {
            let Some(y) = (line + part).checked_sub(view.top) else {
                continue;
            };
            let Ok(y) = u16::try_from(y) else { return };
            if y >= area.height {
                return;
            }
            let row = Rect::new(area.x, area.y + y, area.width, 1);
            match branch {
                Branch::Server(name) => {
                    put(buffer, row.x, row.y, name, row.width, view.look.dim());
                }
                Branch::Session(name) => {
                    put(buffer, row.x, row.y, name, row.width, view.look.bold());
                }
                Branch::Agent(at) => {
                    let Some(agent) = view.agents.get(*at) else {
                        continue;
                    };
                    if part == 0 {
                        first_line(agent, view, buffer, row);
                    } else {
                        second_line(agent, view.look, buffer, row);
                    }
                    if view.selected == Some(*at) {
                        paint(buffer, row, view.look.chosen());
                    }
                }
            }
        }
        line += height;
    }
}

/// Marker, name, status and its age; at the right what waits for it.
fn first_line(agent: &Agent, view: &View<'_>, buffer: &mut Buffer, row: Rect) {
    let look = view.look;
    let style = look.status(agent.status);
    let base = if agent.status == Status::Exited {
        look.dim()
    } else {
        Style::new()
    };
    let mut badges = String::new();
    if agent.unread > 0 {
        badges.push_str(&format!(" +{}", agent.unread));
    }
    if !agent.asks.is_empty() {
        badges.push_str(&format!(" !{}", agent.asks.len()));
    }
    let state = format!(
        "{} {}",
        agent.status.as_str(),
        age(view.now_ms - agent.since_ms)
    );
    let width = usize::from(row.width);
    let room = width.saturating_sub(2 + 1 + state.width() + badges.width());
    put(
        buffer,
        row.x,
        row.y,
        look.marker(agent.status),
        row.width,
        style,
    );
    let name = if room < 2 {
        String::new()
    } else {
        cut(&agent.window, room)
    };
    put(
        buffer,
        row.x + 2,
        row.y,
        &name,
        row.width.saturating_sub(2),
        base,
    );
    let behind = state.width() + badges.width();
    let Some(x) = width.checked_sub(behind).filter(|x| *x >= 2) else {
        return;
    };
    let x = row.x + u16::try_from(x).unwrap_or(0);
    let x = put(buffer, x, row.y, &state, row.right() - x, style);
    put(
        buffer,
        x,
        row.y,
        &badges,
        row.right().saturating_sub(x),
        look.warn(),
    );
}

/// What it does now.
fn second_line(agent: &Agent, look: Look, buffer: &mut Buffer, row: Rect) {
    let style = if agent.asks.is_empty() {
        look.dim()
    } else {
        look.warn()
    };
    let text = if row.width < WITH_NAMES {
        agent.doing.clone()
    } else if agent.profile == agent.window {
        format!("{}: {}", agent.provider, agent.doing)
    } else {
        format!("{}/{}: {}", agent.profile, agent.provider, agent.doing)
    };
    let width = row.width.saturating_sub(2);
    let text = cut(&text, usize::from(width).max(2));
    put(buffer, row.x + 2, row.y, &text, width, style);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_cursor_is_in_sight(sessions in prop::collection::vec(1usize..4, 1..6), pick in any::<prop::sample::Index>(), top in 0usize..40, height in 2usize..30, lines in 1usize..3) {
            let mut tree = Vec::new();
            let mut count = 0;
            for members in sessions {
                tree.push(Branch::Session("s".into()));
                tree.extend((count..count + members).map(Branch::Agent));
                count += members;
            }
            let selected = pick.index(count);
            let top = kept_in_sight(&tree, Some(selected), top, height, lines);
            let before: usize = tree.iter().take_while(|b| **b != Branch::Agent(selected)).map(|b| b.height(lines)).sum();
            prop_assert!(top <= before && before + lines <= top + height);
        }
    }
}
