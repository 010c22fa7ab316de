//! Parts of a line, of which the least important are left out where there is not enough space.

use crate::report::format::Truncated;

/// A part of a line.
pub(super) struct Segment {
    /// The greater it is, the longer the part stays.
    pub(super) weight: u8,
    pub(super) text: String,
}

/// As many of these parts as fit into `width` columns.
pub(super) fn fit(mut parts: Vec<Segment>, width: usize) -> String {
    loop {
        let line = parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join("  ");
        if line.chars().count() <= width || parts.len() <= 1 {
            return Truncated(&line, width).to_string();
        }
        let least = parts.iter().min_by_key(|part| part.weight).map(|part| part.weight);
        parts.retain(|part| Some(part.weight) != least);
    }
}
