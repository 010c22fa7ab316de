//! Choices that the first bytes of an input make.

/// What is left of an input.
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) fn of(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// The next byte, 0 after the last one.
    pub(crate) fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or_default()
    }

    /// One of these, by the next byte.
    pub(crate) fn among<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }

    /// The bytes that no choice has used.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}
