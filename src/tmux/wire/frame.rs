//! Frames of tmux's client protocol, version 8: a header of 16 bytes in host byte order, then the payload.
//!
//! The header is type (u32), length with the header (u16), flags (u16), peer id (u32, the protocol version) and pid (u32).
//! From tmux 3.6 on, length and flags are one u32. The two forms differ only where a file descriptor rides along (old: bit 16,
//! new: bit 31, and each closes the connection or drops the descriptor on the other's mark), so no descriptor is ever passed
//! here and on a little-endian machine one encoding serves every server.

/// The protocol version of every tmux from 3.2a (and before) to 3.7c.
pub(super) const VERSION: u32 = 8;
/// Bytes of a header.
pub(super) const HEADER: usize = 16;
/// The largest frame, header included.
pub(super) const LIMIT: usize = 16_384;
/// The largest payload.
pub(super) const ROOM: usize = LIMIT - HEADER;

/// Message types that are sent or understood.
pub(super) mod kind {
    pub(crate) const VERSION: u32 = 12;
    pub(crate) const IDENTIFY_TERM: u32 = 101;
    pub(crate) const IDENTIFY_TTYNAME: u32 = 102;
    pub(crate) const IDENTIFY_DONE: u32 = 106;
    pub(crate) const IDENTIFY_CLIENTPID: u32 = 107;
    pub(crate) const IDENTIFY_CWD: u32 = 108;
    pub(crate) const IDENTIFY_FEATURES: u32 = 109;
    pub(crate) const IDENTIFY_LONGFLAGS: u32 = 111;
    pub(crate) const COMMAND: u32 = 200;
    pub(crate) const EXIT: u32 = 203;
    pub(crate) const SHUTDOWN: u32 = 210;
    pub(crate) const FLAGS: u32 = 218;
    pub(crate) const READ_OPEN: u32 = 300;
    pub(crate) const READ: u32 = 301;
    pub(crate) const READ_DONE: u32 = 302;
    pub(crate) const WRITE_OPEN: u32 = 303;
    pub(crate) const WRITE: u32 = 304;
    pub(crate) const WRITE_READY: u32 = 305;
    pub(crate) const WRITE_CLOSE: u32 = 306;
    pub(crate) const READ_CANCEL: u32 = 307;
}

/// One frame from the server, borrowed from the bytes it came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// Message type.
    pub(super) kind: u32,
    /// The sender's protocol version.
    pub(super) version: u32,
    /// Payload.
    pub(super) body: &'a [u8],
}

/// Appends one frame whose payload is `parts` in a row. Returns `false`, and appends nothing, if that is more than [`ROOM`].
#[must_use]
pub(super) fn put(out: &mut Vec<u8>, kind: u32, parts: &[&[u8]]) -> bool {
    let size = HEADER + parts.iter().map(|part| part.len()).sum::<usize>();
    let (true, Ok(length)) = (size <= LIMIT, u32::try_from(size)) else {
        return false;
    };
    out.reserve(size);
    for word in [kind, length, VERSION, std::process::id()] {
        out.extend_from_slice(&word.to_ne_bytes());
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    true
}

/// The first frame of `bytes` and its length; `Ok(None)` if it is not complete, `Err` if it cannot be a frame.
pub(super) fn first(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, &'static str> {
    if bytes.len() < HEADER {
        return Ok(None);
    }
    let (Some(kind), Some(length), Some(version)) =
        (word(bytes, 0), word(bytes, 4), word(bytes, 8))
    else {
        return Ok(None);
    };
    let length = (length & 0xffff) as usize;
    if !(HEADER..=LIMIT).contains(&length) {
        return Err("a frame of impossible length");
    }
    let Some(body) = bytes.get(HEADER..length) else {
        return Ok(None);
    };
    let frame = Frame {
        kind,
        version: version & 0xff,
        body,
    };
    Ok(Some((frame, length)))
}

/// The 32-bit word at byte `at`.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// The signed 32-bit word at byte `at`.
pub(super) fn signed(bytes: &[u8], at: usize) -> Option<i32> {
    word(bytes, at).map(u32::cast_signed)
}
