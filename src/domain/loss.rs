//! A terminal whose tmux server died under it: what is kept for its resumption.

use super::flow;
use super::terminal::{Status, Terminal};
use jiff::Timestamp;

/// That a terminal's server died, or its machine was restarted: nobody wanted its end. It is kept until the agent has been started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// The status that the agent had then.
    pub status: Status,
    /// When that was noticed first.
    pub at: Timestamp,
}

impl Loss {
    /// Whether it came in the middle of a turn.
    pub const fn cut_off(&self) -> bool {
        matches!(self.status, Status::Working | Status::Waiting)
    }
}

/// Where in its session a pane was when last seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spot {
    /// Window id (`@3`): panes with the same one shared a window.
    pub window: String,
    /// Index of the window in its session.
    pub window_index: i64,
    /// Index of the pane in its window.
    pub pane_index: i64,
    /// The window's layout, as tmux writes it.
    pub layout: String,
}

impl Terminal {
    /// Whether it waits to be resumed, and its messages with it.
    pub const fn lost(&self) -> bool {
        self.loss.is_some() && !self.state.status.alive()
    }

    /// Whether a flow started it, or an agent of a flow: the next run starts a new one, and nothing waits for this one.
    pub fn of_flow(&self) -> bool {
        self.env.iter().any(|(key, _)| key == flow::VARIABLE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ids::TerminalId;
    use super::*;

    #[test]
    fn only_what_ended_is_lost() {
        let mut terminal = Terminal::sample(TerminalId::from_bytes([1; 4]));
        let loss = |status| Loss {
            status,
            at: Timestamp::UNIX_EPOCH,
        };
        assert!(!terminal.lost());
        terminal.loss = Some(loss(Status::Working));
        assert!(!terminal.lost(), "it is being started again");
        terminal.state.status = Status::Exited;
        assert!(terminal.lost());
        let cut: Vec<bool> = Status::ALL.map(|status| loss(status).cut_off()).into();
        assert_eq!(cut.iter().filter(|cut| **cut).count(), 2);
        assert!(!terminal.of_flow());
        terminal
            .env
            .push((flow::VARIABLE.to_owned(), "nightly".to_owned()));
        assert!(terminal.of_flow());
    }
}
