//! The form of the file of last known state: a header line, then one JSON document a line.
//!
//! ```text
//! causeway-last-known FORMAT LENGTH SHA256
//! {"node":"n1","cluster":"east","authorities":["…"]}
//! {"apiVersion":"causeway.dev/v1alpha1","kind":"NodeConfig",…}
//! ```
//!
//! Length and checksum are of all that follows the header. The objects are those of the API, so that
//! another version of the agent reads them as it reads an API server's: fields that it does not know
//! are passed over. Decides about bytes only; what the objects mean is not its business.

use std::fmt::Write as _;
use std::io::{self, Write};

use causeway_api::{Kind, Object};
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

/// How the header line begins.
const MAGIC: &str = "causeway-last-known";
/// The format that is written, and the only one that is read.
const FORMAT: &str = "1";
/// No header line is longer.
const LONGEST_HEADER: usize = 256;

/// Whose state it is. Fields that are missing say nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// The node.
    pub node: String,
    /// Its cluster.
    pub cluster: String,
    /// Fingerprints of the authorities that the API server's certificate is to be signed by.
    pub authorities: Vec<String>,
}

/// Why bytes are no state that was saved whole.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// There are none.
    #[error("it is empty")]
    Empty,
    /// They do not begin as the file does.
    #[error("it is not a file of last known state, or its header is damaged")]
    Header,
    /// Written in another format.
    #[error("it is of format {0:?}, and this agent reads format {FORMAT:?}")]
    Format(String),
    /// Torn.
    #[error("{found} bytes follow its header, which says {said}: it was cut off or damaged")]
    Length {
        /// How many there are.
        found: usize,
        /// How many there should be.
        said: String,
    },
    /// Damaged.
    #[error("its checksum is wrong: it is damaged")]
    Checksum,
    /// A line that this agent cannot read, though it is as it was written.
    #[error("line {line} cannot be read: {source}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
}

/// Length and checksum of a body, as the header line gives them.
#[derive(PartialEq, Eq, Debug)]
pub struct Seal {
    length: usize,
    checksum: String,
}

impl Seal {
    /// That of what `write` writes.
    ///
    /// # Errors
    /// If `write` fails.
    pub fn of(write: impl FnOnce(&mut Summing) -> io::Result<()>) -> io::Result<Seal> {
        let mut summing = Summing { length: 0, context: Context::new(&SHA256) };
        write(&mut summing)?;
        Ok(Seal { length: summing.length, checksum: hex(summing.context.finish().as_ref()) })
    }

    /// The header line.
    pub fn header(&self) -> String {
        format!("{MAGIC} {FORMAT} {} {}\n", self.length, self.checksum)
    }
}

/// Counts and sums up what is written to it.
pub struct Summing {
    length: usize,
    context: Context,
}

impl Write for Summing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.length += bytes.len();
        self.context.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The SHA-256 of `bytes` in hexadecimal.
pub fn fingerprint(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Writes what follows the header, one object at a time: all of them together are larger than the plan.
///
/// # Errors
/// If `out` fails.
pub fn write_body(
    origin: &Origin,
    objects: impl Iterator<Item = Object>,
    out: &mut impl Write,
) -> io::Result<()> {
    serde_json::to_writer(&mut *out, origin)?;
    out.write_all(b"\n")?;
    for object in objects {
        serde_json::to_writer(&mut *out, &object)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Takes a file apart: its seal, which holds, and what follows the header.
///
/// # Errors
/// [`CodecError`] unless `bytes` are just as they were written, in this format.
pub fn open(bytes: &[u8]) -> Result<(Seal, &[u8]), CodecError> {
    if bytes.is_empty() {
        return Err(CodecError::Empty);
    }
    let end = bytes.iter().take(LONGEST_HEADER).position(|byte| *byte == b'\n').ok_or(CodecError::Header)?;
    let (line, body) =
        (std::str::from_utf8(&bytes[..end]).map_err(|_| CodecError::Header)?, &bytes[end + 1..]);
    let words: Vec<&str> = line.split(' ').collect();
    let (format, rest) = match words[..] {
        [MAGIC, format, ref rest @ ..] => (format, rest),
        _ => return Err(CodecError::Header),
    };
    if format != FORMAT {
        return Err(CodecError::Format(format.to_owned()));
    }
    let [length, checksum] = rest[..] else { return Err(CodecError::Header) };
    let seal = Seal { length: body.len(), checksum: fingerprint(body) };
    if length != seal.length.to_string() {
        return Err(CodecError::Length { found: body.len(), said: length.to_owned() });
    }
    if checksum != seal.checksum {
        return Err(CodecError::Checksum);
    }
    Ok((seal, body))
}

/// The objects in a file, and whose they are.
///
/// # Errors
/// [`CodecError`] unless all of them can be read.
pub fn read(bytes: &[u8]) -> Result<(Origin, Vec<Object>), CodecError> {
    let (_, body) = open(bytes)?;
    let mut lines = body.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    // The header is line 1.
    let fails = |at: usize| move |source| CodecError::Line { line: at + 2, source };
    let origin = match lines.next() {
        Some((at, line)) => serde_json::from_slice(line).map_err(fails(at))?,
        None => Origin::default(),
    };
    let objects = lines.map(|(at, line)| object(line).map_err(fails(at))).collect::<Result<_, _>>()?;
    Ok((origin, objects))
}

fn object(line: &[u8]) -> serde_json::Result<Object> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Head {
        api_version: String,
        kind: String,
    }
    let Head { api_version, kind } = serde_json::from_slice(line)?;
    let known = Kind::of(&api_version, &kind).ok_or_else(|| {
        serde::de::Error::custom(format!("{kind} of {api_version} is of no kind that this agent knows"))
    })?;
    Object::deserialize(known, &mut serde_json::Deserializer::from_slice(line))
}
