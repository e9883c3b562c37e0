//! Programs from outside that define marks: started, asked line by line, and ended.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use marks::{Launcher, MarkError, Program};
use oracle::OracleError;
use serde_json::Value;

/// Longest line that a program may answer, bytes.
const LONGEST_LINE: u64 = 64 << 20;

/// How often a wait looks whether the work was stopped.
const LOOK: Duration = Duration::from_millis(100);

/// How long a program that closed its output may take to end, so that its exit code is known.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Most characters of an answer that an error shows.
const SHOWN: usize = 60;

/// Starts the programs of one mark.
pub struct Programs<'a> {
    /// Name of the mark in the experiment.
    pub mark: &'a str,
    /// Where programs run and their relative paths start.
    pub root: &'a Path,
    /// Names the content of the mark's files.
    pub identity: String,
    /// Raised to stop.
    pub cancelled: &'a Arc<AtomicBool>,
}

impl Launcher for Programs<'_> {
    fn launch(&self, command: &[String], timeout: Duration) -> Result<Arc<dyn Program>, MarkError> {
        let who = format!("mark `{}`: the program `{}`", self.mark, command.join(" "));
        let Some((program, arguments)) = command.split_first() else {
            return Err(MarkError::Program(format!("{who} has no name; write one in `marks.{}`", self.mark)));
        };
        let root = if self.root.as_os_str().is_empty() { Path::new(".") } else { self.root };
        // a path is looked up where the program will run; a bare name is left to PATH
        let local = Some(root.join(program)).filter(|path| path.is_file()).and_then(|path| path.canonicalize().ok());
        let mut start = Command::new(local.unwrap_or_else(|| PathBuf::from(program)));
        start.args(arguments).current_dir(root).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        // a signal from the terminal is for us; the program ends when we are done with it
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut start, 0);
        let failed = |why: String| {
            let instead = "install it, or name another in `command` (relative paths start beside the `experiments` folder)";
            MarkError::Program(format!("{who} cannot be started: {why}; {instead}"))
        };
        let mut child = start.spawn().map_err(|error| failed(error.to_string()))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed("it has no pipes".into()));
        };
        let (requests, to_write) = channel();
        let (read, answers) = sync_channel(1);
        std::thread::spawn(move || write_lines(stdin, &to_write));
        std::thread::spawn(move || read_lines(stdout, &read));
        let pipe = Mutex::new(Pipe { child, requests, answers, broken: None });
        Ok(Arc::new(Running { who, identity: self.identity.clone(), timeout, cancelled: self.cancelled.clone(), pipe }))
    }
}

/// Writes whole lines until there are no more, or nobody reads.
fn write_lines(mut to: impl Write, lines: &Receiver<Vec<u8>>) {
    while let Ok(line) = lines.recv() {
        if to.write_all(&line).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}

/// What a program's output gave.
enum Line {
    Whole(Vec<u8>),
    TooLong,
    End,
}

/// Reads lines of bounded length, no further than one ahead of whoever receives them.
fn read_lines(from: impl Read, lines: &SyncSender<Line>) {
    let mut from = BufReader::new(from);
    loop {
        let mut bytes = Vec::new();
        let line = match (&mut from).take(LONGEST_LINE + 1).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => Line::End,
            Ok(length) if length as u64 > LONGEST_LINE => Line::TooLong,
            Ok(_) => Line::Whole(bytes),
        };
        let last = !matches!(line, Line::Whole(_));
        if lines.send(line).is_err() || last {
            return;
        }
    }
}

struct Running {
    /// Mark and command, for errors.
    who: String,
    identity: String,
    timeout: Duration,
    cancelled: Arc<AtomicBool>,
    pipe: Mutex<Pipe>,
}

struct Pipe {
    child: Child,
    requests: Sender<Vec<u8>>,
    answers: Receiver<Line>,
    /// Why nothing more can be asked.
    broken: Option<String>,
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program for Running {
    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn ask(&self, request: &Value) -> Result<Value, MarkError> {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(broken) = &pipe.broken {
            return Err(MarkError::Program(broken.clone()));
        }
        let answer = self.answer(&mut pipe, request);
        if let Err(MarkError::Program(why)) = &answer {
            pipe.broken = Some(why.clone());
        }
        answer
    }

    fn refusal(&self, what: &str, instead: &str) -> MarkError {
        MarkError::Program(format!("{} {what}; {instead}", self.who))
    }
}

impl Running {
    fn answer(&self, pipe: &mut Pipe, request: &Value) -> Result<Value, MarkError> {
        let asked = request.get("ask").and_then(Value::as_str).unwrap_or("a request");
        let mut line = request.to_string().into_bytes();
        line.push(b'\n');
        // a writer that is gone had nobody to write to: the answer below says why
        let _ = pipe.requests.send(line);
        let started = Instant::now();
        let line = loop {
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(MarkError::Oracle(OracleError::Cancelled));
            }
            let left = self.timeout.saturating_sub(started.elapsed());
            match pipe.answers.recv_timeout(left.min(LOOK)) {
                Ok(line) => break line,
                Err(RecvTimeoutError::Disconnected) => break Line::End,
                Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                    let what = format!("did not answer `{asked}` within {} s", self.timeout.as_secs());
                    let instead = "have it flush each answer, make it faster, or raise `timeout_seconds`";
                    return Err(self.refusal(&what, instead));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::TooLong => {
                let what = format!("answered `{asked}` with a line of more than {} MiB", LONGEST_LINE >> 20);
                return Err(self.refusal(&what, "end each answer with a line feed, and say sets as a bitmap"));
            }
            Line::End => {
                let what = format!("ended{} instead of answering `{asked}`", exit(&mut pipe.child));
                return Err(self.refusal(&what, "what it wrote to standard error, if it wrote anything, stands above"));
            }
        };
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(answer) if answer.is_object() => Ok(answer),
            _ => {
                let what = format!("answered `{asked}` with `{}`, which is no JSON object", shortened(&bytes));
                let instead = "print one JSON object a line (no NaN, no Infinity), and anything else to standard error";
                Err(self.refusal(&what, instead))
            }
        }
    }
}

/// How a program ended, if it did within a moment: ` (exit status: 1)`.
fn exit(child: &mut Child) -> String {
    let started = Instant::now();
    while started.elapsed() < LAST_WORDS {
        if let Ok(Some(status)) = child.try_wait() {
            return format!(" ({status})");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    String::new()
}

/// A line for people: one line, not long.
fn shortened(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(8 * SHOWN)]);
    let plain: String = text.trim_end().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    if plain.chars().count() <= SHOWN { plain } else { format!("{}…", plain.chars().take(SHOWN).collect::<String>()) }
}
