//! Notices UTF-8 that is decoded as another encoding.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a [`Utf8Monitor`] has seen UTF-8.
#[derive(Clone, Debug, Default)]
pub(super) struct Utf8Seen(Arc<AtomicBool>);

impl Utf8Seen {
    /// Whether all bytes so far are UTF-8, and not only ASCII. This is hardly ever a coincidence.
    pub(super) fn is_utf_8(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Passes bytes on, and checks whether they are UTF-8.
pub(super) struct Utf8Monitor<R> {
    bytes: R,
    /// The start of a character that is cut at the end of a chunk; `None` once the bytes are not UTF-8.
    cut: Option<Vec<u8>>,
    seen: Utf8Seen,
}

impl<R> Utf8Monitor<R> {
    pub(super) fn new(bytes: R) -> (Self, Utf8Seen) {
        let seen = Utf8Seen::default();
        (Self { bytes, cut: Some(Vec::new()), seen: seen.clone() }, seen)
    }

    fn look(&mut self, piece: &[u8]) {
        let Some(mut whole) = self.cut.take() else { return };
        if whole.is_empty() && piece.is_ascii() {
            self.cut = Some(whole);
            return;
        }
        whole.extend_from_slice(piece);
        let is_utf_8 = match std::str::from_utf8(&whole) {
            Ok(_) => {
                self.cut = Some(Vec::new());
                true
            }
            Err(error) if error.error_len().is_none() => {
                let cut = whole.split_off(error.valid_up_to());
                self.cut = Some(cut);
                self.seen.is_utf_8() || !whole.is_ascii()
            }
            Err(_) => false,
        };
        self.seen.0.store(is_utf_8, Ordering::Relaxed);
    }
}

impl<R: Read> Read for Utf8Monitor<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(into)?;
        self.look(&into[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf_8_is_seen_wherever_it_is_cut() {
        for (text, expected) in [
            (&b"abc"[..], false),
            ("Łódź".as_bytes(), true),
            ("Łódź\nabc".as_bytes(), true),
            (b"\xa3\xf3d\x9f", false),
            (b"\xc5\x81\xa3", false),
        ] {
            for size in 1..=text.len() {
                let (mut watch, seen) = Utf8Monitor::new(io::empty());
                text.chunks(size).for_each(|piece| watch.look(piece));
                assert_eq!(seen.is_utf_8(), expected, "{text:?} by {size}");
            }
        }
    }
}
