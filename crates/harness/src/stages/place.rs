use std::path::Path;

use store::Artifact;

/// The directory of `artifact` below the artifacts, `kind/hash`: the same on every machine.
pub fn place_of(artifact: &Artifact) -> String {
    let kind = artifact.path().parent().and_then(Path::file_name).unwrap_or_default();
    format!("{}/{}", kind.to_string_lossy(), artifact.hash().hex())
}
