//! One file from the server into the cache: resumed, checked, and visible only when whole.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::cache::{Folder, make_parent};
use super::checksum::Checksum;
use super::server::{FileMeta, Server, Stream};
use super::{HubError, HubEvent, ModelName};

/// Connections in a row that may bring nothing before the download is given up for now.
const FRUITLESS: u32 = 3;
/// Wait before the first of them is made again; doubled each time.
const PAUSE: Duration = Duration::from_millis(250);
const BUFFER: usize = 1 << 17;

/// What downloads have in common.
pub(super) struct Downloads<'a> {
    pub(super) server: &'a Server,
    pub(super) folder: &'a Folder,
    pub(super) name: &'a ModelName,
    pub(super) commit: &'a str,
    pub(super) progress: &'a mut dyn FnMut(HubEvent<'_>),
    pub(super) cancelled: &'a AtomicBool,
}

/// How an attempt at a file ended.
enum Attempt {
    /// Everything came.
    Whole(Checksum),
    /// The server's file is not as long as it said.
    OtherLength(String),
}

impl Downloads<'_> {
    /// Bytes of a file that need not come any more.
    pub(super) fn here(&self, file: &str, meta: &FileMeta) -> u64 {
        let whole = |path: &Path| path.is_file();
        if whole(&self.folder.snapshot(self.commit).join(file)) || whole(&self.folder.blob(&meta.etag)) {
            return meta.bytes;
        }
        let part = fs::metadata(self.folder.incomplete(&meta.etag)).map_or(0, |part| part.len());
        if part > meta.bytes { 0 } else { part }
    }

    /// Brings a file into the snapshot, unless it is there.
    pub(super) fn file(&mut self, file: &str, meta: &FileMeta) -> Result<(), HubError> {
        if self.folder.snapshot(self.commit).join(file).is_file() {
            return Ok(());
        }
        self.go_on()?;
        let notice = format!("{}: another process is fetching {file}; waiting for it", self.name);
        let _lock = self.folder.lock(&meta.etag, self.cancelled, || (self.progress)(HubEvent::Notice(&notice)))?;
        let blob = self.folder.blob(&meta.etag);
        // whoever held the lock may have brought it
        if !blob.is_file() {
            make_parent(&blob)?;
            self.receive(file, meta, &blob)?;
        }
        self.folder.link(self.commit, file, &meta.etag)
    }

    fn go_on(&self) -> Result<(), HubError> {
        if self.cancelled.load(Ordering::Relaxed) { Err(HubError::Cancelled(self.name.clone())) } else { Ok(()) }
    }

    /// Under the blob's lock: fetches, checks, puts in place. What came damaged is removed and fetched once more.
    fn receive(&mut self, file: &str, meta: &FileMeta, blob: &Path) -> Result<(), HubError> {
        let part = self.folder.incomplete(&meta.etag);
        let mut damaged = false;
        loop {
            let why = match self.fill(file, meta, &part)? {
                Attempt::Whole(checksum) => checksum.difference(&meta.etag),
                Attempt::OtherLength(why) => Some(why),
            };
            let Some(why) = why else { break };
            remove(&part)?;
            if damaged {
                return Err(HubError::Damaged { name: self.name.clone(), file: file.into(), why });
            }
            damaged = true;
            (self.progress)(HubEvent::Notice(&format!("{}: {file} came damaged ({why}); fetching it again", self.name)));
        }
        let synced = File::open(&part).and_then(|part| part.sync_all());
        synced.map_err(HubError::io(&part, "write it to the disk"))?;
        fs::rename(&part, blob).map_err(HubError::io(blob, "put it in place"))
    }

    /// Appends to the partial file until it has all its bytes; a connection that breaks is made again.
    fn fill(&mut self, file: &str, meta: &FileMeta, part: &Path) -> Result<Attempt, HubError> {
        let (mut checksum, mut here) = taken_up(part, meta)?;
        if here == 0 {
            // also of an empty file something must be there to put in place
            File::create(part).map_err(HubError::io(part, "make it"))?;
        }
        let mut fruitless = 0;
        while here < meta.bytes {
            self.go_on()?;
            let why = match self.server.content(self.commit, file, here) {
                Ok(None) => return Ok(Attempt::OtherLength(format!("it ends before byte {here} of {}", meta.bytes))),
                Ok(Some(stream)) => {
                    let before = here;
                    let broke = self.append(stream, meta, part, &mut checksum, &mut here)?;
                    if here > meta.bytes {
                        return Ok(Attempt::OtherLength(format!("it has more than the {} bytes announced", meta.bytes)));
                    }
                    if here > before {
                        fruitless = 0;
                    }
                    broke
                }
                Err(HubError::Unreachable { why, .. }) => why,
                Err(error) => return Err(error),
            };
            if here == meta.bytes {
                break;
            }
            fruitless += 1;
            if fruitless > FRUITLESS {
                let (name, file) = (self.name.clone(), file.to_string());
                return Err(HubError::Interrupted { name, file, here, bytes: meta.bytes, why });
            }
            self.pause(PAUSE * (1 << (fruitless - 1)))?;
        }
        Ok(Attempt::Whole(checksum))
    }

    /// Appends what a connection brings beyond `here`; returns why it ended. A server that cannot begin in the middle brings the beginning
    /// again: that is passed over, so that what is here never shrinks and only new bytes count as progress.
    fn append(
        &mut self,
        mut stream: Stream,
        meta: &FileMeta,
        part: &Path,
        checksum: &mut Checksum,
        here: &mut u64,
    ) -> Result<String, HubError> {
        let write = "write to it";
        let mut to = File::options().create(true).append(true).open(part).map_err(HubError::io(part, write))?;
        let mut buffer = vec![0; BUFFER];
        let mut known = here.saturating_sub(stream.from);
        while *here <= meta.bytes {
            self.go_on()?;
            let n = match stream.body.read(&mut buffer) {
                Ok(0) => return Ok("the connection was closed".into()),
                Ok(n) => n,
                Err(error) => return Ok(error.to_string()),
            };
            let passed = known.min(n as u64);
            known -= passed;
            let new = &buffer[passed as usize..n];
            to.write_all(new).map_err(HubError::io(part, write))?;
            checksum.update(new);
            *here += new.len() as u64;
            (self.progress)(HubEvent::Received(new.len() as u64));
        }
        Ok(String::new())
    }

    /// Waits in short naps, so that a cancellation is not kept waiting.
    fn pause(&self, time: Duration) -> Result<(), HubError> {
        let nap = Duration::from_millis(50);
        for _ in 0..time.as_millis() / nap.as_millis() {
            self.go_on()?;
            std::thread::sleep(nap);
        }
        Ok(())
    }
}

/// The checksum so far and the length of what an earlier process left.
fn taken_up(part: &Path, meta: &FileMeta) -> Result<(Checksum, u64), HubError> {
    let mut checksum = Checksum::of(&meta.etag, meta.bytes);
    // something else than a file of ours would be appended to where it leads
    if fs::symlink_metadata(part).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        remove(part)?;
    }
    let mut from = match File::open(part) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((checksum, 0)),
        Err(error) => return Err(HubError::io(part, "read it")(error)),
    };
    let mut buffer = vec![0; BUFFER];
    let mut here = 0;
    loop {
        let n = from.read(&mut buffer).map_err(HubError::io(part, "read it"))?;
        if n == 0 {
            break;
        }
        checksum.update(&buffer[..n]);
        here += n as u64;
    }
    if here > meta.bytes {
        remove(part)?;
        return Ok((Checksum::of(&meta.etag, meta.bytes), 0));
    }
    Ok((checksum, here))
}

fn remove(path: &Path) -> Result<(), HubError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(HubError::io(path, "remove it")(error)),
        _ => Ok(()),
    }
}
