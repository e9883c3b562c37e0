//! A disk without room: exit code 75, a line that names the file, and the same command goes on once there is room.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Ran, leftovers, manifests, results_directory, run, run_command, smoke, smoke_file, text};

/// `command` as words of a shell.
fn words(command: &Command) -> String {
    let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap());
    let all: Vec<String> = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect();
    all.join(" ")
}

/// A shell script, in the directory the runs start in.
fn script(command: &Command, shell: &[&str], script: &str) -> Ran {
    let [program, arguments @ ..] = shell else { panic!("no shell") };
    let directory = command.get_current_dir().unwrap();
    Ran::of(Command::new(program).args(arguments).args(["-c", script]).current_dir(directory).output().unwrap())
}

#[track_caller]
fn says_so(stderr: &str, place: &Path) {
    let lines: Vec<&str> = stderr.lines().filter(|line| line.starts_with("stopped: ")).collect();
    assert!(!lines.is_empty(), "{stderr}");
    for line in lines {
        assert!(line.contains(text(place)) && line.contains("free some space and run the same command again"), "{line}");
    }
    assert!(stderr.contains("the same command resumes") && !stderr.contains("panicked"), "{stderr}");
}

/// As the limit on file sizes has it, which anybody may lower for his own processes: this runs everywhere.
#[test]
fn a_run_that_may_not_write_a_file_resumes_when_it_may() {
    let place = tempfile::tempdir().unwrap();
    let command = run_command(&smoke_file(), place.path(), 2);
    let limited = |blocks: u32| {
        let shell = format!("ulimit -f {blocks}; exec {}", words(&command));
        script(&command, &["sh"], &shell).expect_code(75)
    };
    // the tokenizer does not fit, then the first weights, then nothing is too large
    for blocks in [2, 64] {
        says_so(&limited(blocks).stderr, place.path());
    }
    let finished = run(&smoke_file(), place.path(), 2);
    assert_eq!(finished.records(), smoke().records());
    assert_eq!(manifests(&finished.artifacts), manifests(&smoke().artifacts));
    assert_eq!(leftovers(place.path()), [] as [PathBuf; 0]);
}

/// On a disk of its own in memory, where the system lets one be mounted.
#[test]
fn a_run_on_a_full_disk_resumes_after_room_is_made() {
    let place = tempfile::tempdir().unwrap();
    let disk = place.path().join("disk");
    let kept = place.path().join("kept");
    std::fs::create_dir(&disk).unwrap();
    let mut command = run_command(&smoke_file(), &disk, 2);
    command.arg("--no-disk-check");
    let mounts = ["unshare --mount", "unshare --map-root-user --mount"];
    let mount = format!("mount -t tmpfs -o size=64k tmpfs '{}'", text(&disk));
    let able = |shell: &&str| {
        let tried = Command::new("sh").args(["-c", &format!("{shell} sh -c \"{mount}\"")]).output();
        tried.is_ok_and(|output| output.status.success())
    };
    let Some(shell) = mounts.into_iter().find(able) else {
        println!("skipped a_run_on_a_full_disk_resumes_after_room_is_made: nobody may mount a tmpfs here");
        return;
    };
    // each time a little more of the run fits, at last all of it
    let sizes = ["64k", "400k", "800k", "1200k"];
    let mut body = format!("{mount} || exit 9\n");
    for size in sizes {
        body.push_str(&format!("mount -o remount,size={size} '{}' || exit 9\n", text(&disk)));
        body.push_str(&format!("{}; code=$?; echo \"size {size}: $code\" >&2\n", words(&command)));
    }
    body.push_str(&format!(
        "mount -o remount,size=64m '{0}' && {1} && cp -r '{0}' '{2}'",
        text(&disk),
        words(&command),
        text(&kept)
    ));
    let shell: Vec<&str> = shell.split(' ').chain(["sh"]).collect();
    let ran = script(&command, &shell, &body).expect_code(0);
    for size in sizes {
        assert!(ran.stderr.contains(&format!("size {size}: 75")), "{}", ran.stderr);
    }
    says_so(&ran.stderr, &disk);
    let records = results_directory(&kept.join("results")).join("records.jsonl");
    assert_eq!(std::fs::read(records).unwrap(), smoke().records());
    assert_eq!(manifests(&kept.join("artifacts")), manifests(&smoke().artifacts));
    assert_eq!(leftovers(&kept), [] as [PathBuf; 0]);
}
