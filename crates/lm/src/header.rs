//! Headers of safetensors files, checked before anything is believed.
//!
//! The crate `safetensors` parses headers over the whole file in memory; this reads the header alone, so that each defect
//! can be told with the names and sizes involved, and a file that lies about its sizes costs nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::pointer::refuse_pointer;
use crate::read::LoadError;

/// Headers beyond this are refused, as the safetensors format says.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// One tensor as the header describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// Element type as the format names it (`F32`).
    pub dtype: String,
    /// Row-major shape.
    pub shape: Vec<u64>,
    /// First byte and the byte after the last, counted from the end of the header.
    pub data_offsets: [u64; 2],
}

/// A checked header: tensors lie end to end from 0 to the end of the file, each as long as its shape and type say.
#[derive(Debug)]
pub(crate) struct Header {
    /// Tensors by name.
    pub tensors: BTreeMap<String, Entry>,
    /// Where the data begins in the file.
    pub data_start: u64,
    /// Bytes of the whole file.
    pub file_bytes: u64,
}

impl Header {
    /// Opens a safetensors file and checks its header.
    pub fn open(path: &Path) -> Result<(File, Self), LoadError> {
        let io = |source| LoadError::Io { path: path.into(), source };
        let bad = |why: String| LoadError::NotSafetensors { path: path.into(), why };
        crate::directory::check_file(path)?;
        let mut file = File::open(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => LoadError::Missing { path: path.into(), remedy: "fetch the whole checkpoint".into() },
            _ => io(source),
        })?;
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            return Err(bad("it is not a regular file".into()));
        }
        let len = metadata.len();
        let mut start = Vec::with_capacity(9);
        (&mut file).take(9).read_to_end(&mut start).map_err(io)?;
        let promised = start.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
        let plausible = promised.is_some_and(|n| n <= MAX_HEADER_BYTES && n <= len - 8) && start.get(8) == Some(&b'{');
        // A valid header length can begin with the bytes of a pickle, so a plausible header is believed first.
        if !plausible && is_pickle(&start) {
            return Err(LoadError::Pickle { path: path.into() });
        }
        if !plausible {
            refuse_pointer(path)?;
        }
        let Some(promised) = promised else {
            return Err(bad(format!("it has {len} bytes, less than the 8 that hold the header's length")));
        };
        if promised > MAX_HEADER_BYTES {
            return Err(bad(format!("its header claims {promised} bytes, beyond the format's limit of {MAX_HEADER_BYTES}")));
        }
        if promised > len - 8 {
            return Err(bad(format!("its header claims {promised} bytes, but only {} follow", len - 8)));
        }
        if promised == 0 {
            return Err(bad("its header is empty".into()));
        }
        if start.get(8) != Some(&b'{') {
            return Err(bad("its header does not begin with `{`".into()));
        }
        let mut json = vec![b'{'];
        (&mut file).take(promised - 1).read_to_end(&mut json).map_err(io)?;
        let header = Self::parse(&json, len - 8 - promised).map_err(bad)?;
        Ok((file, Self { data_start: 8 + promised, file_bytes: len, ..header }))
    }

    /// Parses a header's JSON and checks it against the number of bytes that follow it.
    fn parse(json: &[u8], data_bytes: u64) -> Result<Self, String> {
        let Entries(tensors) = serde_json::from_slice(json).map_err(|error| format!("its header is broken: {error}"))?;
        let mut in_order: Vec<_> = tensors.iter().collect();
        in_order.sort_by_key(|(_, entry)| entry.data_offsets);
        let mut end_before = 0;
        for (name, entry) in in_order {
            let [start, end] = entry.data_offsets;
            if start != end_before || end < start {
                return Err(format!(
                    "tensor `{name}` has data_offsets {start}..{end}, but the tensor before it ends at {end_before}"
                ));
            }
            let Some(width) = element_bytes(&entry.dtype) else {
                return Err(format!("tensor `{name}` has the unknown type `{}`", entry.dtype));
            };
            let bytes = entry.shape.iter().try_fold(width, |product, n| product.checked_mul(*n));
            if bytes != Some(end - start) {
                return Err(format!(
                    "tensor `{name}` of type {} and shape {:?} does not take the {} bytes its data_offsets say",
                    entry.dtype,
                    entry.shape,
                    end - start
                ));
            }
            end_before = end;
        }
        if end_before != data_bytes {
            return Err(format!("its header describes {end_before} bytes of data, but {data_bytes} are there"));
        }
        Ok(Self { tensors, data_start: 0, file_bytes: 0 })
    }
}

/// Whether these first bytes are those of a pickle (protocols 2 to 5) or of a zip file, which PyTorch wraps pickles in.
pub(crate) fn is_pickle(start: &[u8]) -> bool {
    matches!(start, [0x80, 2..=5, ..] | [b'P', b'K', 3, 4, ..])
}

fn element_bytes(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "F64" | "I64" | "U64" => 8,
        "F32" | "I32" | "U32" => 4,
        "F16" | "BF16" | "I16" | "U16" => 2,
        "I8" | "U8" | "BOOL" | "F8_E4M3" | "F8_E5M2" => 1,
        _ => return None,
    })
}

/// The tensors of a header, duplicates refused, metadata skipped.
struct Entries(BTreeMap<String, Entry>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Entries, M::Error> {
                let mut tensors = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<BTreeMap<String, String>>()?;
                        continue;
                    }
                    let entry = map.next_value()?;
                    if tensors.insert(name.clone(), entry).is_some() {
                        return Err(M::Error::custom(format_args!("tensor `{name}` is described twice")));
                    }
                }
                Ok(Entries(tensors))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open_bytes(bytes: &[u8]) -> Result<Header, LoadError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Header::open(file.path()).map(|(_, header)| header)
    }

    fn framed(json: &str, data_bytes: usize) -> Vec<u8> {
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend(json.as_bytes());
        bytes.resize(bytes.len() + data_bytes, 0);
        bytes
    }

    const GOOD: &str = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[],"data_offsets":[24,26]}}"#;

    #[test]
    fn a_good_header_is_read() {
        let header = open_bytes(&framed(GOOD, 26)).unwrap();
        assert_eq!(header.tensors.len(), 2);
        assert_eq!(header.data_start, 8 + GOOD.len() as u64);
    }

    #[test]
    fn each_lie_is_told_in_words() {
        let cases: &[(Vec<u8>, &str)] = &[
            (vec![], "it has 0 bytes"),
            (vec![1, 2, 3], "it has 3 bytes"),
            (framed(GOOD, 25), "describes 26 bytes of data, but 25 are there"),
            (framed(GOOD, 27), "describes 26 bytes of data, but 27 are there"),
            (u64::MAX.to_le_bytes().to_vec(), "beyond the format's limit"),
            (50_000_u64.to_le_bytes().to_vec(), "claims 50000 bytes, but only 0 follow"),
            (framed("hello there", 0), "does not begin with `{`"),
            (framed("{\"a\":", 0), "header is broken"),
            (framed(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, 12), "before it ends at 0"),
            (
                framed(
                    r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
                    12,
                ),
                "before it ends at 8",
            ),
            (
                framed(
                    r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
                    8,
                ),
                "described twice",
            ),
            (framed(r#"{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,8]}}"#, 8), "does not take the 8 bytes"),
            (
                framed(r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#, 0),
                "does not take the 0 bytes",
            ),
            (framed(r#"{"a":{"dtype":"Q4","shape":[8],"data_offsets":[0,8]}}"#, 8), "unknown type `Q4`"),
            (framed(r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}}"#, 8), "header is broken"),
        ];
        for (bytes, expected) in cases {
            let error = open_bytes(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "expected `{expected}` in `{error}`");
        }
    }

    #[test]
    fn pickles_are_refused_by_name_and_lookalikes_are_not() {
        for start in [&[0x80_u8, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9][..], b"PK\x03\x04\0\0\0\0\0\0"] {
            assert!(matches!(open_bytes(start), Err(LoadError::Pickle { .. })));
        }
        // A header of 0x0280 = 640 bytes begins with the two bytes of a pickle.
        let json = format!("{GOOD}{}", " ".repeat(640 - GOOD.len()));
        assert!(open_bytes(&framed(&json, 26)).is_ok());
    }

    proptest! {
        // Hostile bytes give an error or a header whose promises hold; never a panic.
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = open_bytes(&bytes);
        }

        #[test]
        fn mutated_headers_never_panic(at in 0_usize..200, to in any::<u8>(), cut in 0_usize..200) {
            let mut bytes = framed(GOOD, 26);
            let len = bytes.len();
            bytes[at % len] = to;
            bytes.truncate(len - cut % len);
            if let Ok(header) = open_bytes(&bytes) {
                for entry in header.tensors.values() {
                    prop_assert!(header.data_start + entry.data_offsets[1] <= bytes.len() as u64);
                }
            }
        }
    }
}
