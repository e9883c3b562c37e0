//! The header of a GGUF file, checked before anything is believed.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. candle's own reader takes memory for whatever a length
//! says; this one first looks whether the file can hold it.

use std::collections::BTreeMap;
use std::io::Read;

use super::blocks::BlockType;
use super::metadata::Metadata;
use super::source::{HeaderError, Source, shown};

/// Most dimensions of a tensor in ggml.
const MOST_DIMENSIONS: u32 = 4;
/// Longest name of a tensor; ggml's own limit is 64.
const LONGEST_NAME: usize = 256;
/// Most tensors, and most keys; a model of 1024 layers has 12 thousand.
const MOST_ENTRIES: u64 = 1 << 17;
/// Where data lies when `general.alignment` does not say.
const USUAL_ALIGNMENT: u64 = 32;

/// One tensor as the header describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    /// How its values are stored.
    pub kind: BlockType,
    /// Row-major shape: the reverse of the file's.
    pub shape: Vec<u64>,
    /// First byte, counted from the beginning of the data.
    pub offset: u64,
    /// Number of bytes.
    pub bytes: u64,
}

/// A checked header: every tensor lies in the file, on its alignment, and none in another.
#[derive(Debug)]
pub struct Header {
    /// Keys and values.
    pub metadata: Metadata,
    /// Tensors by name.
    pub tensors: BTreeMap<String, TensorInfo>,
    /// Where the data begins in the file.
    pub data_start: u64,
}

impl Header {
    /// Reads the header of a file of `len` bytes from its beginning. Takes no more memory than a small multiple of what is there.
    ///
    /// # Errors
    /// See [`HeaderError`]; messages do not name the file.
    pub fn read(reader: impl Read, len: u64) -> Result<Self, HeaderError> {
        let mut source = Source::new(reader, len);
        check_version(&mut source)?;
        let tensors = source.count(8 + 4 + 8 + 4 + 8, "the number of tensors")?;
        let keys = source.count(8 + 4 + 1, "the number of metadata keys")?;
        if tensors.max(keys) > MOST_ENTRIES {
            let why = format!("it has {tensors} tensors and {keys} metadata keys, more than {MOST_ENTRIES}");
            return Err(HeaderError::Unsupported(why));
        }
        let metadata = Metadata::read(&mut source, keys)?;
        let alignment = alignment(&metadata)?;
        let mut infos = BTreeMap::new();
        for i in 0..tensors {
            let (name, info) = tensor(&mut source, i, alignment)?;
            let twice = format!("tensor `{}` is described twice", shown(&name));
            if infos.insert(name, info).is_some() {
                return Err(HeaderError::Damaged(twice));
            }
        }
        // the header is far shorter than 2^64
        let data_start = source.at().next_multiple_of(alignment);
        check_places(&infos, len.saturating_sub(data_start))?;
        Ok(Self { metadata, tensors: infos, data_start })
    }
}

fn check_version<R: Read>(source: &mut Source<R>) -> Result<(), HeaderError> {
    let magic: [u8; 4] = source.array("its beginning")?;
    if &magic != b"GGUF" {
        return Err(match &magic {
            b"lmgg" | b"fmgg" | b"tjgg" => {
                HeaderError::Unsupported("it is in a format from before GGUF; convert the model again".into())
            }
            _ => HeaderError::Damaged("it does not begin with `GGUF`".into()),
        });
    }
    let version = source.u32("its version")?;
    let remedy = "versions 2 and 3 in little-endian order are read; convert the model again";
    match version {
        2 | 3 => Ok(()),
        _ if version.swap_bytes() <= 3 && version != 0 => {
            Err(HeaderError::Unsupported(format!("it is a GGUF in big-endian order; {remedy}")))
        }
        _ => Err(HeaderError::Unsupported(format!("it is of GGUF version {version}; {remedy}"))),
    }
}

fn alignment(metadata: &Metadata) -> Result<u64, HeaderError> {
    let Some(value) = metadata.get("general.alignment") else { return Ok(USUAL_ALIGNMENT) };
    let fits = |alignment: &u64| alignment.is_power_of_two() && (8..=1 << 31).contains(alignment);
    value.as_count().filter(fits).ok_or_else(|| {
        HeaderError::Damaged(format!("metadata key `general.alignment` is {value}, which is no power of two from 8 up"))
    })
}

fn tensor<R: Read>(source: &mut Source<R>, i: u64, alignment: u64) -> Result<(String, TensorInfo), HeaderError> {
    let name = source.bytes(&format!("the name of tensor {i}"))?;
    let Some(name) = String::from_utf8(name).ok().filter(|name| name.len() <= LONGEST_NAME) else {
        let why = format!("the name of tensor {i} is not UTF-8 text of at most {LONGEST_NAME} bytes");
        return Err(HeaderError::Damaged(why));
    };
    let what = format!("tensor `{}`", shown(&name));
    let bad = |why: String| Err(HeaderError::Damaged(format!("{what} {why}")));
    let dimensions = source.u32(&what)?;
    if !(1..=MOST_DIMENSIONS).contains(&dimensions) {
        return bad(format!("has {dimensions} dimensions, not 1 to {MOST_DIMENSIONS}"));
    }
    let mut shape = (0..dimensions).map(|_| source.u64(&what)).collect::<Result<Vec<_>, _>>()?;
    shape.reverse();
    let number = source.u32(&what)?;
    let offset = source.u64(&what)?;
    let kind = BlockType::of(number).map_err(|why| HeaderError::Unsupported(format!("{what} has {why}")))?;
    if shape.contains(&0) {
        return bad(format!("has the shape {shape:?}, which holds nothing"));
    }
    let row = shape.last().copied().unwrap_or(0);
    if !row.is_multiple_of(kind.block_values()) {
        return bad(format!("has rows of {row} values, but its type {} comes in blocks of {}", kind.name(), kind.block_values()));
    }
    let values = shape.iter().try_fold(1_u64, |product, n| product.checked_mul(*n));
    let Some(bytes) = values.and_then(|values| (values / kind.block_values()).checked_mul(kind.block_bytes())) else {
        return bad(format!("has the shape {shape:?}, more values than any file holds"));
    };
    if !offset.is_multiple_of(alignment) {
        return bad(format!("begins at byte {offset}, which is no multiple of general.alignment = {alignment}"));
    }
    Ok((name, TensorInfo { kind, shape, offset, bytes }))
}

/// Refuses tensors that reach beyond the `data_bytes` of the file, or into each other.
fn check_places(tensors: &BTreeMap<String, TensorInfo>, data_bytes: u64) -> Result<(), HeaderError> {
    let mut in_order: Vec<_> = tensors.iter().collect();
    in_order.sort_by_key(|(_, info)| info.offset);
    let mut before: Option<(&str, u64)> = None;
    for (name, info) in in_order {
        let bad = |why: String| Err(HeaderError::Damaged(format!("tensor `{}` {why}", shown(name))));
        let Some(end) = info.offset.checked_add(info.bytes).filter(|end| *end <= data_bytes) else {
            let (offset, bytes) = (info.offset, info.bytes);
            return bad(format!("takes {bytes} bytes from {offset} on, but only {data_bytes} are there: the file is cut short"));
        };
        if let Some((other, other_end)) = before.filter(|(_, other_end)| info.offset < *other_end) {
            let why = format!("begins at byte {}, but `{}` reaches to {other_end}", info.offset, shown(other));
            return bad(why);
        }
        before = Some((name, end));
    }
    Ok(())
}
