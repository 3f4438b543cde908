//! The one owner of the disk: private modes, atomic replacement, no following of planted links.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Creates `dir` and its missing parents, each 0700. An existing directory is left as it is.
pub fn create_private_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

/// Creates `dir` and its missing parents with the modes that the process's umask leaves, for files that everybody may read.
pub fn create_public_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).create(dir)
}

/// Refuses a directory that belongs to somebody else or that others may write to.
pub fn check_private_dir(dir: &Path) -> io::Result<()> {
    let meta = fs::metadata(dir)?;
    if !meta.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::NotADirectory,
            "not a directory",
        ));
    }
    if meta.uid() != nix::unistd::geteuid().as_raw() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "belongs to another user",
        ));
    }
    if meta.permissions().mode() & 0o022 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "group or others may write to it",
        ));
    }
    Ok(())
}

/// Whether group or others may do anything with `path`.
pub fn others_may_use(path: &Path) -> bool {
    fs::symlink_metadata(path)
        .is_ok_and(|meta| !meta.is_symlink() && meta.permissions().mode() & 0o077 != 0)
}

/// Takes every right of group and others away from `path`, which may not be a symbolic link.
pub fn keep_others_out(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits() | nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o700;
    file.set_permissions(fs::Permissions::from_mode(mode))
}

/// Replaces `path` with `bytes` in one step (temporary file, fsync, rename); mode 0600. A reader sees the old or the new file, never a part.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_atomic_mode(path, bytes, 0o600)
}

/// As [`write_atomic`], with `mode` for the new file.
pub fn write_atomic_mode(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    write_atomic_with(path, mode, |file| file.write_all(bytes))
}

/// As [`write_atomic_mode`], with what `body` writes.
pub fn write_atomic_with(
    path: &Path,
    mode: u32,
    body: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = temporary_beside(path)?;
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
            .open(&temporary)?;
        // The mask of this process does not count.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        body(&mut file)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Replaces `path` with a symbolic link to `to` in one step.
pub fn link_atomic(path: &Path, to: &Path) -> io::Result<()> {
    let temporary = temporary_beside(path)?;
    std::os::unix::fs::symlink(to, &temporary)?;
    let renamed = fs::rename(&temporary, path);
    if renamed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    renamed
}

fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    let dir = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no file name"))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}", hex(&random_bytes::<6>()?)));
    Ok(dir.join(temporary))
}

/// Opens `path` for appending, mode 0600, never through a symbolic link.
pub fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
        .open(path)
}

/// Opens the regular file `path` for reading, never through a symbolic link; `None` when there is nothing.
pub fn open_regular(path: &Path) -> io::Result<Option<File>> {
    // Opening a pipe that somebody planted would wait for a writer.
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    if file.metadata()?.is_file() {
        return Ok(Some(file));
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "not a regular file",
    ))
}

/// Gives the disk back what the first bytes of `file` take, from `at` on for `length` bytes; they read as zeros, and the file's size stays,
/// so that whoever appends to it notices nothing. [`io::ErrorKind::Unsupported`] where the file system cannot (fallocate(2),
/// `FALLOC_FL_PUNCH_HOLE`).
#[cfg(target_os = "linux")]
pub fn free_range(file: &File, at: u64, length: u64) -> io::Result<()> {
    use nix::fcntl::{FallocateFlags, fallocate};
    let offset = |bytes: u64| {
        i64::try_from(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))
    };
    let how = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    Ok(fallocate(file, how, offset(at)?, offset(length)?)?)
}

/// As on Linux, where the system has it.
#[cfg(not(target_os = "linux"))]
pub fn free_range(_file: &File, _at: u64, _length: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Where the data of `file` begins behind what [`free_range`] gave back, to the block (lseek(2), `SEEK_DATA`); its end when there is none.
pub fn data_begins(file: &File) -> io::Result<u64> {
    let end = file.metadata()?.len();
    #[cfg(target_os = "linux")]
    {
        use nix::unistd::{Whence, lseek};
        match lseek(file, 0, Whence::SeekData) {
            Ok(at) => return Ok(u64::try_from(at).unwrap_or(0).min(end)),
            Err(nix::errno::Errno::ENXIO) => return Ok(end),
            Err(_) => {}
        }
    }
    Ok(0)
}

/// Makes the entries of a directory durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Appends one line by a single write and makes it durable.
pub fn append_line_durable(path: &Path, line: &[u8]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(line.len() + 1);
    bytes.extend_from_slice(line);
    bytes.push(b'\n');
    let mut file = open_append(path)?;
    file.write_all(&bytes)?;
    file.sync_data()
}

/// Makes what any process has written to a file durable.
pub fn sync_file(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_data()
}

/// An exclusive lock of a file (flock(2)); free when dropped, and when the process dies.
#[derive(Debug)]
pub struct Held {
    file: File,
}

impl Held {
    /// The file that is locked.
    pub const fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for Held {
    /// Unlocks: closing alone would leave the lock to a child that is between its fork and its exec, and to every copy of the descriptor.
    fn drop(&mut self) {
        let _ = fs2::FileExt::unlock(&self.file);
    }
}

/// Locks `file`; gives it back while somebody else holds the lock.
pub fn try_hold(file: File) -> io::Result<Result<Held, File>> {
    // By its full path: std has a method of this name with another error.
    match fs2::FileExt::try_lock_exclusive(&file) {
        Ok(()) => Ok(Ok(Held { file })),
        Err(error)
            if error.kind() == io::ErrorKind::Interrupted
                || error.raw_os_error() == fs2::lock_contended_error().raw_os_error() =>
        {
            Ok(Err(file))
        }
        Err(error) => Err(error),
    }
}

/// Opens (or creates, 0600) a lock file; the descriptor closes on exec, so that no child inherits the lock.
pub fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
        .open(path)
}

/// Reads at most `limit` bytes of `reader`; `None` when there is more.
pub fn read_limited(reader: &mut dyn Read, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let take = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(take).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= limit).then_some(bytes))
}

/// Reads a file of at most `limit` bytes; a larger one is an [`io::ErrorKind::FileTooLarge`] error.
pub fn read_file_limited(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    read_limited(&mut file, limit)?.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {limit} bytes"),
        )
    })
}

/// `N` bytes of randomness from the kernel.
pub fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0u8; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A random UUID (RFC 9562, version 4).
pub fn uuid() -> io::Result<String> {
    let mut bytes = random_bytes::<16>()?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex(&bytes);
    Ok(format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    ))
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_their_version() {
        let id = uuid().unwrap();
        assert_eq!((id.len(), &id[14..15]), (36, "4"));
        assert_ne!(uuid().unwrap(), id);
    }

    #[test]
    fn atomic_write_replaces_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "no temporary file is left"
        );
    }

    #[test]
    fn append_does_not_follow_links() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("victim");
        std::os::unix::fs::symlink(&target, dir.path().join("link")).unwrap();
        assert!(append_line_durable(&dir.path().join("link"), b"x").is_err());
        assert!(!target.exists());
    }

    #[test]
    fn limited_read_says_when_there_is_more() {
        assert_eq!(
            read_limited(&mut &b"abc"[..], 3).unwrap(),
            Some(b"abc".to_vec())
        );
        assert_eq!(read_limited(&mut &b"abcd"[..], 3).unwrap(), None);
    }

    #[test]
    fn a_copy_of_the_descriptor_keeps_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let open = || open_lock(&dir.path().join("lock")).unwrap();
        let held = try_hold(open()).unwrap().unwrap();
        let in_a_child = held.file().try_clone().unwrap();
        assert!(try_hold(open()).unwrap().is_err());
        drop(held);
        assert!(try_hold(open()).unwrap().is_ok());
        drop(in_a_child);
    }

    #[test]
    fn a_directory_that_others_may_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        create_private_dir(&open).unwrap();
        assert!(check_private_dir(&open).is_ok());
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(check_private_dir(&open).is_err());
    }
}
