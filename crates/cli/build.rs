//! Tells the program which revision of the source it was built from, for the manifest of its results.
//!
//! It runs again only when a source, or the commit that is checked out, has changed. Without git (a source archive) the revision is
//! "unknown", and nothing is built again for that.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the program is built from, below the root of the repository.
const SOURCES: [&str; 4] = ["crates", "Cargo.toml", "Cargo.lock", ".cargo"];

fn main() {
    let own = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let root = own.ancestors().nth(2).unwrap_or(&own);
    // a path that is not there would make every build run this again
    let watch = |path: &Path| {
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
        path.exists()
    };
    let sources = std::fs::read_dir(root.join("crates")).into_iter().flatten().flatten().map(|entry| entry.path());
    for part in sources.flat_map(|part| ["src", "assets", "Cargo.toml", "build.rs"].map(|name| part.join(name))) {
        watch(&part);
    }
    for file in &SOURCES[1..] {
        watch(&root.join(file));
    }
    let revision = git(root, &["rev-parse", "HEAD"]).filter(|_| is_of(root)).map(|commit| {
        let state = |name: &str| git(root, &["rev-parse", "--git-path", name]).map(|path| root.join(path));
        for name in ["HEAD", "packed-refs"] {
            state(name).map(|path| watch(&path));
        }
        // a commit moves the branch: its file, or, while it is packed, the folder where that will be
        if let Some(branch) = git(root, &["symbolic-ref", "--quiet", "HEAD"]) {
            let alone = state(&branch).is_some_and(|path| watch(&path));
            if !alone {
                state("refs/heads").map(|path| watch(&path));
            }
        }
        let status = ["--no-optional-locks", "status", "--porcelain", "--untracked-files=no", "--"];
        // a tree that cannot be read counts as changed
        let changed = git(root, &[&status[..], &SOURCES].concat()).is_none_or(|changes| !changes.is_empty());
        commit + if changed { "+changes" } else { "" }
    });
    println!("cargo::rustc-env=BIRTHMARK_REVISION={}", revision.as_deref().unwrap_or("unknown"));
}

/// What git says in `root`; `None` where there is no git, or no repository.
fn git(root: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git").current_dir(root).args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
}

/// Whether the repository around `root` is this one: an archive may have been unpacked inside another.
fn is_of(root: &Path) -> bool {
    let top = git(root, &["rev-parse", "--show-toplevel"]).and_then(|top| Path::new(&top).canonicalize().ok());
    top.is_some() && top == root.canonicalize().ok()
}
