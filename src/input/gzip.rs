//! Decompresses gzip files, which may have several members.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use super::excerpt;

/// The first byte of each member.
const MAGIC: u8 = 0x1f;

/// Decompresses one member after the other. Zeros after the last one are padding, which tapes and disks add. Anything
/// else is an error, because it may be rows that were damaged.
pub(super) struct GzipMembers<R> {
    /// `None` after the last one.
    member: Option<GzDecoder<BufReader<R>>>,
}

impl<R: Read> GzipMembers<R> {
    pub(super) fn new(input: R) -> Self {
        Self { member: Some(GzDecoder::new(BufReader::new(input))) }
    }
}

impl<R: Read> Read for GzipMembers<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        while let Some(member) = &mut self.member {
            match member.read(into)? {
                0 => self.member = next(self.member.take())?,
                read => return Ok(read),
            }
        }
        Ok(0)
    }
}

/// The next member, if there is one.
fn next<R: Read>(ended: Option<GzDecoder<BufReader<R>>>) -> io::Result<Option<GzDecoder<BufReader<R>>>> {
    let Some(ended) = ended else { return Ok(None) };
    let mut input = ended.into_inner();
    if input.fill_buf()?.first() == Some(&MAGIC) {
        return Ok(Some(GzDecoder::new(input)));
    }
    loop {
        let rest = input.fill_buf()?;
        if rest.is_empty() {
            return Ok(None);
        }
        if let Some(start) = rest.iter().position(|byte| *byte != 0) {
            let words =
                format!("what follows the compressed data is not gzip: `{}`", excerpt(&rest[start..]));
            return Err(io::Error::new(io::ErrorKind::InvalidData, words));
        }
        let zeros = rest.len();
        input.consume(zeros);
    }
}
