//! What a file's name in the cache says about its content.

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The running checksum of a file, of the kind that its ETag is: the SHA-256 of large files (git LFS and Xet), git's SHA-1 of
/// small ones.
pub(super) enum Checksum {
    Sha256(Sha256),
    GitBlob(Sha1),
    /// An ETag of another make says nothing; then only the length is checked.
    Unknown,
}

impl Checksum {
    /// For a file of `bytes` bytes.
    pub(super) fn of(etag: &str, bytes: u64) -> Self {
        let is_hex = etag.bytes().all(|b| b.is_ascii_hexdigit());
        match etag.len() {
            64 if is_hex => Self::Sha256(Sha256::new()),
            40 if is_hex => Self::GitBlob(Sha1::new_with_prefix(format!("blob {bytes}\0"))),
            _ => Self::Unknown,
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::GitBlob(hasher) => hasher.update(bytes),
            Self::Unknown => {}
        }
    }

    /// In words how the content differs from what `etag` promises; `None` when it does not.
    pub(super) fn difference(self, etag: &str) -> Option<String> {
        let (kind, found) = match self {
            Self::Sha256(hasher) => ("SHA-256", hex(&hasher.finalize())),
            Self::GitBlob(hasher) => ("git SHA-1", hex(&hasher.finalize())),
            Self::Unknown => return None,
        };
        (!found.eq_ignore_ascii_case(etag)).then(|| format!("its {kind} is {found} and should be {etag}"))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_agree_with_known_values() {
        // `printf hello | git hash-object --stdin` and `printf hello | sha256sum`
        let git = "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0";
        let sha = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        for etag in [git, sha] {
            let mut checksum = Checksum::of(etag, 5);
            checksum.update(b"hel");
            checksum.update(b"lo");
            assert_eq!(checksum.difference(etag), None);
            let mut other = Checksum::of(etag, 5);
            other.update(b"jello");
            assert!(other.difference(etag).unwrap().contains(etag));
        }
        assert_eq!(Checksum::of("0x8D-azure", 5).difference("0x8D-azure"), None);
    }
}
