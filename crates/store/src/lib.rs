//! Artifacts by hash: canonical JSON, SHA-256, manifests, atomic writes, locks.
//!
//! A directory is finished when its manifest is there and every file in it has the size and SHA-256 the manifest
//! says; nothing else (a record, a file name, a time stamp) is taken as a sign that work is done. Work happens in a
//! directory beside the final one and is renamed into place, under a lock that the operating system frees when its
//! holder dies: whoever holds the lock may therefore remove what an earlier holder left behind.

mod artifact;
mod atomic;
mod canonical;
mod error;
mod finite;
mod hash;
mod journal;
mod key;
mod kind;
mod making;
mod manifest;
mod own;
mod place;
mod plain;
mod stamp;
mod store;
mod verify;
mod watch;

pub use artifact::{Artifact, Found};
pub use atomic::{remove_temporaries, write_atomic};
pub use canonical::canonical_json;
pub use error::{StoreError, Trouble, trouble};
pub use hash::{Hash, hash_bytes, hash_json, sha256_file};
pub use journal::Journal;
pub use key::Key;
pub use kind::{kind_in_words, not_a_file, read_plain, why_no_file};
pub use making::{Claim, Making};
pub use manifest::{FileEntry, MANIFEST_FORMAT, Manifest};
pub use plain::{is_unshowable, plain};
pub use stamp::Seen;
pub use store::Store;
