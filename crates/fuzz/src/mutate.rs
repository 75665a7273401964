//! Small changes to an input: bits, lengths, pieces of itself and of others, words that parsers look for.

use fastrand::Rng;

/// Byte strings that mean something to one parser or another.
const WORDS: &[&[u8]] = &[
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\0\0\0\x01",
    b"\x40\0\0\0\0\0\0\0",
    b"\x3f\xff\xff\xff\xff\xff\xff\xff",
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"\\ud800",
    b"\"value\":",
    b"\"value_b64\":",
    b"\"priority\":",
    b"\n",
    b"\r\n",
    b"\xf0\x9f\x92\xa9",
];

/// A changed copy of `input`, at most `longest` bytes.
pub(crate) fn mutate(rng: &mut Rng, input: &[u8], others: &[Vec<u8>], longest: usize) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..=rng.usize(0..4) {
        once(rng, &mut out, others);
    }
    out.truncate(longest);
    out
}

fn once(rng: &mut Rng, out: &mut Vec<u8>, others: &[Vec<u8>]) {
    let at = rng.usize(..=out.len());
    match rng.u8(0..10) {
        0 if at < out.len() => out[at] ^= 1 << rng.u8(0..8),
        1 if at < out.len() => out[at] = rng.u8(..),
        2 if at < out.len() => out[at] = out[at].wrapping_add(rng.u8(..3)).wrapping_sub(1),
        3 => out.insert(at, rng.u8(..)),
        4 => {
            let to = (at + 1 + rng.usize(0..16)).min(out.len());
            out.drain(at..to);
        }
        5 => {
            let word = WORDS[rng.usize(..WORDS.len())];
            if rng.bool() && at + word.len() <= out.len() {
                out[at..at + word.len()].copy_from_slice(word);
            } else {
                out.splice(at..at, word.iter().copied());
            }
        }
        6 => {
            // A piece of itself again, somewhere else.
            let to = (at + rng.usize(0..64)).min(out.len());
            let piece = out[at..to].to_vec();
            let place = rng.usize(..=out.len());
            out.splice(place..place, piece);
        }
        7 => out.truncate(at),
        _ => {
            let Some(other) = others.get(rng.usize(..others.len().max(1))) else { return };
            let from = rng.usize(..=other.len());
            let to = (from + rng.usize(0..256)).min(other.len());
            let end = if rng.bool() { (at + to - from).min(out.len()) } else { at };
            out.splice(at..end, other[from..to].iter().copied());
        }
    }
}
