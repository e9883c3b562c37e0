//! Kills, damage and full disks: finished work is kept, what is damaged is noticed, and the same command goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use store::{FileEntry, Key, Manifest};
use tempfile::TempDir;

use crate::support::{
    Ran, command, copy, leftovers, manifests, results_directory, root, run, run_command, smoke, smoke_file, text,
};

/// Starts `file` below `place`; returns once a first model is finished and the work goes on.
pub fn started(file: &Path, place: &Path) -> Child {
    let mut child = run_command(file, place, 1).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    loop {
        let models = || fs::read_dir(place.join("artifacts/pretrained")).into_iter().flatten().flatten();
        if models().any(|entry| !entry.file_name().to_string_lossy().starts_with('.')) {
            return child;
        }
        assert!(child.try_wait().unwrap().is_none(), "the run ended before a model was finished");
        assert!(begun.elapsed() < Duration::from_secs(120), "no model after two minutes");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn signal(child: &Child, name: &str) {
    // `kill` of the shell: not every system has the program
    let sent = std::process::Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).status().unwrap();
    assert!(sent.success());
}

/// Runs smoke and stops it with a signal in the middle.
fn stopped_by(name: &str) -> (TempDir, Ran) {
    for _ in 0..5 {
        let place = tempfile::tempdir().unwrap();
        let child = started(&smoke_file(), place.path());
        signal(&child, name);
        let stopped = Ran::of(child.wait_with_output().unwrap());
        // a signal that comes after the end, on a machine that is busy with other things, stops nothing
        if stopped.code != 0 {
            return (place, stopped);
        }
    }
    panic!("five runs ended before the signal came");
}

/// After a run was stopped: what was finished stays and is found, and the records are those of a run that nothing stopped.
fn resumes(place: &TempDir) {
    let kept = manifests(&place.path().join("artifacts"));
    assert!(!kept.is_empty() && kept.len() < manifests(&smoke().artifacts).len(), "stopped in the middle: {:?}", kept.keys());
    let resumed = run(&smoke_file(), place.path(), 1);
    assert_eq!(resumed.records(), smoke().records());
    let all = manifests(&resumed.artifacts);
    assert_eq!(all, manifests(&smoke().artifacts));
    assert!(kept.iter().all(|(artifact, manifest)| all.get(artifact) == Some(manifest)), "what was finished is kept");
    assert!(!resumed.ran.stderr.contains("tokenizer ("), "and not made again:\n{}", resumed.ran.stderr);
    assert_eq!(leftovers(place.path()), [] as [PathBuf; 0]);
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_resumes() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let (place, stopped) = stopped_by(name);
        let stopped = stopped.expect_code(code);
        resumes(&place);
        assert!(stopped.stderr.contains("finished work is kept"), "{}", stopped.stderr);
        assert_eq!(stopped.stdout, "");
        let timings = |directory: &Path| fs::read_to_string(directory.join("timings.jsonl")).unwrap().lines().count();
        let resumed = results_directory(&place.path().join("results"));
        assert_eq!(timings(&resumed), timings(&smoke().directory), "both runs together did every stage once");
    }
}

#[test]
fn two_processes_do_not_write_into_one_directory() {
    let place = tempfile::tempdir().unwrap();
    copy(&smoke().artifacts, &place.path().join("artifacts"));
    let directory = place.path().join("results/smoke").join(smoke().directory.file_name().unwrap());
    let held = store::Journal::begin(&directory.join("records.partial.jsonl")).unwrap();
    let second = Ran::of(run_command(&smoke_file(), place.path(), 1).output().unwrap()).expect_code(75);
    assert!(second.stderr.contains("another process is writing it"), "{}", second.stderr);
    drop(held);
    assert_eq!(run(&smoke_file(), place.path(), 1).records(), smoke().records());
}

/// Two runs of one experiment at once, on one artifacts directory: each artifact is made by one of them, and when one is killed
/// the other takes over what it was making.
#[test]
fn two_runs_on_one_artifacts_directory_share_the_work() {
    let place = tempfile::tempdir().unwrap();
    let results = |name: &str| place.path().join(name);
    let start = |name: &str| {
        let mut command = command(&root());
        command.arg("run").arg(smoke_file()).arg("--artifacts").arg(place.path().join("artifacts"));
        command.arg("--results").arg(results(name)).args(["--threads", "1", "--checkpoint-every", "0"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let (first, mut killed, second) = (start("first"), start("killed"), start("second"));
    while !place.path().join("artifacts/transcript").exists() {
        assert!(killed.try_wait().unwrap().is_none(), "the run ended without a transcript");
        std::thread::sleep(Duration::from_millis(2));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let made: usize = [(first, "first"), (second, "second")]
        .into_iter()
        .map(|(child, name)| {
            Ran::of(child.wait_with_output().unwrap()).expect_code(0);
            let directory = results_directory(&results(name));
            assert_eq!(fs::read(directory.join("records.jsonl")).unwrap(), smoke().records(), "{name}");
            fs::read_to_string(directory.join("timings.jsonl")).unwrap().lines().count()
        })
        .sum();
    let alone = fs::read_to_string(smoke().directory.join("timings.jsonl")).unwrap().lines().count();
    assert!(made <= alone, "{made} stages by two runs, {alone} by one: something was made twice");
    assert_eq!(manifests(&place.path().join("artifacts")), manifests(&smoke().artifacts));
    assert_eq!(leftovers(&place.path().join("artifacts")), [] as [PathBuf; 0]);
}

#[cfg(unix)]
#[test]
fn a_killed_run_resumes() {
    let (place, stopped) = stopped_by("KILL");
    stopped.expect_code(-1);
    resumes(&place);
}

/// Checkpoints of the training under way, oldest first.
fn checkpoints(artifacts: &Path) -> Vec<PathBuf> {
    let below = |path: &Path| -> Vec<PathBuf> { fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path()).collect() };
    let scratch =
        below(artifacts).into_iter().flat_map(|kind| below(&kind)).filter(|path| path.extension() == Some("partial".as_ref()));
    let mut files: Vec<PathBuf> = scratch.flat_map(|path| below(&path)).collect();
    files.retain(|path| path.extension() == Some("safetensors".as_ref()));
    files.sort();
    files
}

#[test]
fn a_training_killed_while_it_saved_goes_on_from_the_checkpoint_before() {
    let place = tempfile::tempdir().unwrap();
    let artifacts = place.path().join("artifacts");
    let often = || {
        let mut command = run_command(&smoke_file(), place.path(), 2);
        command.args(["--checkpoint-every", "0"]);
        command
    };
    let mut child = often().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while checkpoints(&artifacts).len() < 2 {
        assert!(child.try_wait().unwrap().is_none(), "the run ended without a checkpoint");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let kept = checkpoints(&artifacts);
    let [.., older, newest] = &kept[..] else { panic!("{kept:?}") };
    let (older, newest) = (older.clone(), newest.clone());
    let file = fs::File::options().write(true).open(&newest).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    fs::write(newest.with_file_name(".half.tmp"), "what a kill in the middle of a write leaves").unwrap();

    let resumed = Ran::of(often().output().unwrap()).expect_code(0);
    let step = |path: &Path| path.file_stem().unwrap().to_str().unwrap().split('-').nth(1).unwrap().parse::<u64>().unwrap();
    let about: Vec<&str> = resumed.stderr.lines().filter(|line| line.contains(text(&newest))).collect();
    let [line] = about[..] else { panic!("{about:?} in\n{}", resumed.stderr) };
    assert!(line.contains("not a readable training state") && line.ends_with("an older state is used"), "{line}");
    assert!(resumed.stderr.contains(&format!("goes on from step {} of", step(&older))), "{}", resumed.stderr);
    let records = results_directory(&place.path().join("results")).join("records.jsonl");
    assert_eq!(fs::read(records).unwrap(), smoke().records());
    assert_eq!(manifests(&artifacts), manifests(&smoke().artifacts));
    assert_eq!(leftovers(place.path()), [] as [PathBuf; 0]);
}

/// The artifacts of smoke, to be harmed, below a place of their own.
fn artifacts_of_smoke() -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let artifacts = place.path().join("artifacts");
    copy(&smoke().artifacts, &artifacts);
    (place, artifacts)
}

/// Harm done to the first artifact of a kind.
struct Harm {
    kind: &'static str,
    /// Harms the artifact in this directory; returns the path that must be named.
    harm: fn(&Path) -> PathBuf,
    said: &'static str,
}

const HARMS: [Harm; 5] = [
    Harm { kind: "student", harm: flip, said: "has changed since it was written (SHA-256 differs)" },
    Harm { kind: "transcript", harm: cut, said: "bytes instead of" },
    Harm { kind: "pretrained", harm: cut, said: "bytes instead of" },
    Harm { kind: "measurement", harm: of_another_format, said: "is not of format 1" },
    Harm { kind: "teacher-report", harm: of_another_revision, said: "is not there" },
];

fn first(artifacts: &Path, kind: &str) -> PathBuf {
    let all = manifests(artifacts);
    let name = all.keys().find(|name| name.split('/').next() == Some(kind));
    artifacts.join(name.unwrap_or_else(|| panic!("no {kind} among {:?}", all.keys())))
}

fn manifest(artifact: &Path) -> Manifest {
    serde_json::from_slice(&fs::read(artifact.join("manifest.json")).unwrap()).unwrap()
}

fn largest_file(artifact: &Path) -> PathBuf {
    let files: Vec<FileEntry> = manifest(artifact).files;
    artifact.join(&files.iter().max_by_key(|file| file.bytes).unwrap().name)
}

fn flip(artifact: &Path) -> PathBuf {
    let path = largest_file(artifact);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    path
}

fn cut(artifact: &Path) -> PathBuf {
    let path = largest_file(artifact);
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    path
}

fn rewrite(artifact: &Path, manifest: &Manifest) -> PathBuf {
    let path = artifact.join("manifest.json");
    fs::write(&path, store::canonical_json(manifest).unwrap()).unwrap();
    path
}

fn of_another_format(artifact: &Path) -> PathBuf {
    rewrite(artifact, &Manifest { format: store::MANIFEST_FORMAT + 1, ..manifest(artifact) })
}

/// As a version with another revision of the stage would have left it: whole, under another name.
fn of_another_revision(artifact: &Path) -> PathBuf {
    let old = manifest(artifact);
    let key = Key { revision: old.revision + 1, inputs: old.inputs.clone() };
    let other = artifact.with_file_name(key.hash(&old.kind).unwrap().hex());
    fs::rename(artifact, &other).unwrap();
    rewrite(&other, &Manifest { revision: key.revision, ..old });
    artifact.to_path_buf()
}

#[test]
fn damage_of_every_sort_is_named_and_repaired() {
    let (place, artifacts) = artifacts_of_smoke();
    let harmed = HARMS.map(|Harm { kind, harm, said }| (kind, harm(&first(&artifacts, kind)), said));
    let whole: Vec<_> = manifests(&artifacts).into_keys().map(|name| (written(&artifacts, &name), name)).collect();
    let repaired = run(&smoke_file(), place.path(), 2);
    for (kind, path, said) in &harmed {
        let says = |line: &str| line.contains(text(path)) && line.contains(said) && line.contains("making it again");
        // what is not there is simply made
        assert!(
            *said == "is not there" || repaired.ran.stderr.lines().any(says),
            "{kind}: no `{said}` in\n{}",
            repaired.ran.stderr
        );
    }
    assert_eq!(repaired.records(), smoke().records());
    let (all, before) = (manifests(&artifacts), manifests(&smoke().artifacts));
    assert!(before.iter().all(|(name, manifest)| all.get(name) == Some(manifest)), "made again, the same");
    assert_eq!(all.len(), before.len() + 1, "and the one of another revision left alone");
    let again = whole.iter().filter(|(when, name)| written(&artifacts, name) != *when).count();
    assert_eq!(again, harmed.len() - 1, "only what was damaged is made again");
}

fn written(artifacts: &Path, name: &str) -> std::time::SystemTime {
    fs::metadata(artifacts.join(name).join("manifest.json")).unwrap().modified().unwrap()
}

#[test]
fn offline_artifacts_are_used_or_refused_and_never_made() {
    let (place, artifacts) = artifacts_of_smoke();
    let offline = || run_command(&smoke_file(), place.path(), 2).arg("--offline-artifacts").output().unwrap();
    Ran::of(offline()).expect_code(0);
    let found = results_directory(&place.path().join("results"));
    assert_eq!(fs::read(found.join("records.jsonl")).unwrap(), smoke().records());
    for Harm { kind, harm, said } in HARMS {
        let artifact = first(&artifacts, kind);
        let path = harm(&artifact);
        let left = manifests(&artifacts);
        Ran::of(offline()).refused_with(&[text(&path), said, "run without --offline-artifacts to make it"]);
        assert_eq!(manifests(&artifacts), left, "nothing was made");
        let _ = fs::remove_dir_all(&artifact);
        copy(&smoke().artifacts.join(artifact.strip_prefix(&artifacts).unwrap()), &artifact);
    }
}
