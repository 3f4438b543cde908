//! Long work says how far it is: lines on a person's terminal, and nothing anywhere else.
//!
//! Whole lines, without colours and movements of the cursor: they are the same on every terminal, narrow ones and such without Unicode too,
//! and can be read later. What a caller says goes out as it is: ids, numbers and words of our own, and other text only cleaned.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What takes less than this is not spoken of.
const FIRST: Duration = Duration::from_secs(1);

/// How often it is spoken of then.
const NEXT: Duration = Duration::from_secs(3);

static WANTED: AtomicBool = AtomicBool::new(false);

/// How far the work is that is going on; none where nobody would hear of it.
static REACHED: Mutex<Option<String>> = Mutex::new(None);

/// From now on this process tells how far it is, on stderr. For a front door that answers in text and has a person's terminal there.
pub fn want() {
    WANTED.store(true, Ordering::Relaxed);
}

fn wanted() -> bool {
    WANTED.load(Ordering::Relaxed)
}

fn say(line: &str, to: &mut impl Write) {
    let _ = to.write_all(format!("{line}\n").as_bytes());
}

fn counted(done: usize, total: usize, what: &str) -> Option<String> {
    (total > 1).then(|| format!("{done}/{total} {what}"))
}

/// One of `total` things is done, of which each is worth a line.
pub fn step(done: usize, total: usize, what: &str) {
    if let Some(line) = counted(done, total, what).filter(|_| wanted()) {
        say(&line, &mut io::stderr().lock());
    }
}

/// How far the work is that goes on in [`during`]; nothing is made of it where nobody would hear of it.
pub fn at(reached: impl FnOnce() -> String) {
    if wanted()
        && let Some(there) = REACHED
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
    {
        *there = reached();
    }
}

fn reached() -> String {
    let reached = REACHED.lock().unwrap_or_else(PoisonError::into_inner);
    reached.clone().unwrap_or_default()
}

/// Does `work`; when that takes long, says every now and then that `what` goes on, and what [`at`] last said.
pub fn during<T>(what: &str, work: impl FnOnce() -> T) -> T {
    if !wanted() {
        return work();
    }
    let before = {
        let mut there = REACHED.lock().unwrap_or_else(PoisonError::into_inner);
        there.replace(String::new())
    };
    let (work_goes_on, ended) = mpsc::channel::<()>();
    let result = thread::scope(|scope| {
        // Without a thread the work is done all the same.
        let _ = thread::Builder::new().spawn_scoped(scope, move || {
            tell(what, &ended, [FIRST, NEXT], reached, &mut io::stderr());
        });
        let result = work();
        drop(work_goes_on);
        result
    });
    *REACHED.lock().unwrap_or_else(PoisonError::into_inner) = before;
    result
}

/// Says it after the first of `pauses`, and again after each second one, until the other end is dropped.
fn tell(
    what: &str,
    ended: &Receiver<()>,
    pauses: [Duration; 2],
    reached: impl Fn() -> String,
    to: &mut impl Write,
) {
    let [mut pause, next] = pauses;
    let mut seconds = 0.0;
    while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        seconds += pause.as_secs_f64();
        let reached = reached();
        let far = if reached.is_empty() {
            "it goes on"
        } else {
            &reached
        };
        say(&format!("{what}: {far} ({seconds:.0} s)"), to);
        pause = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_alone_is_not_counted() {
        assert_eq!(counted(1, 1, "started x"), None);
        assert_eq!(
            counted(3, 12, "started x").as_deref(),
            Some("3/12 started x")
        );
    }

    #[test]
    fn nobody_hears_of_it_who_did_not_ask() {
        at(|| panic!("it was put into words"));
        assert_eq!(during("work", || 7), 7);
    }

    #[test]
    fn only_what_takes_long_is_spoken_of_and_then_again_and_again() {
        let mut said = Vec::new();
        let (work, ended) = mpsc::channel();
        drop(work);
        let long = Duration::from_hours(1);
        tell("clean", &ended, [long, long], String::new, &mut said);
        assert_eq!(said, b"");

        let (work, ended) = mpsc::channel::<()>();
        let lines = Mutex::new(vec!["200 messages removed ünï", ""]);
        let work = Mutex::new(Some(work));
        let next = || {
            let mut lines = lines.lock().unwrap();
            let line = lines.pop().unwrap().to_owned();
            if lines.is_empty() {
                drop(work.lock().unwrap().take());
            }
            line
        };
        let soon = Duration::from_millis(500);
        tell("clean", &ended, [Duration::ZERO, soon], next, &mut said);
        let said = String::from_utf8(said).unwrap();
        assert_eq!(
            said,
            "clean: it goes on (0 s)\nclean: 200 messages removed ünï (0 s)\n"
        );
        assert!(!said.contains('\u{1b}'));
    }
}
