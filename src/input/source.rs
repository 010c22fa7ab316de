//! Opens a source, decompresses it and decodes it.

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use encoding_rs_io::DecodeReaderBytesBuilder;

use super::failures_input::is_failures_report_start;
use super::file_type::{self, FileType};
use super::gzip::GzipMembers;
use super::utf8_monitor::{Utf8Monitor, Utf8Seen};
use super::{InputError, ReadOptions, ReadProgress, Source};

/// The compression of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// None.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// The bytes of an input, which any thread can read.
pub(super) type ByteStream = Box<dyn Read + Send>;

/// An input whose compression and encoding are known.
pub(super) struct OpenedInput {
    pub(super) name: String,
    /// Decompressed and decoded, without a byte-order mark. If the encoding is UTF-8, it may have bytes that are not
    /// valid.
    pub(super) input: ByteStream,
    pub(super) encoding: &'static Encoding,
    pub(super) compression: Compression,
    pub(super) mark: usize,
    /// Whether the bytes are UTF-8, if the options name another encoding.
    pub(super) seen: Option<Utf8Seen>,
    /// The size, if it is a regular file.
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

impl OpenedInput {
    pub(super) fn new(source: &Source, options: &ReadOptions) -> Result<Self, InputError> {
        let name = source.to_string();
        let read = Arc::new(AtomicU64::new(0));
        let (bytes, size, file): (ByteStream, _, _) = match source {
            Source::Stdin => (Box::new(io::stdin()), None, None),
            Source::File(path) => {
                let (file, size) = open(path).map_err(|cause| match cause.kind() {
                    io::ErrorKind::IsADirectory => InputError::Directory { input: name.clone() },
                    _ => InputError::Open { input: name.clone(), cause },
                })?;
                let again = file.try_clone().ok().filter(|_| size.is_some());
                (Box::new(file), size, again)
            }
        };
        let bytes =
            CountingReader { bytes, read: Arc::clone(&read), progress: Arc::clone(&options.progress) };
        let mut opened = Self {
            name,
            input: Box::new(io::empty()),
            encoding: options.encoding,
            compression: Compression::None,
            mark: 0,
            seen: None,
            size,
            file,
            read,
        };
        let other = opened.decode(Box::new(bytes)).map_err(|cause| opened.read_error(cause, 1, 0))?;
        match other {
            Some(Unsupported::Format(FileType { what, hint })) => {
                Err(InputError::Format { input: opened.name, what, hint: hint.to_owned() })
            }
            Some(Unsupported::Encoding { what, hint }) => {
                Err(InputError::Format { input: opened.name, what, hint })
            }
            None => Ok(opened),
        }
    }

    /// The bytes of the source that were read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Whether the bytes need no decompression or decoding, so that ranges of the file can be read separately.
    pub(super) fn is_plain(&self) -> bool {
        self.compression == Compression::None && self.encoding == UTF_8
    }

    /// Whether a file is too small to start a thread for it.
    pub(super) fn is_small(&self) -> bool {
        self.size.is_some_and(|size| size < 64 << 10)
    }

    /// The error of an input that cannot be read on.
    pub(super) fn read_error(&self, cause: io::Error, line: u64, rows: u64) -> InputError {
        let input = self.name.clone();
        if self.compression != Compression::None && cause.kind() == io::ErrorKind::UnexpectedEof {
            return InputError::Truncated { input, line, rows };
        }
        InputError::Read { input, line, cause }
    }

    /// Decompresses and decodes the bytes, unless they are not CSV.
    fn decode(&mut self, bytes: ByteStream) -> io::Result<Option<Unsupported>> {
        let (start, bytes) = peek(bytes, |start| start.len() >= 4)?;
        self.compression = match start.as_slice() {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            _ => Compression::None,
        };
        let bytes: ByteStream = match self.compression {
            Compression::None => bytes,
            Compression::Gzip => Box::new(GzipMembers::new(bytes)),
            Compression::Zstd => Box::new(zstd::Decoder::new(bytes)?),
        };
        // The first line is enough to recognize a file type, except those of zip archives.
        let is_enough = |start: &[u8]| {
            start.len() >= LONGEST_START || (start.contains(&b'\n') && !start.starts_with(b"PK\x03\x04"))
        };
        let (start, mut bytes) = peek(bytes, is_enough)?;
        if let Some(format) = file_type::of_bytes(&start) {
            return Ok(Some(Unsupported::Format(format)));
        }
        match Encoding::for_bom(&start) {
            Some((encoding, mark)) => {
                (self.encoding, self.mark) = (encoding, mark);
                bytes.read_exact(&mut [0; 3][..mark])?;
            }
            None => {
                if let Some(other) = self.guess(&start) {
                    return Ok(Some(other));
                }
            }
        }
        if self.encoding == UTF_8 {
            self.input = bytes;
            return Ok(None);
        }
        if self.mark == 0 {
            let (watch, seen) = Utf8Monitor::new(bytes);
            (bytes, self.seen) = (Box::new(watch), Some(seen));
        }
        self.input = Box::new(
            DecodeReaderBytesBuilder::new().encoding(Some(self.encoding)).bom_sniffing(false).build(bytes),
        );
        Ok(None)
    }

    /// Checks the encoding of an input without a byte-order mark. The option does not apply to a failures report,
    /// which is UTF-8, unless a spreadsheet saved it in the encoding of the other inputs.
    fn guess(&mut self, start: &[u8]) -> Option<Unsupported> {
        let is_wide = |encoding: &Encoding| encoding == UTF_16LE || encoding == UTF_16BE;
        if let Some(found) = file_type::utf_16(start) {
            let hint = format!("name the encoding, as `--encoding {}`", found.name().to_lowercase());
            let what = "encoded in UTF-16, without a byte-order mark";
            return (found != self.encoding).then_some(Unsupported::Encoding { what, hint });
        }
        let is_utf_8 = match std::str::from_utf8(start) {
            Ok(_) => true,
            Err(error) => error.error_len().is_none(),
        };
        if is_failures_report_start(start) && (is_utf_8 || is_wide(self.encoding)) {
            self.encoding = UTF_8;
        } else if is_wide(self.encoding) && is_utf_8 && !start.is_empty() && !start.contains(&0) {
            let hint = format!("leave out `--encoding {}`", self.encoding.name().to_lowercase());
            return Some(Unsupported::Encoding { what: "not encoded in UTF-16", hint });
        }
        None
    }
}

/// An input that cannot be read.
enum Unsupported {
    Format(FileType),
    Encoding { what: &'static str, hint: String },
}

impl fmt::Debug for OpenedInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedInput").field("name", &self.name).finish_non_exhaustive()
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

/// The most bytes to recognize an input by.
const LONGEST_START: usize = 64 << 10;

/// Reads from the start until `is_enough`. Returns what was read, and a reader of all bytes.
fn peek(mut bytes: ByteStream, is_enough: impl Fn(&[u8]) -> bool) -> io::Result<(Vec<u8>, ByteStream)> {
    let mut start = Vec::new();
    let mut piece = vec![0; LONGEST_START];
    while !is_enough(&start) {
        match bytes.read(&mut piece[..LONGEST_START - start.len().min(LONGEST_START - 1)]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => match read? {
                0 => break,
                read => start.extend_from_slice(&piece[..read]),
            },
        }
    }
    Ok((start.clone(), Box::new(Cursor::new(start).chain(bytes))))
}

/// Counts bytes as they are read.
struct CountingReader {
    bytes: ByteStream,
    read: Arc<AtomicU64>,
    progress: Arc<ReadProgress>,
}

impl Read for CountingReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(into)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        self.progress.add_bytes(read as u64);
        Ok(read)
    }
}
