//! Tests against servers that are not tmux: they refuse, fall silent, hang up, or talk nonsense.

use super::*;
use proptest::prelude::*;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

fn strings(args: &[&str]) -> Vec<String> {
    args.iter().map(ToString::to_string).collect()
}

/// Speaks with a listener that reads the whole greeting and then does as `answer` says.
fn against(answer: impl FnOnce(UnixStream) + Send + 'static) -> Result<Output, WireError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let liar = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut got = Vec::new();
        let mut buffer = [0; 1000];
        while !got.ends_with(b"\0show\0") {
            let size = stream.read(&mut buffer).unwrap();
            got.extend_from_slice(&buffer[..size]);
        }
        answer(stream);
    });
    let result = run(&path, &strings(&["show"]), None, Duration::from_millis(500));
    liar.join().unwrap();
    result
}

fn framed(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(frame::put(&mut out, kind, &[body]));
    out
}

#[test]
fn only_a_refused_version_is_unsupported() {
    let refusal = framed(kind::VERSION, b"");
    let after_output = [framed(kind::FLAGS, &[0; 8]), refusal.clone()].concat();
    let error = against(move |mut stream| stream.write_all(&refusal).unwrap()).unwrap_err();
    assert!(
        matches!(error, WireError::Unsupported(_)) && !error.may_have_run(),
        "{error:?}"
    );
    let cases = [
        (after_output, true),
        (framed(kind::VERSION, b"")[..15].to_vec(), false),
        (vec![0xff; 64], true),
        (vec![0; 16], true),
        (framed(999, b""), true),
        (framed(kind::WRITE, &[1, 0, 0, 0, b'x']), true),
        (framed(kind::WRITE_OPEN, &[1, 0, 0, 0]), true),
        (framed(kind::EXIT, &[0]), true),
        (Vec::new(), false),
    ];
    for (bytes, broken) in cases {
        let shown = format!("{bytes:?}");
        let error = against(move |mut stream| stream.write_all(&bytes).unwrap()).unwrap_err();
        let WireError::Lost { how, .. } = error else {
            panic!("{shown}: {error:?}");
        };
        assert_eq!(matches!(how, Loss::Broken(_)), broken, "{shown}: {how:?}");
    }
}

#[test]
fn answers_may_come_in_pieces_and_turning_away_is_a_failure() {
    let bytes = framed(kind::EXIT, b"\0\0\0\0access not allowed\0");
    let output = against(move |mut stream| {
        for byte in bytes {
            stream.write_all(&[byte]).unwrap();
            thread::sleep(Duration::from_millis(1));
        }
    })
    .unwrap();
    assert_eq!(
        (output.status, output.stderr.as_slice()),
        (1, &b"access not allowed\n"[..])
    );
    let output = against(|mut stream| stream.write_all(&framed(kind::EXIT, b"")).unwrap());
    assert_eq!(output.unwrap().status, 0);
}

#[test]
fn a_server_that_does_not_answer_times_out() {
    let error = against(|mut stream| drop(stream.read(&mut [0]))).unwrap_err();
    assert!(
        matches!(error, WireError::TimedOut { sent: true, .. }),
        "{error:?}"
    );
    // One that does not even accept, its queue full: nothing was sent.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let flags = SockFlag::SOCK_CLOEXEC;
    let listener = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
    nix::sys::socket::bind(listener.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let _first = UnixStream::connect(&path).unwrap();
    let error = run(&path, &strings(&["show"]), None, Duration::from_millis(50)).unwrap_err();
    assert!(
        matches!(error, WireError::TimedOut { sent: false, .. }),
        "{error:?}"
    );
    assert!(!error.may_have_run());
}

proptest! {
    #[test]
    fn frames_come_back_and_noise_is_survived(kind: u32, body in proptest::collection::vec(any::<u8>(), 0..600), cut in 0_usize..700) {
        let bytes = framed(kind, &body);
        let (frame, length) = frame::first(&bytes).unwrap().unwrap();
        prop_assert_eq!((frame.kind, frame.version, frame.body, length), (kind, 8, &body[..], bytes.len()));
        if let Some(part) = bytes.get(..cut.min(bytes.len() - 1)) {
            prop_assert_eq!(frame::first(part).unwrap(), None);
        }
        let _ = frame::first(&body);
    }
}
