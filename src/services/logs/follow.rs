//! Following a log as it grows.

use super::parts;
use crate::clock::{self, Deadline};
use crate::domain::codes::Codes;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most that is read at once, in bytes.
const PART: u64 = 1024 * 1024;

/// Time between two looks at a log that has not grown.
const PERIOD: Duration = Duration::from_millis(250);

/// A reader that goes on where it ended.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    /// Where the next byte stands in the log.
    at: u64,
    codes: Codes,
}

impl Follower {
    /// What is kept of the log at `path`, and a reader for what comes behind it.
    pub fn begin(path: &Path) -> io::Result<(String, Self)> {
        let (bytes, at) = super::read(path)?;
        let mut follower = Self {
            path: path.to_path_buf(),
            at,
            codes: Codes::default(),
        };
        let text = follower.codes.push(&bytes);
        Ok((text, follower))
    }

    /// Gives what comes to `print`, until that says that nobody reads any more, or `ended` that nothing more comes and all was given.
    pub fn follow<E>(
        mut self,
        mut ended: impl FnMut() -> Result<bool, E>,
        unread: impl Fn(io::Error) -> E,
        mut print: impl FnMut(&str) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut over = false;
        loop {
            let bytes = self.new_bytes().map_err(&unread)?;
            let text = if bytes.is_empty() {
                self.codes.finish()
            } else {
                self.codes.push(&bytes)
            };
            if !text.is_empty() && !print(&text)? {
                return Ok(());
            }
            if bytes.is_empty() && over {
                return Ok(());
            }
            // Its writer may be a moment behind the end: one more look comes after it.
            over = ended()?;
            if (bytes.len() as u64) < PART {
                clock::sleep(PERIOD, &Deadline::never());
            }
        }
    }

    /// The bytes behind those that were read, at most [`PART`].
    fn new_bytes(&mut self) -> io::Result<Vec<u8>> {
        let (log, older) = parts(&self.path)?;
        let Some(log) = log else {
            self.at = 0;
            return Ok(Vec::new());
        };
        if log.ends < self.at {
            // It was made anew.
            self.at = 0;
            self.codes = Codes::default();
        }
        let moved = log.begins.saturating_sub(self.at);
        let bytes = match older {
            // What was not read yet has become the end of the older part.
            Some(older) if moved > 0 => {
                let there = moved.min(older.size());
                self.at = log.begins - there;
                older.read(older.ends - there, PART)?
            }
            _ => {
                self.at = self.at.max(log.begins);
                log.read(self.at, PART)?
            }
        };
        self.at += bytes.len() as u64;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{older, rotate};
    use super::*;
    use crate::fsx;
    use std::fs;
    use std::io::Write as _;

    struct World {
        dir: tempfile::TempDir,
    }

    impl World {
        fn path(&self) -> PathBuf {
            self.dir.path().join("0123abcd.log")
        }

        fn append(&self, bytes: impl AsRef<[u8]>) {
            let mut log = fsx::open_append(&self.path()).unwrap();
            log.write_all(bytes.as_ref()).unwrap();
        }
    }

    fn world(text: &str) -> (World, String, Follower) {
        let world = World {
            dir: tempfile::tempdir().unwrap(),
        };
        world.append(text);
        let (said, follower) = Follower::begin(&world.path()).unwrap();
        (world, said, follower)
    }

    fn next(follower: &mut Follower) -> String {
        let bytes = follower.new_bytes().unwrap();
        follower.codes.push(&bytes)
    }

    #[test]
    fn it_goes_on_where_it_ended() {
        let (world, said, mut follower) = world("one\ntw");
        assert_eq!(said, "one\ntw");
        assert_eq!(next(&mut follower), "");
        world.append("o\n\u{1b}[3");
        assert_eq!(next(&mut follower), "o\n");
        world.append(b"1mthree\xc3");
        assert_eq!(next(&mut follower), "three");
        world.append(b"\xa4");
        assert_eq!(next(&mut follower), "ä");
    }

    #[test]
    fn a_log_that_became_shorter_is_begun_anew() {
        let (world, _, mut follower) = world("a long line\nand another\n");
        fsx::write_atomic(&world.path(), b"new\n").unwrap();
        assert_eq!(next(&mut follower), "new\n");
        fs::remove_file(world.path()).unwrap();
        assert_eq!(next(&mut follower), "");
        world.append("once more\n");
        assert_eq!(next(&mut follower), "once more\n");
    }

    #[test]
    fn no_more_than_a_part_is_read_at_once() {
        let (world, _, mut follower) = world("");
        world.append(vec![b'x'; usize::try_from(PART).unwrap() + 5]);
        assert_eq!(next(&mut follower).len() as u64, PART);
        assert_eq!(next(&mut follower), "xxxxx");
    }

    #[test]
    fn what_moves_away_before_it_was_read_is_read_where_it_went() {
        let (world, _, mut follower) = world(&"0123456789abcde\n".repeat(8_000));
        world.append("unread 1\nunread 2\n");
        rotate(&world.path(), 64 * 1024).unwrap();
        assert!(older(&world.path()).exists());
        world.append("unread 3\n");
        let said = next(&mut follower) + &next(&mut follower);
        assert_eq!(said, "unread 1\nunread 2\nunread 3\n");
    }

    #[test]
    fn it_ends_when_nothing_more_comes_and_all_was_given() {
        let (world, _, follower) = world("");
        world.append("before ");
        let mut looks = 0;
        let mut said = String::new();
        let done: io::Result<()> = follower.follow(
            || {
                looks += 1;
                if looks == 2 {
                    world.append("last\u{1b}[3");
                }
                Ok(looks >= 2)
            },
            |error| error,
            |text| {
                said.push_str(text);
                Ok(true)
            },
        );
        done.unwrap();
        assert_eq!((said.as_str(), looks), ("before last", 3));
    }

    #[test]
    fn it_ends_when_nobody_reads() {
        let (world, _, follower) = world("");
        world.append("x");
        let done: io::Result<()> = follower.follow(|| Ok(false), |error| error, |_| Ok(false));
        done.unwrap();
    }
}
