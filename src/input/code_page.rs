//! Guesses the code page of text that is not UTF-8.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, ISO_8859_2, WINDOWS_1250, WINDOWS_1252};

/// The most bytes to guess from.
const KEPT: usize = 4 << 10;

/// With fewer bytes that are not ASCII, a guess would be random.
const TOO_FEW: usize = 3;

/// A sample of the text that is not UTF-8.
#[derive(Clone, Debug, Default)]
pub(super) struct NonUtf8Sample(Vec<u8>);

impl NonUtf8Sample {
    pub(super) fn push(&mut self, text: &[u8]) {
        let room = KEPT.saturating_sub(self.0.len());
        self.0.extend(text.iter().take(room));
    }

    /// Appends the sample of a later range.
    pub(super) fn join(&mut self, later: &Self) {
        self.push(&later.0);
    }

    /// The code page, if the sample fits one of those that are common among our users.
    pub(super) fn code_page(&self) -> Option<&'static Encoding> {
        if self.0.iter().filter(|byte| !byte.is_ascii()).count() < TOO_FEW {
            return None;
        }
        let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
        detector.feed(&self.0, true);
        let guess = detector.guess(None, Utf8Detection::Deny);
        let (text, _, has_errors) = guess.decode(&self.0);
        let is_likely = text.chars().all(|character| character.is_ascii() || character.is_alphabetic());
        (is_likely && !has_errors && [WINDOWS_1250, WINDOWS_1252, ISO_8859_2].contains(&guess))
            .then_some(guess)
    }
}
