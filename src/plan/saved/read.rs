//! Reads a plan.

use std::borrow::Cow;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::num::NonZeroUsize;

use crc32fast::Hasher;
use serde::Deserialize;
use serde_json::Value;

use super::{END, MISSING, REQUEST, START, SavedHeader, SavedPlanError, write};
use crate::input::{Dictionary, IdType, Row, Sink};
use crate::plan::{BUFFER, Builder, OnConflict, Plan};
use crate::spill::Resources;

/// The most bytes of the first line. A file with a longer one is something else.
const LONGEST_HEADER: u64 = 256 << 20;

/// More bytes than the last line has.
const LAST_LINE: u64 = 128;

/// Rows between two looks at the memory.
const STRIDE: usize = 4096;

/// A saved plan whose checksum is right.
#[derive(Debug)]
pub struct SavedPlan<File> {
    file: BufReader<File>,
    header: SavedHeader,
    /// The version of the program that has written it.
    attrsync: String,
    /// The first line, as it is.
    first: Vec<u8>,
    /// Where the last line starts.
    end: u64,
    checksum: u32,
}

/// A line with a request.
#[derive(Deserialize)]
struct RequestLine<'a, Id> {
    kind: Cow<'a, str>,
    operation: Cow<'a, str>,
    input: Option<String>,
    #[serde(borrow, bound(deserialize = "Id: Deserialize<'de>"))]
    body: Body<'a, Id>,
}

#[derive(Deserialize)]
struct Body<'a, Id> {
    ids: Vec<Id>,
    #[serde(borrow)]
    attribute: Cow<'a, str>,
    value: Value,
}

/// One of the client's own ids.
#[derive(Deserialize)]
struct CustomId<'a>(#[serde(borrow)] Cow<'a, str>);

impl<File: Read + Seek> SavedPlan<File> {
    /// Reads a file to its end once, to see that it is complete and undamaged.
    pub fn open(file: File) -> Result<Self, SavedPlanError> {
        let mut file = BufReader::with_capacity(BUFFER, file);
        let first = first_line(&mut file)?;
        let (header, attrsync) = SavedHeader::parse(&first)?;
        let (end, last) = find_last_line(&mut file, first.len() as u64)?;
        let checksum = checksum_up_to(&mut file, end)?;
        if last != write::last_line(header.requests, checksum) {
            return Err(SavedPlanError::Damaged);
        }
        Ok(Self { file, header, attrsync, first, end, checksum })
    }

    /// What it says about itself.
    pub fn header(&self) -> &SavedHeader {
        &self.header
    }

    /// The plan, which sends exactly what the file says; and the rows of users that the account doesn't have.
    pub fn load(self, resources: &Resources) -> Result<(Plan, Option<Plan>), SavedPlanError> {
        let Self { mut file, header, attrsync, first, end, checksum } = self;
        let unfit = || SavedPlanError::Unfit { attrsync: attrsync.clone() };
        let start = first.len() as u64;
        file.seek(SeekFrom::Start(start)).map_err(SavedPlanError::Read)?;
        let mut lines = file.take(end - start);
        let (mut rows, mut missing) = (Rows::new(&header, resources), None);
        let mut line = Vec::new();
        loop {
            line.clear();
            if lines.read_until(b'\n', &mut line).map_err(SavedPlanError::Read)? == 0 {
                break;
            }
            let rows = if is_missing(&line) {
                missing.get_or_insert_with(|| Rows::new(&header, resources))
            } else {
                &mut rows
            };
            let taken = match header.target.id_type {
                IdType::Id => rows.take::<u64>(&line, |_, id| id),
                IdType::CustomId => {
                    rows.take::<CustomId<'_>>(&line, |dictionary, CustomId(id)| dictionary.intern_user(&id))
                }
            };
            match taken.map_err(SavedPlanError::TemporaryFile)? {
                Line::Request => {}
                Line::OtherKind => return Err(SavedPlanError::TooNew { attrsync }),
                Line::Malformed => return Err(unfit()),
            }
        }
        let finish = |rows: Rows<'_>| rows.finish(&header).map_err(SavedPlanError::TemporaryFile);
        let (plan, missing) = (finish(rows)?, missing.map(finish).transpose()?);
        if write::checksum(&plan, missing.as_ref(), &first) != checksum {
            return Err(unfit());
        }
        Ok((plan, missing))
    }
}

/// Whether a line is about users that the account doesn't have.
fn is_missing(line: &[u8]) -> bool {
    line.strip_prefix(br#"{"kind":""#).is_some_and(|rest| rest.starts_with(MISSING.as_bytes()))
}

fn first_line(file: &mut impl BufRead) -> Result<Vec<u8>, SavedPlanError> {
    let mut line = Vec::new();
    file.take(START.len() as u64).read_to_end(&mut line).map_err(SavedPlanError::Read)?;
    if line != START {
        let is_start = !line.is_empty() && START.starts_with(&line);
        return Err(if is_start { SavedPlanError::CutOff } else { SavedPlanError::NotAPlan });
    }
    file.take(LONGEST_HEADER).read_until(b'\n', &mut line).map_err(SavedPlanError::Read)?;
    match line.last() {
        Some(b'\n') => Ok(line),
        _ if line.len() as u64 >= LONGEST_HEADER => Err(SavedPlanError::NotAPlan),
        _ => Err(SavedPlanError::CutOff),
    }
}

/// The last line, and where it starts.
fn find_last_line(file: &mut (impl Read + Seek), after: u64) -> Result<(u64, Vec<u8>), SavedPlanError> {
    let len = file.seek(SeekFrom::End(0)).map_err(SavedPlanError::Read)?;
    let from = len.saturating_sub(LAST_LINE).max(after);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from)).map_err(SavedPlanError::Read)?;
    file.take(LAST_LINE).read_to_end(&mut bytes).map_err(SavedPlanError::Read)?;
    let Some((b'\n', rest)) = bytes.split_last() else { return Err(SavedPlanError::CutOff) };
    let start = memchr::memrchr(b'\n', rest).map_or(0, |newline| newline + 1);
    let last = bytes.split_off(start);
    if !last.starts_with(END.as_bytes()) {
        return Err(SavedPlanError::CutOff);
    }
    Ok((from + start as u64, last))
}

fn checksum_up_to(file: &mut (impl BufRead + Seek), end: u64) -> Result<u32, SavedPlanError> {
    file.seek(SeekFrom::Start(0)).map_err(SavedPlanError::Read)?;
    let mut bytes = file.take(end);
    let mut checksum = Hasher::new();
    loop {
        let read = bytes.fill_buf().map_err(SavedPlanError::Read)?;
        if read.is_empty() {
            return Ok(checksum.finalize());
        }
        checksum.update(read);
        let len = read.len();
        bytes.consume(len);
    }
}

/// What a line is.
enum Line {
    Request,
    OtherKind,
    Malformed,
}

/// Makes rows of requests, and a plan of the rows. As with rows of an input, what doesn't fit the memory goes to temporary
/// files.
struct Rows<'h> {
    null_token: Option<&'h str>,
    dictionary: Dictionary,
    builder: Builder,
    /// Rows since there was last a look at the memory.
    unchecked: usize,
}

impl<'h> Rows<'h> {
    fn new(header: &'h SavedHeader, resources: &Resources) -> Self {
        // One thread reads it.
        let resources = Resources { threads: NonZeroUsize::MIN, ..resources.clone() };
        Self {
            null_token: header.settings.null_token.as_deref(),
            dictionary: Dictionary::new(&header.options(&resources)),
            builder: Builder::new(OnConflict::Last).resources(&resources),
            unchecked: 0,
        }
    }

    /// Takes the rows of a request.
    fn take<'a, Id: Deserialize<'a>>(
        &mut self,
        line: &'a [u8],
        user: impl Fn(&mut Dictionary, Id) -> u64,
    ) -> std::io::Result<Line> {
        let Ok(RequestLine { kind, operation, input, body }) =
            serde_json::from_slice::<RequestLine<'a, Id>>(line)
        else {
            return Ok(Line::Malformed);
        };
        if ![REQUEST, MISSING].contains(&&*kind) {
            return Ok(Line::OtherKind);
        }
        let Some(attribute) = self.dictionary.attribute_id(&body.attribute) else {
            return Ok(Line::Malformed);
        };
        let text = match (&input, &body.value, self.null_token) {
            (Some(text), ..) | (None, Value::String(text), _) => text,
            (None, Value::Null, Some(token)) => token,
            _ => return Ok(Line::Malformed),
        };
        if write::name(self.dictionary.attribute(attribute).operation) != operation {
            return Ok(Line::Malformed);
        }
        let mut value = self.dictionary.intern(attribute, text);
        for id in body.ids {
            let user = user(&mut self.dictionary, id);
            self.builder.accept(Row { user, attribute: attribute.column(), value });
            self.unchecked += 1;
            if self.unchecked == STRIDE {
                self.unchecked = 0;
                self.builder.check_memory()?;
                if self.dictionary.is_full() {
                    self.builder.dictionary_spilled(self.dictionary.spill()?);
                    value = self.dictionary.intern(attribute, text);
                }
            }
        }
        Ok(Line::Request)
    }

    fn finish(self, header: &SavedHeader) -> std::io::Result<Plan> {
        let Self { mut dictionary, mut builder, .. } = self;
        if dictionary.spills() > 0 {
            builder.dictionary_spilled(dictionary.spill()?);
            dictionary.merge_spills()?;
        }
        builder.finish(dictionary, header.settings.batch_size)
    }
}
