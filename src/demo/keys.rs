//! What a key means, by what the agent does now.

use super::host::{Ending, Host, Mode};
use crate::term::Key;

impl Host {
    /// Submits what is in the box.
    pub(super) fn submit(&mut self) {
        if let Some(submission) = self.draft.take() {
            if !submission.is_exit() {
                self.note("prompt", submission.source(), &submission.text());
            }
            self.queue.push_back(submission);
        }
    }

    /// Takes the keys that mean something now; says whether there were any.
    pub(super) fn take_keys(&mut self) -> bool {
        let mut taken = false;
        while self.ending.is_none() && self.wants_keys() {
            let Some(key) = self.keys.pop_front() else {
                break;
            };
            taken = true;
            match self.mode {
                Mode::Dialog(_) => self.dialog_key(&key),
                Mode::Working => self.working_key(key),
                Mode::Idle => self.idle_key(key),
                Mode::Starting | Mode::Ending => {}
            }
        }
        taken
    }

    fn wants_keys(&self) -> bool {
        match self.mode {
            Mode::Starting | Mode::Ending => false,
            Mode::Idle => self.queue.is_empty(),
            // Lines of a file wait for the dialog or prompt that they are meant for.
            Mode::Working => self.terminal,
            Mode::Dialog(_) => self.answer.is_none(),
        }
    }

    fn idle_key(&mut self, key: Key) {
        let again = std::mem::take(&mut self.leaving);
        match key {
            Key::CtrlC if self.draft.is_empty() => {
                if again {
                    self.ending = Some(Ending::BY_PERSON);
                }
                self.leaving = true;
            }
            Key::CtrlD if self.draft.is_empty() => self.ending = Some(Ending::BY_PERSON),
            Key::CtrlC => self.draft.clear(),
            key => self.edit(key),
        }
    }

    fn working_key(&mut self, key: Key) {
        match key {
            Key::Esc => self.interrupted = true,
            Key::CtrlC if self.draft.is_empty() => self.interrupted = true,
            Key::CtrlC => self.draft.clear(),
            key => self.edit(key),
        }
    }

    /// In a dialog pasted text is dropped, and Enter means yes: so do the agents that it stands for.
    fn dialog_key(&mut self, key: &Key) {
        let (text, answer) = match key {
            Key::Char(c @ ('y' | 'Y')) => (c.to_string(), Some(true)),
            Key::Char(c @ ('n' | 'N')) => (c.to_string(), Some(false)),
            Key::Enter => ("enter".into(), Some(true)),
            Key::Esc => ("esc".into(), Some(false)),
            Key::CtrlC => ("ctrl-c".into(), Some(false)),
            Key::Char(c) => (c.to_string(), None),
            Key::Paste(text) => {
                self.note("key", "dialog_paste", text);
                return;
            }
            Key::Backspace
            | Key::KillLine
            | Key::CtrlD
            | Key::Move(_)
            | Key::AltEnter
            | Key::Mouse(_)
            | Key::Focus(_)
            | Key::Other => return,
        };
        self.note("key", "dialog", &text);
        self.answer = self.answer.or(answer);
    }

    fn edit(&mut self, key: Key) {
        match key {
            Key::Char(c) => self.draft.push(c),
            Key::Paste(text) => self.draft.paste(text),
            Key::Backspace => self.draft.backspace(),
            Key::KillLine => self.draft.clear(),
            Key::Enter => self.submit(),
            Key::CtrlC
            | Key::CtrlD
            | Key::Esc
            | Key::Move(_)
            | Key::AltEnter
            | Key::Mouse(_)
            | Key::Focus(_)
            | Key::Other => {}
        }
    }
}
