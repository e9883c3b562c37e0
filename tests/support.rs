//! Running the binary, and finding one's way around the repository.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository is where it was built")
}

/// What a run of the binary left behind.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Panics with everything that was printed unless the exit code is `code`.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// A refusal: exit code 2, and a message with every one of `parts`, no panic, nothing on stdout.
    #[track_caller]
    pub fn refused_with(self, parts: &[&str]) {
        let ran = self.expect_code(2);
        for part in parts {
            assert!(ran.stderr.contains(part), "no `{part}` in:\n{}", ran.stderr);
        }
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        assert_eq!(ran.stdout, "", "a refusal prints no result");
    }
}

/// `birthmark ARGS`, in the directory `at`.
pub fn birthmark_at<S: AsRef<std::ffi::OsStr>>(at: &Path, args: &[S]) -> Ran {
    Ran::of(command(at).args(args).output().expect("the binary starts"))
}

/// `birthmark ARGS`, in the root of the repository.
pub fn birthmark<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Ran {
    birthmark_at(&root(), args)
}

/// The binary, not yet started, in the directory `at`.
pub fn command(at: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_birthmark"));
    command.current_dir(at);
    command
}

/// `../shared` beside the repository, or `None` after saying that the test is skipped.
pub fn shared(test: &str) -> Option<PathBuf> {
    let shared = root().join("../shared");
    if shared.join("models").is_dir() {
        return Some(shared);
    }
    println!("skipped {test}: ../shared is absent");
    None
}
