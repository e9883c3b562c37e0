//! The owner's secret, and the keys that derive from it.
//!
//! Below this module only labels are named: a key is HMAC-SHA256 of a label and a seed under the secret, so knowing one
//! key tells nothing of another, and what is written (records, hashes, artifacts) carries a commitment alone.

use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// The salt of commitments when the owner gives none.
const DEFAULT_SALT: &str = "birthmark";

/// The owner's secret. It has no readable debug form and no serialised form.
#[derive(Clone)]
pub struct OwnerSecret {
    bytes: Vec<u8>,
    salt: String,
    public: bool,
}

impl std::fmt::Debug for OwnerSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OwnerSecret(commitment {})", self.commitment())
    }
}

impl OwnerSecret {
    /// A secret written in the experiment file itself: whoever reads the file knows it.
    pub fn public(text: &str, salt: Option<&str>) -> Self {
        Self { bytes: text.as_bytes().to_vec(), salt: salt.unwrap_or(DEFAULT_SALT).to_string(), public: true }
    }

    /// A secret from a file of its own; a trailing line end is not part of it.
    ///
    /// # Errors
    /// As (what, remedy): when the file cannot be read, is empty, or can be read by others than its owner.
    pub fn from_file(path: &Path, salt: Option<&str>) -> Result<Self, (String, String)> {
        let shown = path.display();
        let unreadable =
            |error: std::io::Error| (format!("cannot read {shown}: {error}"), "name a file that holds the secret".into());
        // before its mode is spoken of: nobody should change that of a directory for this
        if let Some(why) = store::why_no_file(path) {
            return Err((why, "name a file that holds the secret".into()));
        }
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = metadata.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err((format!("others can read {shown} (mode {mode:o})"), format!("run: chmod 600 {shown}")));
            }
        }
        let mut bytes = std::fs::read(path).map_err(unreadable)?;
        while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            bytes.pop();
        }
        if bytes.is_empty() {
            return Err((format!("{shown} is empty"), "write the secret into it".into()));
        }
        Ok(Self { bytes, salt: salt.unwrap_or(DEFAULT_SALT).to_string(), public: false })
    }

    /// `text` with `instead` in every place where the secret itself stands.
    pub fn hidden_in(&self, text: &str, instead: &str) -> String {
        match std::str::from_utf8(&self.bytes) {
            Ok(secret) if !secret.is_empty() => text.replace(secret, instead),
            _ => text.to_string(),
        }
    }

    /// The salt of its commitment, unless that is the usual one.
    pub fn salt(&self) -> Option<&str> {
        Some(self.salt.as_str()).filter(|&salt| salt != DEFAULT_SALT)
    }

    /// Whether the secret is written in the experiment file.
    pub fn is_public(&self) -> bool {
        self.public
    }

    /// The key of `label` in the repetition `seed`: HMAC-SHA256(secret, version || len(label) || label || seed).
    pub fn derive(&self, label: &str, seed: u64) -> marks::Key {
        #[expect(clippy::unwrap_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.bytes).unwrap();
        mac.update(b"birthmark key 1");
        mac.update(&(label.len() as u64).to_le_bytes());
        mac.update(label.as_bytes());
        mac.update(&seed.to_le_bytes());
        let name = format!("{label} of {}, seed {seed}", self.commitment());
        marks::Key::new(mac.finalize().into_bytes().into(), name)
    }

    /// The key of the mark called `name` in the repetition `seed`: a mark called as its kind has the key that the kind had before marks had
    /// names.
    pub fn key_of_mark(&self, name: &str, info: &marks::MarkInfo, seed: u64) -> marks::Key {
        let label = if name == info.name { info.key_label.to_string() } else { format!("{} {name}", info.key_label) };
        self.derive(&label, seed)
    }

    /// SHA-256 of the salt's length, the salt and the secret, in hexadecimal: proves later that this secret was fixed
    /// when the results were written. A secret that can be guessed can be found from it.
    pub fn commitment(&self) -> String {
        let mut digest = Sha256::new();
        digest.update((self.salt.len() as u64).to_le_bytes());
        digest.update(self.salt.as_bytes());
        digest.update(&self.bytes);
        store::Hash(digest.finalize().into()).hex()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_depend_on_secret_label_and_seed() {
        let secret = OwnerSecret::public("a", None);
        let key = |secret: &OwnerSecret, label: &str, seed| *secret.derive(label, seed).bytes();
        let base = key(&secret, "watermark", 1);
        assert_eq!(base, key(&secret, "watermark", 1));
        assert_ne!(base, key(&secret, "watermark", 2));
        assert_ne!(base, key(&secret, "canary", 1));
        assert_ne!(base, key(&OwnerSecret::public("b", None), "watermark", 1));
        assert_eq!(base, key(&OwnerSecret::public("a", Some("other salt")), "watermark", 1));
    }

    #[test]
    fn the_commitment_hides_the_secret_and_depends_on_the_salt() {
        let secret = OwnerSecret::public("hunter2", None);
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert_eq!(secret.commitment().len(), 64);
        assert_ne!(secret.commitment(), OwnerSecret::public("hunter2", Some("x")).commitment());
        // the length in front keeps salt and secret apart
        assert_ne!(OwnerSecret::public("bc", Some("a")).commitment(), OwnerSecret::public("c", Some("ab")).commitment());
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_file_must_be_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "s3cret\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let (what, remedy) = OwnerSecret::from_file(&path, None).unwrap_err();
        assert!(what.contains("mode 644") && remedy.contains("chmod 600"), "{what}; {remedy}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let secret = OwnerSecret::from_file(&path, None).unwrap();
        assert_eq!(secret.commitment(), OwnerSecret::public("s3cret", None).commitment());
        std::fs::write(&path, "\n").unwrap();
        assert!(OwnerSecret::from_file(&path, None).unwrap_err().0.contains("is empty"));
        // nobody is told to change the mode of what is no file
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::fs::set_permissions(&pipe, std::fs::Permissions::from_mode(0o666)).unwrap();
        for (path, kind) in [(Path::new("/tmp"), "a directory"), (&pipe, "a named pipe"), (Path::new("/dev/null"), "a device")] {
            let (what, remedy) = OwnerSecret::from_file(path, None).unwrap_err();
            assert!(what.contains(kind) && remedy == "name a file that holds the secret", "{what}; {remedy}");
        }
    }
}
