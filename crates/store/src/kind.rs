//! What stands at a path where a file should be.

use std::fs::Metadata;
use std::io;
use std::path::Path;

/// What `metadata` is of, with its article: "a file", "a directory", "a named pipe" ...
pub fn kind_in_words(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_file() {
        return "a file";
    }
    if kind.is_dir() {
        return "a directory";
    }
    if kind.is_symlink() {
        return "a symbolic link";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a named pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
    }
    "a device"
}

/// Why no plain file can be read at `path`: what stands there instead, or that nothing does, in a lower-case fragment that names the path;
/// `None` where there is one.
pub fn why_no_file(path: &Path) -> Option<String> {
    let shown = path.display();
    not_a_file(path).map(|why| if why == ABSENT { format!("no file {shown}") } else { format!("{shown} {why}") })
}

const ABSENT: &str = "no such file";

/// The same without the path: "no such file", "is a named pipe, not a file" ...
pub fn not_a_file(path: &Path) -> Option<String> {
    let error = match std::fs::metadata(path) {
        Ok(metadata) => return (!metadata.is_file()).then(|| format!("is {}, not a file", kind_in_words(&metadata))),
        Err(error) => error,
    };
    let absent = error.kind() == io::ErrorKind::NotFound;
    Some(match std::fs::symlink_metadata(path) {
        Ok(link) if link.is_symlink() && absent => "is a symbolic link to nothing".to_string(),
        Ok(link) if link.is_symlink() => format!("is a symbolic link that cannot be followed ({error})"),
        _ if absent => ABSENT.to_string(),
        _ => format!("cannot be looked at: {error}"),
    })
}

/// Reads a plain file. Anything else is refused rather than waited for: a pipe may never end.
///
/// # Errors
/// When it is not there, not a plain file, or cannot be read; the error is of the kind `InvalidInput` for what is no file, and its words say
/// what it is.
pub fn read_plain(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {}, not a file", kind_in_words(&metadata))));
    }
    std::fs::read(path)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let (file, pipe) = (dir.path().join("file"), dir.path().join("pipe"));
        std::fs::write(&file, "x").unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(read_plain(&file).unwrap(), b"x");
        for (path, what) in [(pipe.as_path(), "a named pipe"), (dir.path(), "a directory"), (Path::new("/dev/null"), "a device")]
        {
            let error = read_plain(path).unwrap_err();
            assert!(error.kind() == io::ErrorKind::InvalidInput && error.to_string().contains(what), "{error}");
        }
        let (dangling, circle) = (dir.path().join("dangling"), dir.path().join("circle"));
        std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
        std::os::unix::fs::symlink("circle", &circle).unwrap();
        let none = dir.path().join("none");
        let cases = [
            (&pipe, "is a named pipe, not a file"),
            (&dangling, "is a symbolic link to nothing"),
            (&circle, "is a symbolic link that cannot be followed"),
            (&none, "no file "),
        ];
        for (path, what) in cases {
            let why = why_no_file(path).unwrap();
            assert!(why.contains(what) && why.contains(path.to_str().unwrap()), "{why}");
        }
        assert_eq!(why_no_file(&file), None);
        assert_eq!(read_plain(&dir.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
