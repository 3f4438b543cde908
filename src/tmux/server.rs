//! Which server, and what it can do.

use super::client::Tmux;
use super::error::Error;
use crate::domain::terminal::Server;
use crate::error::{Failure, Result};
use crate::paths;
use nix::sys::socket::{getsockopt, sockopt};
use std::fmt;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a program may take to say its version.
const VERSION_LIMIT: Duration = Duration::from_secs(5);

/// A tmux version: `3.3a`, `next-3.8`, `openbsd-7.5`, `master`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    text: String,
    number: Option<(u32, u32)>,
}

impl Version {
    /// The oldest version that works: `run-shell -d -C`, popups, `list-panes -f` came with it.
    pub const FLOOR: &'static str = "3.2";

    /// Reads what `#{version}` says.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let bare = text.strip_prefix("tmux ").unwrap_or(text);
        let digits = bare.strip_prefix("next-").unwrap_or(bare);
        let number = digits.split_once('.').and_then(|(major, minor)| {
            let minor: String = minor.chars().take_while(char::is_ascii_digit).collect();
            Some((major.parse().ok()?, minor.parse().ok()?))
        });
        Self {
            text: bare.to_owned(),
            number,
        }
    }

    /// Whether it is new enough; a version without a number is taken for new.
    pub fn works(&self) -> bool {
        self.is_at_least((3, 2))
    }

    /// Whether it is this version or a newer one; a version without a number is taken for new.
    pub(super) fn is_at_least(&self, least: (u32, u32)) -> bool {
        self.number.is_none_or(|number| number >= least)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The server to talk to: `-S PATH`, else `-L NAME`, else `CONDUCTOR_TMUX_SOCKET`, else `$TMUX`, else tmux's default.
pub fn locate(path: Option<&Path>, name: Option<&str>) -> Result<Tmux> {
    if let Some(path) = path {
        let path = if path.is_absolute() {
            path.to_path_buf()
        } else {
            paths::working_directory()?.join(path)
        };
        return checked(path);
    }
    if let Some(name) = name {
        if name.is_empty() || name.contains(['/', '\0']) || name.chars().any(char::is_control) {
            return Err(Failure::usage(format!(
                "{:?} is not a socket name",
                crate::domain::text::one_line(name)
            ))
            .hint("-L takes a name as tmux -L does; -S takes a path"));
        }
        return checked(socket_directory().join(name));
    }
    if let Some(path) = paths::env_os(paths::name::TMUX_SOCKET) {
        return checked(PathBuf::from(path));
    }
    if let Some(tmux) = paths::env("TMUX") {
        // socket,pid,session; a socket's path may hold commas itself.
        let mut parts = tmux.rsplitn(3, ',');
        if let (Some(_), Some(_), Some(path)) = (parts.next(), parts.next(), parts.next()) {
            return checked(PathBuf::from(path));
        }
    }
    checked(socket_directory().join("default"))
}

fn checked(path: PathBuf) -> Result<Tmux> {
    match path.to_str() {
        Some(text) if path.is_absolute() && !text.chars().any(char::is_control) => {
            Ok(Tmux::at(path))
        }
        _ => Err(Failure::usage(
            "the tmux socket's path is not absolute, not UTF-8, or holds a control character",
        )
        .hint(format!(
            "set {} to an absolute path, or name the socket with -S PATH",
            paths::name::TMUX_SOCKET
        ))),
    }
}

fn socket_directory() -> PathBuf {
    let base = paths::env_os("TMUX_TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    base.join(format!("tmux-{}", nix::unistd::getuid()))
}

/// Who listens at the other end of a connected socket, when it is not this user; nobody where the kernel does not say.
pub(super) fn foreign(connected: &impl AsFd) -> Option<u32> {
    let peer = getsockopt(connected, sockopt::PeerCredentials).map_or(u32::MAX, |c| c.uid());
    (peer != nix::unistd::geteuid().as_raw()).then_some(peer)
}

/// The process that listens at `socket`; `None` when there is none, [`Error::Foreign`] when it is another user's.
pub(super) fn peer_pid(socket: &Path) -> std::result::Result<Option<i32>, Error> {
    let Ok(stream) = UnixStream::connect(socket) else {
        return Ok(None);
    };
    if let Some(uid) = foreign(&stream) {
        let socket = socket.display().to_string();
        return Err(Error::Foreign { socket, uid });
    }
    Ok(getsockopt(&stream, sockopt::PeerCredentials)
        .ok()
        .map(|credentials| credentials.pid()))
}

impl Tmux {
    /// Whether anybody listens at the socket: nothing is asked, and where no server runs the answer costs nothing.
    pub fn listens(&self) -> bool {
        UnixStream::connect(self.socket()).is_ok()
    }

    /// Who the server is, and which version it runs; an error when there is none or it is too old.
    pub fn identify(&self) -> std::result::Result<(Server, Version), Error> {
        let text = self.display(None, "#{pid}\t#{start_time}\t#{version}")?;
        let unexpected = || Error::Unexpected {
            asked: "#{pid} #{start_time} #{version}",
            answer: text.clone(),
        };
        let mut fields = text.split('\t');
        let pid = fields
            .next()
            .and_then(|f| f.parse().ok())
            .ok_or_else(unexpected)?;
        let start = fields
            .next()
            .and_then(|f| f.parse().ok())
            .ok_or_else(unexpected)?;
        let version = Version::parse(fields.next().unwrap_or_default());
        if !version.works() {
            return Err(Error::TooOld {
                found: version.to_string(),
            });
        }
        Ok((
            Server {
                socket: self.socket().to_path_buf(),
                pid,
                start,
            },
            version,
        ))
    }

    /// The version of the tmux program along `PATH`, for when no server runs yet.
    pub fn program_version() -> std::result::Result<Version, Error> {
        let program = paths::find_program("tmux", None).ok_or(Error::Missing)?;
        let not_tmux = |why: String| Error::NotTmux {
            program: program.display().to_string(),
            why,
        };
        let mut asked = crate::proc::command(&program);
        asked.arg("-V");
        let said = crate::proc::run_limited(asked, VERSION_LIMIT)
            .map_err(|failure| not_tmux(failure.message().to_owned()))?;
        let first = said.lines().next().unwrap_or_default();
        if !first.starts_with("tmux ") {
            let said = crate::domain::text::one_line(first);
            return Err(not_tmux(format!("`-V` says {said:?}")));
        }
        let version = Version::parse(first);
        if version.works() {
            Ok(version)
        } else {
            Err(Error::TooOld {
                found: version.to_string(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for good in [
            "3.2",
            "3.2a",
            "3.3a",
            "3.10",
            "4.0",
            "next-3.8",
            "master",
            "openbsd-7.5",
            "tmux 3.6b",
        ] {
            assert!(Version::parse(good).works(), "{good}");
        }
        for old in ["3.1c", "3.0a", "2.9a", "1.8", "tmux 2.6"] {
            assert!(!Version::parse(old).works(), "{old}");
        }
    }

    #[test]
    fn socket_names_stay_in_their_directory() {
        assert!(locate(None, Some("../x")).is_err());
        assert!(locate(None, Some("")).is_err());
        assert_eq!(
            locate(Some(Path::new("/a/b")), None).unwrap().socket(),
            Path::new("/a/b")
        );
    }
}
