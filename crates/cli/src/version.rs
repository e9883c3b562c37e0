//! What this program is, as `--version` and manifests say it.

/// Revision of the source that it was built from; ends in `+changes` where the source was not what that commit holds, and is `unknown`
/// where there was no git.
pub const REVISION: &str = env!("BIRTHMARK_REVISION");

/// Version and revision.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("BIRTHMARK_REVISION"), ")");
