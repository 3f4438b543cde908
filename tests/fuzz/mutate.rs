//! Inputs from inputs: what a corpus holds is cut, repeated, spliced, and sown with words that mean something to the target.

use crate::random::Random;
use std::ops::Range;

/// The longest input that is made, in bytes.
const LONGEST: usize = 4 * 1024;

/// Bytes that end, open or escape something in most formats.
const SHARP: &[u8] =
    b"\0\n\r\t \"'`\\/$#%&;|<>(){}[]*?~!=:,.-_@^+0123456789aZ\x1b\x7f\x80\x9b\xc3\xff";

/// Changes `input` a few times; `other` is another input to take pieces from.
pub(crate) fn mutate(
    random: &mut Random,
    input: &[u8],
    other: &[u8],
    dictionary: &[Vec<u8>],
) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(4) {
        change(random, &mut bytes, other, dictionary);
    }
    bytes.truncate(LONGEST);
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8], dictionary: &[Vec<u8>]) {
    let at = random.below(bytes.len() + 1);
    match random.below(12) {
        0 => {
            let gone = piece(random, bytes.len());
            bytes.drain(gone);
        }
        1 => {
            let again = bytes[piece(random, bytes.len())].to_vec();
            let times = [1, 2, 3, 40][random.below(4)];
            let copies = again.repeat(times.min(1 + 4096 / again.len().max(1)));
            bytes.splice(at..at, copies);
        }
        2 | 3 => {
            let foreign = other[piece(random, other.len())].to_vec();
            bytes.splice(at..at, foreign);
        }
        4 => {
            // The front of one and the back of another.
            let cut = random.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[cut..]);
        }
        5..=7 => {
            if let Some(word) = random.pick(dictionary) {
                let end = if random.chance(30) {
                    (at + random.below(8)).min(bytes.len())
                } else {
                    at
                };
                bytes.splice(at..end, word.iter().copied());
            }
        }
        8 => {
            let sharp = SHARP[random.below(SHARP.len())];
            bytes.insert(at, sharp);
        }
        9 if at < bytes.len() => bytes[at] = SHARP[random.below(SHARP.len())],
        10 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        11 => {
            let from = piece(random, bytes.len());
            let moved: Vec<u8> = bytes.drain(from).collect();
            let to = random.below(bytes.len() + 1);
            bytes.splice(to..to, moved);
        }
        _ => {
            let c = scalar(random).to_string();
            bytes.splice(at..at, c.bytes());
        }
    }
}

/// A piece of something with `length` bytes, short most often.
fn piece(random: &mut Random, length: usize) -> Range<usize> {
    let from = random.below(length + 1);
    let most = [4, 16, 64, usize::MAX][random.below(4)];
    let long = random.below((length - from).min(most) + 1);
    from..from + long
}

/// Any character: controls and what is not assigned too, those near the beginning most often.
fn scalar(random: &mut Random) -> char {
    let limit = [0x80, 0x100, 0x3000, 0x1_0000, 0x11_0000][random.below(5)];
    let number = u32::try_from(random.below(limit)).unwrap_or(0);
    char::from_u32(number).unwrap_or('\u{fffd}')
}

/// The smallest input that `fails` still refuses and that is found by leaving pieces out in `tries` attempts.
pub(crate) fn smallest(
    input: &[u8],
    mut tries: usize,
    mut fails: impl FnMut(&[u8]) -> bool,
) -> Vec<u8> {
    let mut bytes = input.to_vec();
    let mut size = bytes.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < bytes.len() {
            if tries == 0 {
                return bytes;
            }
            tries -= 1;
            let mut less = bytes.clone();
            less.drain(at..(at + size).min(bytes.len()));
            if fails(&less) {
                bytes = less;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    bytes
}
