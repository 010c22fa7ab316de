//! From a source to decoded bytes.

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use encoding_rs::{Encoding, UTF_8};

use super::fed_back::{Origin, recognise};
use super::gzip::Members;
use super::{Options, Refusal, Source};

/// How the bytes of an input are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// By gzip.
    Gzip,
    /// By Zstandard.
    Zstd,
}

/// The bytes of an input, on any thread.
pub(super) type Input = Box<dyn Read + Send>;

/// An input whose first bytes have told what it is.
pub(super) struct Opened {
    pub(super) name: String,
    /// Decompressed, decoded to UTF-8 (if it is UTF-8 already it may still have bytes that are not), without a mark.
    pub(super) input: Input,
    pub(super) encoding: &'static Encoding,
    pub(super) compression: Compression,
    pub(super) mark: usize,
    pub(super) origin: Origin,
    /// The file's size, where it has one.
    pub(super) size: Option<u64>,
    pub(super) file: Option<File>,
    read: Arc<AtomicU64>,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Stdin => f.write_str("stdin"),
        }
    }
}

impl Opened {
    pub(super) fn new(source: &Source, options: &Options) -> Result<Self, Refusal> {
        let name = source.to_string();
        let read = Arc::new(AtomicU64::new(0));
        let (bytes, size, file): (Input, _, _) = match source {
            Source::Stdin => (Box::new(io::stdin()), None, None),
            Source::File(path) => {
                let (file, size) = open(path).map_err(|cause| match cause.kind() {
                    io::ErrorKind::IsADirectory => Refusal::Directory { input: name.clone() },
                    _ => Refusal::Open { input: name.clone(), cause },
                })?;
                let again = file.try_clone().ok().filter(|_| size.is_some());
                (Box::new(file), size, again)
            }
        };
        let bytes = Counted { bytes, read: Arc::clone(&read) };
        let mut opened = Self {
            name,
            input: Box::new(io::empty()),
            encoding: options.encoding,
            compression: Compression::None,
            mark: 0,
            origin: Origin::Foreign,
            size,
            file,
            read,
        };
        opened.decode(Box::new(bytes)).map_err(|cause| opened.unreadable(cause, 1, 0))?;
        Ok(opened)
    }

    /// How many bytes of the file were read.
    pub(super) fn bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The bytes go through as they are, so that ranges of the file can be read on their own.
    pub(super) fn is_plain(&self) -> bool {
        self.compression == Compression::None && self.encoding == UTF_8
    }

    /// A file that is read before another thread has begun.
    pub(super) fn is_small(&self) -> bool {
        self.size.is_some_and(|size| size < 64 << 10)
    }

    /// The refusal for an error on the way.
    pub(super) fn unreadable(&self, cause: io::Error, line: u64, rows: u64) -> Refusal {
        let input = self.name.clone();
        if self.compression != Compression::None && cause.kind() == io::ErrorKind::UnexpectedEof {
            return Refusal::Truncated { input, line, rows };
        }
        Refusal::Read { input, line, cause }
    }

    fn decode(&mut self, bytes: Input) -> io::Result<()> {
        let (start, bytes) = peek::<4>(bytes)?;
        self.compression = match start.as_slice() {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd] => Compression::Zstd,
            _ => Compression::None,
        };
        let bytes: Input = match self.compression {
            Compression::None => bytes,
            Compression::Gzip => Box::new(Members::new(bytes)),
            Compression::Zstd => Box::new(zstd::Decoder::new(bytes)?),
        };
        let (start, mut bytes) = peek::<3>(bytes)?;
        (self.encoding, self.mark) = Encoding::for_bom(&start).unwrap_or((self.encoding, 0));
        bytes.read_exact(&mut [0; 3][..self.mark])?;
        let (origin, bytes) = recognise(bytes)?;
        if origin == Origin::FailuresReport {
            self.encoding = UTF_8;
        }
        self.origin = origin;
        self.input = if self.encoding == UTF_8 {
            bytes
        } else {
            let mut decoder = encoding_rs_io::DecodeReaderBytesBuilder::new();
            Box::new(decoder.encoding(Some(self.encoding)).bom_sniffing(false).build(bytes))
        };
        Ok(())
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("name", &self.name).finish_non_exhaustive()
    }
}

fn open(path: &Path) -> io::Result<(File, Option<u64>)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok((file, metadata.is_file().then_some(metadata.len())))
}

/// The first bytes, `N` if there are so many, and all bytes.
fn peek<const N: usize>(mut bytes: Input) -> io::Result<(Vec<u8>, Input)> {
    let mut start = Vec::with_capacity(N);
    bytes.by_ref().take(N as u64).read_to_end(&mut start)?;
    Ok((start.clone(), Box::new(Cursor::new(start).chain(bytes))))
}

/// Counts bytes as they are read.
struct Counted {
    bytes: Input,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(into)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
