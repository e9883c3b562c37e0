//! The pages of a column of a Parquet file, looked at before they are read: what a page says it holds is what a reader takes memory
//! for, and a few bytes may say gigabytes.
//!
//! A page's header is a structure in Thrift's compact form (`parquet.thrift`, `PageHeader`); of it three sizes and the number of
//! values are read.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use parquet::basic::Compression;
use parquet::file::metadata::ColumnChunkMetaData;

use crate::room::room;

/// Longest header of a page that is looked at: it may hold the least and the greatest value.
const MAX_HEADER: u64 = 1 << 24;
/// Bytes that a page may hold for each byte that it takes in the file, beside [`ANYWAY`]: the densest codec, zstd, writes a block of
/// 128 KiB in four bytes.
const DENSEST: u64 = 1 << 15;
/// Bytes that any page may hold.
const ANYWAY: u64 = 1 << 20;
/// Bytes of memory for each value of a list.
const VALUE: u64 = 64;
/// Values of lists that any part of a column may hold: a list is read whole, and a row of a few bytes may hold billions of values.
const LISTED: u64 = 1 << 20;

/// Most values of lists in a part of a column with `rows` rows of at most `mean` values on average, and at most so many in all.
pub(crate) struct Lists {
    pub rows: i64,
    pub mean: u64,
    pub most: u64,
    /// Whether all values of a part may be held at one time.
    pub held: bool,
}

/// Why a part of a column is not read.
pub(crate) enum Unread {
    /// By its name in Parquet.
    Codec(String),
    /// What is wrong.
    Broken(String),
    /// Bytes that are not there.
    NoRoom(usize),
    /// The file cannot be read.
    Io(std::io::Error),
}

/// That the codec of a part of a column is known, and that its pages hold no more than they can, and than there is memory for.
pub(crate) fn check(mut file: &File, chunk: &ColumnChunkMetaData, lists: &Lists) -> Result<(), Unread> {
    let codec = chunk.compression();
    let known = matches!(codec, Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::GZIP(_) | Compression::ZSTD(_));
    if !known {
        return Err(Unread::Codec(format!("{:?}", chunk.compression_codec())));
    }
    let start = chunk.dictionary_page_offset().into_iter().chain([chunk.data_page_offset()]).min();
    let offset =
        |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok()).ok_or_else(|| Unread::Broken("an offset is negative".into()));
    let (mut at, length) = (offset(start)?, offset(Some(chunk.compressed_size()))?);
    let end = at.saturating_add(length);
    let (mut largest, mut values) = (0_u64, 0_u64);
    while at < end {
        let mut header = None;
        let mut bytes = Vec::new();
        let mut wanted = 1 << 12;
        while header.is_none() && wanted <= MAX_HEADER {
            bytes.clear();
            file.seek(SeekFrom::Start(at)).map_err(Unread::Io)?;
            file.take(wanted.min(end - at)).read_to_end(&mut bytes).map_err(Unread::Io)?;
            header = Header::read(&bytes);
            if bytes.len() as u64 == end - at {
                break;
            }
            wanted *= 16;
        }
        let Some(header) = header else {
            return Err(Unread::Broken(format!("the page at byte {at} has no header that can be read")));
        };
        let (Ok(packed), Ok(unpacked)) = (u64::try_from(header.packed), u64::try_from(header.unpacked)) else {
            return Err(Unread::Broken(format!("the page at byte {at} has a negative size")));
        };
        if packed > end - at || unpacked > ANYWAY.saturating_add(packed.saturating_mul(DENSEST)) {
            return Err(Unread::Broken(format!("the page at byte {at} says {packed} bytes hold {unpacked}, which they cannot")));
        }
        largest = largest.max(unpacked);
        values = values.saturating_add(u64::try_from(header.values).unwrap_or(0));
        at += header.length as u64 + packed;
    }
    let is_listed = chunk.column_descr().max_rep_level() > 0;
    let rows = u64::try_from(lists.rows).unwrap_or(0);
    if is_listed && values > lists.most.min(LISTED.saturating_add(rows.saturating_mul(lists.mean))) {
        return Err(Unread::Broken(format!("its lists say that {rows} rows hold {values} values, and so many are not read")));
    }
    let rows = if is_listed && lists.held { values.saturating_mul(VALUE) } else { 0 };
    let bytes = usize::try_from(largest.saturating_mul(2).saturating_add(rows)).unwrap_or(usize::MAX);
    room(bytes).map_err(Unread::NoRoom)
}

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    /// Its own bytes.
    length: usize,
    unpacked: i64,
    packed: i64,
    /// 0 of a page that is no page of data.
    values: i64,
}

impl Header {
    /// The header that `bytes` begin with; `None` where they do not hold one whole.
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut thrift = Thrift { bytes, at: 0 };
        let mut header = Self { length: 0, unpacked: 0, packed: 0, values: 0 };
        let mut field = 0;
        while let Some((number, kind)) = thrift.field(field)? {
            field = number;
            match (number, kind) {
                (2, 5) => header.unpacked = thrift.number()?,
                (3, 5) => header.packed = thrift.number()?,
                // the header of a page of data, in either version, begins with the number of its values
                (5 | 8, 12) => {
                    let mut inner = 0;
                    while let Some((number, kind)) = thrift.field(inner)? {
                        inner = number;
                        match (number, kind) {
                            (1, 5) => header.values = thrift.number()?,
                            (_, kind) => thrift.skip(kind, 0)?,
                        }
                    }
                }
                (_, kind) => thrift.skip(kind, 0)?,
            }
        }
        header.length = thrift.at;
        Some(header)
    }
}

/// Thrift's compact form.
struct Thrift<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Thrift<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A whole number in zigzag form.
    fn number(&mut self) -> Option<i64> {
        let n = self.varint()?;
        Some((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    /// The next field's number, after `last`, and its kind; `Some(None)` at the end of the structure.
    #[expect(clippy::option_option, reason = "the bytes may end before the structure does")]
    fn field(&mut self, last: i64) -> Option<Option<(i64, u8)>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(None);
        }
        let step = i64::from(byte >> 4);
        let number = if step == 0 { self.number()? } else { last.saturating_add(step) };
        Some(Some((number, byte & 15)))
    }

    /// Moves past a value.
    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > 8 {
            return None;
        }
        match kind {
            1 | 2 => {}
            3 => _ = self.byte()?,
            4..=6 => _ = self.varint()?,
            7 => self.pass(8)?,
            8 => {
                let n = self.varint()?;
                self.pass(usize::try_from(n).ok()?)?;
            }
            9 | 10 => {
                let head = self.byte()?;
                let n = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                for _ in 0..n {
                    // a truth value in a list takes a byte
                    if matches!(head & 15, 1 | 2) { _ = self.byte()? } else { self.skip(head & 15, depth + 1)? }
                }
            }
            12 => {
                let mut last = 0;
                while let Some((number, kind)) = self.field(last)? {
                    last = number;
                    self.skip(kind, depth + 1)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn pass(&mut self, n: usize) -> Option<()> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.bytes.len())?;
        self.at = end;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_whole_or_not_at_all() {
        // type 0, 300 bytes unpacked, 40 packed, a data page of 7 values with its encodings
        let bytes = [0x15, 0, 0x15, 0xd8, 0x04, 0x15, 0x50, 0x2c, 0x15, 0x0e, 0x15, 0, 0x15, 6, 0x15, 6, 0, 0, 99];
        let header = Header { length: 18, unpacked: 300, packed: 40, values: 7 };
        assert_eq!(Header::read(&bytes), Some(header));
        for end in 0..18 {
            assert_eq!(Header::read(&bytes[..end]), None, "{end}");
        }
        // structures without end, and more of them within each other than anybody writes
        assert_eq!(Header::read(&[0x9c; 64]), None);
        assert_eq!(Header::read(&[0xff; 64]), None);
    }
}
