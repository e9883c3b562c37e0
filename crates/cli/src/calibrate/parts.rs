//! Draws of `birthmark calibrate --marks` as they are made: a run that is stopped loses none of them.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use marks::MarkEntry;
use marks::testing::{Lab, NullText};
use store::{Hash, StoreError};

/// Draws of one part: few enough that a stopped run loses minutes, and many enough that what all keys share is made seldom.
pub const AT_A_TIME: u64 = 10_000;

/// Where parts are kept while the directory is made.
const KEPT: &str = "parts";

/// Parts of the directory that results go to, if there is one.
pub struct Parts {
    directory: Option<PathBuf>,
    /// Names the program: another may draw otherwise.
    program: String,
}

impl Parts {
    /// Parts below `out`.
    ///
    /// # Errors
    /// When the program itself cannot be read, or the directory not be made.
    pub fn of(out: Option<&Path>) -> anyhow::Result<Self> {
        let Some(out) = out else { return Ok(Self { directory: None, program: String::new() }) };
        let directory = out.join(KEPT);
        fs::create_dir_all(&directory).map_err(|error| StoreError::io(&directory, "create the directory", error))?;
        let (program, _) = store::sha256_file(&std::env::current_exe()?)?;
        Ok(Self { directory: Some(directory), program: program.short() })
    }

    /// log10 p of the tests number `draws` of `entry` on `text`, found or made; a rank is one among `decoys` keys.
    ///
    /// # Errors
    /// When a mark cannot be judged, or the part not be kept.
    pub fn draws(&self, entry: &MarkEntry, text: NullText, draws: Range<u64>, decoys: usize) -> anyhow::Result<Vec<f64>> {
        let Some(directory) = &self.directory else { return Ok(Lab::new(entry).null_draws(text, draws, decoys)?) };
        let named: Hash = store::hash_json(entry)?;
        let name = format!("{}-{}-{}-{}-{}.f64", self.program, named.short(), text.name(), draws.start, draws.end);
        let path = directory.join(name);
        if let Ok(bytes) = fs::read(&path) {
            return Ok(bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect());
        }
        let log10_p = Lab::new(entry).null_draws(text, draws, decoys)?;
        let bytes: Vec<u8> = log10_p.iter().flat_map(|p| p.to_le_bytes()).collect();
        store::write_atomic(&path, &bytes)?;
        Ok(log10_p)
    }

    /// Removes them: table and figure hold what they say.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub fn remove(&self) -> anyhow::Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        Ok(fs::remove_dir_all(directory).map_err(|error| StoreError::io(directory, "remove it", error))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_drawn_is_found_and_parts_are_the_whole() {
        let out = tempfile::tempdir().unwrap();
        let entry = MarkEntry::examples().remove(0);
        let parts = Parts::of(Some(out.path())).unwrap();
        let draw = |range| parts.draws(&entry, NullText::Plain, range, 0).unwrap();
        let (first, second) = (draw(0..6), draw(6..10));
        assert_eq!([&first[..], &second].concat(), Lab::new(&entry).null_draws(NullText::Plain, 0..10, 0).unwrap());
        // it is read again, not made again
        let kept: Vec<PathBuf> = fs::read_dir(out.path().join(KEPT)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(kept.len(), 2);
        kept.iter().for_each(|path| fs::write(path, 1.5f64.to_le_bytes()).unwrap());
        assert_eq!((draw(0..6), draw(6..10)), (vec![1.5], vec![1.5]));
        parts.remove().unwrap();
        assert!(!out.path().join(KEPT).exists());
    }
}
