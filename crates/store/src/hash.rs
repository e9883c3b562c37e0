use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::{StoreError, canonical_json};

/// A SHA-256 digest; written as 64 lower-case hexadecimal digits everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// All 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.to_string()
    }

    /// The first 8 hexadecimal digits: for names that people read.
    pub fn short(&self) -> String {
        self.hex()[..8].to_string()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.as_bytes();
        let wrong = || format!("`{text}` is not a SHA-256 in 64 lower-case hexadecimal digits");
        if digits.len() != 64 || !digits.iter().all(|d| matches!(d, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// SHA-256 of `bytes`.
pub fn hash_bytes(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest(bytes).into())
}

/// SHA-256 of the canonical JSON of `value`: equal for equal values, whatever the order of their maps.
///
/// # Errors
/// As [`canonical_json`].
pub fn hash_json(value: &impl Serialize) -> Result<Hash, StoreError> {
    Ok(hash_bytes(&canonical_json(value)?))
}

/// SHA-256 and length in bytes of a file, read in pieces.
///
/// # Errors
/// When the file cannot be read.
pub fn sha256_file(path: &Path) -> Result<(Hash, u64), StoreError> {
    let wrong = |source| StoreError::io(path, "read it", source);
    sha256_of(File::open(path).map_err(wrong)?).map_err(wrong)
}

/// SHA-256 and length in bytes of what `from` gives, read in pieces.
pub(crate) fn sha256_of(mut from: impl Read) -> io::Result<(Hash, u64)> {
    let mut digest = Sha256::new();
    let mut bytes = 0;
    let mut piece = vec![0; 1 << 16];
    loop {
        let n = from.read(&mut piece)?;
        if n == 0 {
            return Ok((Hash(digest.finalize().into()), bytes));
        }
        digest.update(&piece[..n]);
        bytes += n as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_meet_the_published_vectors() {
        // FIPS 180-2, appendix B.1, and the empty message
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hash_bytes(b"abc").hex(), abc);
        assert_eq!(hash_bytes(b"").hex(), empty);
        assert_eq!(hash_bytes(b"abc").short(), "ba7816bf");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"abc").unwrap();
        assert_eq!(sha256_file(&path).unwrap(), (abc.parse().unwrap(), 3));
    }

    #[test]
    fn hex_round_trips_and_anything_else_is_refused() {
        let hash = hash_bytes(b"x");
        assert_eq!(hash.hex().parse::<Hash>().unwrap(), hash);
        assert_eq!(serde_json::from_str::<Hash>(&serde_json::to_string(&hash).unwrap()).unwrap(), hash);
        for wrong in ["", "ab", &"g".repeat(64), &"A".repeat(64), &format!("+{}", "0".repeat(63))] {
            assert!(wrong.parse::<Hash>().is_err(), "{wrong}");
        }
    }
}
