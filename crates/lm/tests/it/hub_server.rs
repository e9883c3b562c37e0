//! A small server on the loopback that speaks the file routes of a model hub, for the tests of `lm` and of the binary.
//!
//! Small files are redirected within the server, large ones (`.safetensors`) to a second origin, as the real hub does.
#![allow(dead_code, reason = "two test binaries use this file, each a part of it")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha1::{Digest, Sha1};
use sha2::Sha256;

/// The only repository there is, and how the server treats whoever asks for it.
#[derive(Debug, Clone, Default)]
pub struct Repository {
    /// `org/name`.
    pub name: String,
    /// What `main` and `v1` are.
    pub commit: String,
    /// Names and contents.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Whoever does not show it is refused every file.
    pub token: Option<String>,
    /// Answer everything with this status.
    pub status: Option<u16>,
    /// Close the connection after so many bytes of a large file ...
    pub cut_after: usize,
    /// ... so many times.
    pub cuts: usize,
    /// Flip a bit in so many large files.
    pub corrupt: usize,
    /// Answer with the whole file whatever was asked for.
    pub no_ranges: bool,
    /// Send large files in small pieces, with a pause of so many milliseconds before each.
    pub pause_ms: u64,
}

impl Repository {
    /// The files of a directory under a made-up commit.
    pub fn of(name: &str, directory: &Path) -> Self {
        let mut files = BTreeMap::new();
        for path in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            files.insert(path.file_name().unwrap().to_str().unwrap().to_string(), std::fs::read(&path).unwrap());
        }
        files.insert(".gitattributes".into(), b"*.safetensors filter=lfs\n".to_vec());
        Self { name: name.into(), commit: "0123456789abcdef0123456789abcdef01234567".into(), files, ..Self::default() }
    }
}

/// The name that the hub gives a content: SHA-256 of large files, git's SHA-1 of small ones.
pub fn etag(file: &str, content: &[u8]) -> String {
    if is_large(file) {
        return hex(&Sha256::digest(content));
    }
    let mut git = Sha1::new_with_prefix(format!("blob {}\0", content.len()));
    git.update(content);
    hex(&git.finalize())
}

fn is_large(file: &str) -> bool {
    file.ends_with(".safetensors")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A running server; it stops when dropped.
#[derive(Debug)]
pub struct HubServer {
    /// Change it to make the server behave otherwise.
    pub repository: Arc<Mutex<Repository>>,
    log: Arc<Mutex<Vec<String>>>,
    addresses: [SocketAddr; 2],
    stopped: Arc<AtomicBool>,
}

impl HubServer {
    pub fn start(repository: Repository) -> Self {
        let listeners = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
        let addresses = [listeners[0].local_addr().unwrap(), listeners[1].local_addr().unwrap()];
        let server =
            Self { repository: Arc::new(Mutex::new(repository)), log: Arc::default(), addresses, stopped: Arc::default() };
        for (listener, is_content) in listeners.into_iter().zip([false, true]) {
            let (repository, log, stopped) = (server.repository.clone(), server.log.clone(), server.stopped.clone());
            let content = format!("http://{}", addresses[1]);
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let (repository, log, content) = (repository.clone(), log.clone(), content.clone());
                    // whoever hangs up in the middle has a reason, which the test knows
                    std::thread::spawn(move || {
                        Connection { stream, repository, log, content, is_content }.serve().unwrap_or_default()
                    });
                }
            });
        }
        server
    }

    /// What `HF_ENDPOINT` is set to.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addresses[0])
    }

    /// Every request since the last call: method, path, first byte asked for if not 0.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }

    pub fn change(&self, change: impl FnOnce(&mut Repository)) {
        change(&mut self.repository.lock().unwrap());
    }
}

impl Drop for HubServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        for address in self.addresses {
            let _ = TcpStream::connect(address);
        }
    }
}

struct Connection {
    stream: TcpStream,
    repository: Arc<Mutex<Repository>>,
    log: Arc<Mutex<Vec<String>>>,
    /// Origin of large files.
    content: String,
    /// Whether this is that origin.
    is_content: bool,
}

impl Connection {
    /// One request, one answer.
    fn serve(mut self) -> std::io::Result<()> {
        let mut lines = BufReader::new(self.stream.try_clone()?).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        let mut headers = BTreeMap::new();
        for line in lines {
            let line = line?;
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_string());
        }
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap_or_default().to_string(), words.next().unwrap_or_default().to_string());
        let from: usize =
            headers.get("range").map_or(0, |range| range.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap());
        let mut said = format!("{method} {path}");
        if from > 0 {
            let _ = write!(said, " from {from}");
        }
        self.log.lock().unwrap().push(said);
        let repository = self.repository.lock().unwrap().clone();
        let head = method == "HEAD";
        if let Some(status) = repository.status {
            return self.answer(status, &[], b"", head);
        }
        let shown = headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if self.is_content {
            assert_eq!(shown, None, "the token is not for the place where contents lie");
            return self.content(&repository, path.trim_start_matches('/'), from);
        }
        // what a gated model consists of is public
        let is_public = path.starts_with("/api/models/");
        if !is_public && repository.token.as_deref().is_some_and(|token| shown != Some(token)) {
            return self.answer(401, &[("X-Error-Code", "GatedRepo")], b"Access is restricted.", head);
        }
        self.route(&repository, &path, head)
    }

    fn route(&mut self, repository: &Repository, path: &str, head: bool) -> std::io::Result<()> {
        let missing = |code| [("X-Error-Code", code)];
        let (name, commit) = (&repository.name, repository.commit.as_str());
        let knows = |revision: &str| ["main", "v1", commit].contains(&revision);
        if let Some(revision) = path.strip_prefix(&format!("/api/models/{name}/revision/")) {
            if !knows(revision) {
                return self.answer(404, &missing("RevisionNotFound"), b"", head);
            }
            let siblings: Vec<_> = repository.files.keys().map(|file| serde_json::json!({ "rfilename": file })).collect();
            let info = serde_json::json!({ "id": name, "sha": commit, "siblings": siblings });
            return self.answer(200, &[], info.to_string().as_bytes(), head);
        }
        let inside = format!("/api/resolve-cache/models/{name}/{commit}/");
        let (file, is_inside) = match (path.strip_prefix(&inside), path.strip_prefix(&format!("/{name}/resolve/"))) {
            (Some(file), _) => (file, true),
            (None, Some(rest)) => match rest.split_once('/').filter(|(revision, _)| knows(revision)) {
                Some((_, file)) => (file, false),
                None => return self.answer(404, &missing("RevisionNotFound"), b"", head),
            },
            (None, None) => return self.answer(404, &missing("RepoNotFound"), b"", head),
        };
        let Some(content) = repository.files.get(file) else {
            return self.answer(404, &missing("EntryNotFound"), b"", head);
        };
        let (tag, length) = (etag(file, content), content.len().to_string());
        let quoted = format!("\"{tag}\"");
        if is_inside {
            return self.answer(200, &[("ETag", &quoted), ("X-Repo-Commit", commit)], content, head);
        }
        if is_large(file) {
            let location = format!("{}/{tag}", self.content);
            let linked = [("X-Linked-Etag", quoted.as_str()), ("X-Linked-Size", &length)];
            let headers =
                [("Location", location.as_str()), ("X-Repo-Commit", commit), ("ETag", "\"of-a-pointer\""), linked[0], linked[1]];
            return self.answer(302, &headers, b"Found. Redirecting", head);
        }
        let location = format!("{inside}{file}");
        self.answer(307, &[("Location", &location), ("X-Repo-Commit", commit)], b"Temporary Redirect", head)
    }

    /// The large file of this name, with every trouble that is due.
    fn content(&mut self, repository: &Repository, tag: &str, from: usize) -> std::io::Result<()> {
        let whole =
            repository.files.iter().find(|(file, content)| etag(file, content) == tag).map(|(_, content)| content.clone());
        let Some(mut whole) = whole else { return self.answer(404, &[], b"", false) };
        let (mut cut, from) = (false, if repository.no_ranges { 0 } else { from });
        {
            let mut shared = self.repository.lock().unwrap();
            if shared.corrupt > 0 {
                shared.corrupt -= 1;
                *whole.last_mut().unwrap() ^= 1;
            }
            if shared.cuts > 0 {
                shared.cuts -= 1;
                cut = true;
            }
        }
        if from >= whole.len() {
            return self.answer(416, &[], b"", false);
        }
        let part = &whole[from..];
        let range = format!("Content-Range: bytes {from}-{}/{}\r\n", whole.len() - 1, whole.len());
        let (status, range) = if from > 0 { ("206 Partial Content", range.as_str()) } else { ("200 OK", "") };
        let length = part.len();
        write!(self.stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{range}Connection: close\r\n\r\n")?;
        let sent = if cut { &part[..repository.cut_after.min(length)] } else { part };
        let piece = if repository.pause_ms > 0 { 512 } else { usize::MAX };
        for piece in sent.chunks(piece.min(sent.len().max(1))) {
            if repository.pause_ms > 0 {
                std::thread::sleep(Duration::from_millis(repository.pause_ms));
            }
            self.stream.write_all(piece)?;
        }
        self.stream.flush()
    }

    fn answer(&mut self, status: u16, headers: &[(&str, &str)], body: &[u8], head: bool) -> std::io::Result<()> {
        write!(self.stream, "HTTP/1.1 {status} Status\r\nContent-Length: {}\r\nConnection: close\r\n", body.len())?;
        for (name, value) in headers {
            write!(self.stream, "{name}: {value}\r\n")?;
        }
        write!(self.stream, "\r\n")?;
        self.stream.write_all(if head { b"" } else { body })?;
        self.stream.flush()
    }
}
