//! Reading files that others may have written: regular files only, of a bounded size, and no links where a directory is shared.

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A directory held open, so that nobody can exchange it between two looks.
pub(super) struct Dir(OwnedFd);

impl Dir {
    /// Opens the directory that a path names; links are followed.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).custom_flags(flags.bits()).open(path)?;
        Ok(Self(file.into()))
    }

    /// Opens a directory in this one; a link is refused.
    pub(super) fn enter(&self, name: &str) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(Self(openat(&self.0, name, flags, Mode::empty())?))
    }

    /// Reads a file in this directory; a link is refused.
    pub(super) fn read(&self, name: &str, limit: usize) -> io::Result<Vec<u8>> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        match openat(&self.0, name, flags, Mode::empty()) {
            Ok(fd) => read_regular(File::from(fd), limit),
            Err(nix::errno::Errno::ELOOP) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is a symbolic link, which is not followed here",
            )),
            Err(error) => Err(error.into()),
        }
    }
}

/// Reads a file that a person named; links are followed.
pub(super) fn read_named(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mut options = std::fs::OpenOptions::new();
    let file = options.read(true).custom_flags(flags.bits()).open(path)?;
    read_regular(file, limit)
}

fn read_regular(mut file: File, limit: usize) -> io::Result<Vec<u8>> {
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "it is a directory",
        ));
    }
    if !kind.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    crate::fsx::read_limited(&mut file, limit)?.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {limit} bytes"),
        )
    })
}

/// The names in a directory, sorted; names that are not UTF-8 are shown as well as can be. No directory: no names.
pub(super) fn names(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Why reading failed, without the operating system's number.
pub(super) fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => {
            let text = error.to_string();
            let end = text.find(" (os error").unwrap_or(text.len());
            text[..end].to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_directories_and_pipes_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let write = |name: &str| crate::fsx::write_atomic(&temp.path().join(name), b"x").unwrap();
        write("file");
        symlink("file", temp.path().join("link")).unwrap();
        symlink(temp.path(), temp.path().join("dirlink")).unwrap();
        nix::unistd::mkfifo(&temp.path().join("pipe"), Mode::S_IRWXU).unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        assert_eq!(dir.read("file", 1).unwrap(), b"x");
        assert!(dir.enter("dirlink").is_err());
        for bad in ["link", "dirlink", "pipe", ".", "absent"] {
            assert!(dir.read(bad, 10).is_err(), "{bad}");
        }
        assert!(why(&dir.read("link", 9).unwrap_err()).contains("symbolic link"));
        assert!(dir.read("file", 0).is_err());
        assert_eq!(read_named(&temp.path().join("link"), 9).unwrap(), b"x");
        assert!(read_named(&temp.path().join("pipe"), 9).is_err());
        assert_eq!(
            why(&dir.read("absent", 9).unwrap_err()),
            "there is no such file"
        );
    }
}
