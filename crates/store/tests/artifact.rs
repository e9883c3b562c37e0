//! Artifacts meet damage, kills and company.

#![expect(clippy::unwrap_used, reason = "test helpers, which clippy.toml's exception for tests does not reach")]

#[path = "artifact/changed.rs"]
mod changed;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use store::{Artifact, Claim, Found, Key, Making, Store, StoreError, Trouble, trouble};

const KIND: &str = "student";

fn key(n: u64) -> Key {
    Key::new(1, &serde_json::json!({ "n": n, "teacher": "abc", "lr": 0.1 + 0.2, "tiny": 1.2345678901234567e-300 })).unwrap()
}

fn make(making: &Making) -> anyhow::Result<()> {
    let dir = making.path();
    fs::create_dir(dir.join("deep"))?;
    fs::write(dir.join("weights.bin"), [7u8; 1000])?;
    fs::write(dir.join("deep/curve.csv"), "step,loss\n")?;
    Ok(())
}

fn build(store: &Store, key: &Key, make: impl FnOnce(&Making) -> anyhow::Result<()>) -> anyhow::Result<Artifact> {
    store.get_or_build(KIND, key, make, &mut |_| {})
}

/// What is the caller's to make.
fn mine(store: &Store, key: &Key) -> Making {
    match store.claim(KIND, key, &mut |_| {}).unwrap() {
        Claim::Mine(making) => making,
        Claim::Ready(artifact) => panic!("{artifact:?}"),
    }
}

fn ready(store: &Store, key: &Key) -> Artifact {
    match store.find(KIND, key).unwrap() {
        Found::Ready(artifact) => artifact,
        other => panic!("{other:?}"),
    }
}

fn hidden(store: &Store) -> Vec<PathBuf> {
    let lock_or_done = |p: &PathBuf| p.extension().is_none_or(|e| e == "lock");
    fs::read_dir(store.root().join(KIND)).unwrap().map(|e| e.unwrap().path()).filter(|p| !lock_or_done(p)).collect()
}

#[test]
fn what_was_built_is_found_and_not_built_twice() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    assert!(matches!(store.find(KIND, &key(1)).unwrap(), Found::Missing));
    let built = build(&store, &key(1), make).unwrap();
    assert_eq!(built.path(), store.location(KIND, &key(1)).unwrap());
    let again = build(&store, &key(1), |_| panic!("built twice")).unwrap();
    assert_eq!(again.manifest(), built.manifest());
    assert_eq!(fs::read(again.file("weights.bin")).unwrap(), [7u8; 1000]);
    let names: Vec<_> = again.manifest().files.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["deep/curve.csv", "weights.bin"]);
    assert_eq!(hidden(&store), [] as [PathBuf; 0]);
}

#[test]
fn any_difference_in_what_made_it_is_another_artifact() {
    let hash = |kind: &str, revision, inputs: serde_json::Value| Key { revision, inputs }.hash(kind).unwrap();
    let all = [
        hash("student", 1, serde_json::json!({ "n": 1 })),
        hash("teacher", 1, serde_json::json!({ "n": 1 })),
        hash("student", 2, serde_json::json!({ "n": 1 })),
        hash("student", 1, serde_json::json!({ "n": 2 })),
        hash("student", 1, serde_json::json!({ "n": 1.0 })),
    ];
    let distinct: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    // pinned: a change of this value makes every stored artifact unreachable
    assert_eq!(all[0].short(), "3d53c54a");
}

#[test]
fn damage_of_every_sort_is_noticed_named_and_repaired() {
    type Harm = fn(&Path);
    let cases: [(&str, Harm, &str); 10] = [
        ("flipped byte", |d| flip(&d.join("weights.bin")), "weights.bin: has changed"),
        ("truncated", |d| fs::write(d.join("weights.bin"), [7u8; 999]).unwrap(), "weights.bin: has 999 bytes instead of 1000"),
        ("missing file", |d| fs::remove_file(d.join("deep/curve.csv")).unwrap(), "curve.csv: is missing"),
        ("missing manifest", |d| fs::remove_file(d.join("manifest.json")).unwrap(), "manifest.json: is missing"),
        ("another format", |d| edit(d, "\"format\":1", "\"format\":2"), "manifest.json: is not of format 1"),
        ("other inputs", |d| edit(d, "abc", "abd"), "is not the manifest of"),
        ("torn manifest", |d| fs::write(d.join("manifest.json"), "{").unwrap(), "manifest.json: is not JSON"),
        ("unknown field", |d| edit(d, "\"format\"", "\"extra\":0,\"format\""), "is not a manifest"),
        ("empty list", no_files, "manifest.json: names no file"),
        ("path outside", |d| edit(d, "weights.bin", "../../../../etc/passwd"), "outside its directory"),
    ];
    for (name, harm, expected) in cases {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        harm(build(&store, &key(1), make).unwrap().path());
        let Found::Damaged { reason } = store.find(KIND, &key(1)).unwrap() else { panic!("{name}: not noticed") };
        assert!(reason.contains(expected), "{name}: {reason}");

        let error = Store::offline(root.path()).claim(KIND, &key(1), &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("--offline-artifacts"), "{name}: {error}");

        // as the next run comes
        store.forget();
        let mut notes = Vec::new();
        store.get_or_build(KIND, &key(1), make, &mut |note| notes.push(note.to_string())).unwrap();
        assert_eq!(notes.len(), 1, "{name}");
        assert!(notes[0].contains(expected) && notes[0].ends_with("making it again"), "{}", notes[0]);
        ready(&store, &key(1));
        assert_eq!(hidden(&store), [] as [PathBuf; 0], "{name}");
    }
}

fn no_files(dir: &Path) {
    let path = dir.join("manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["files"] = serde_json::json!([]);
    fs::write(&path, store::canonical_json(&manifest).unwrap()).unwrap();
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[500] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn edit(dir: &Path, from: &str, to: &str) {
    let path = dir.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from));
    fs::write(&path, text.replace(from, to)).unwrap();
}

#[test]
fn a_failed_or_panicking_make_leaves_nothing_and_its_error_is_passed_on() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let full = |_: &Making| Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into());
    let error = build(&store, &key(1), full).unwrap_err();
    assert_eq!(trouble(error.as_ref()), Some(Trouble::Full));
    let panicked = std::panic::catch_unwind(|| {
        build(&store, &key(1), |making| {
            make(making)?;
            panic!("in the middle")
        })
    });
    assert!(panicked.is_err());
    let reserved = |making: &Making| Ok(fs::write(making.path().join("manifest.json"), "{}")?);
    assert!(build(&store, &key(1), reserved).unwrap_err().to_string().contains("manifest.json"));
    assert!(matches!(store.find(KIND, &key(1)).unwrap(), Found::Missing));
    assert_eq!(hidden(&store), [] as [PathBuf; 0]);
}

#[test]
fn scratch_outlives_a_failure_and_goes_with_success() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let failed = build(&store, &key(1), |making| {
        fs::write(making.scratch()?.join("checkpoint"), "step 10")?;
        anyhow::bail!("killed")
    });
    assert!(failed.is_err());
    let store = Store::open(root.path()).unwrap();
    let making = mine(&store, &key(1));
    let scratch = making.scratch().unwrap();
    assert_eq!(fs::read_to_string(scratch.join("checkpoint")).unwrap(), "step 10");
    make(&making).unwrap();
    making.finish().unwrap();
    assert_eq!(hidden(&store), [] as [PathBuf; 0]);

    // as a kill between putting the artifact in place and clearing up would leave it
    fs::create_dir(&scratch).unwrap();
    assert!(matches!(store.claim(KIND, &key(1), &mut |_| {}).unwrap(), Claim::Ready(_)));
    assert_eq!(hidden(&store), [] as [PathBuf; 0]);
}

#[test]
fn a_claim_may_be_made_on_another_thread_while_the_next_is_filled() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let (send, receive) = std::sync::mpsc::channel::<Making>();
    let finished = std::thread::scope(|scope| {
        let finisher = scope.spawn(|| receive.into_iter().map(|making| making.finish().unwrap().hash()).collect::<Vec<_>>());
        for n in 0..3 {
            let making = mine(&store, &key(n));
            assert_eq!(fs::read_dir(making.path()).unwrap().count(), 0, "empty");
            make(&making).unwrap();
            send.send(making).unwrap();
        }
        drop(send);
        finisher.join().unwrap()
    });
    assert_eq!(finished, [0, 1, 2].map(|n| ready(&store, &key(n)).hash()));
    assert_eq!(hidden(&store), [] as [PathBuf; 0]);
}

#[test]
fn a_claim_given_up_frees_the_lock_and_takes_its_directory_with_it() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let making = mine(&store, &key(1));
    make(&making).unwrap();
    fs::write(making.scratch().unwrap().join("checkpoint"), "step 10").unwrap();
    drop(making);
    assert!(matches!(store.find(KIND, &key(1)).unwrap(), Found::Missing));
    assert_eq!(hidden(&store).len(), 1, "scratch stays");
    let again = mine(&store, &key(1));
    assert_eq!(fs::read_dir(again.path()).unwrap().count(), 0);
    assert!(again.scratch().unwrap().join("checkpoint").exists());
}

#[test]
fn offline_what_is_there_is_found_and_nothing_is_touched() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    build(&store, &key(1), make).unwrap();
    let leftover = root.path().join(KIND).join(format!(".{}.making", key(2).hash(KIND).unwrap()));
    fs::create_dir(&leftover).unwrap();
    let listed = || fs::read_dir(root.path().join(KIND)).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
    let before = listed();

    let offline = Store::offline(root.path());
    assert!(matches!(offline.claim(KIND, &key(1), &mut |_| {}).unwrap(), Claim::Ready(_)));
    let error = offline.claim(KIND, &key(2), &mut |_| {}).unwrap_err();
    assert!(matches!(&error, StoreError::NotMade { .. }), "{error}");
    let place = store.location(KIND, &key(2)).unwrap();
    assert!(error.to_string().starts_with(&format!("{}: is not there; run without", place.display())), "{error}");
    assert_eq!(listed(), before);

    let nowhere = root.path().join("nowhere");
    Store::offline(&nowhere).claim(KIND, &key(1), &mut |_| {}).unwrap_err();
    assert!(!nowhere.exists());
}

#[test]
fn threads_that_want_the_same_artifact_make_it_once() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let slow = |making: &Making| {
                    made.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(30));
                    make(making)
                };
                build(&store, &key(1), slow).unwrap();
            });
        }
    });
    assert_eq!(made.load(Ordering::SeqCst), 1);
}

#[test]
fn a_wait_ends_when_cancelled() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let cancelled = Arc::new(AtomicBool::new(false));
    let waiting = store.clone().cancelled_by(cancelled.clone());
    let making = mine(&store, &key(1));
    // this thread holds the lock; the other waits until told to stop
    let told = std::thread::spawn(move || {
        waiting
            .get_or_build(KIND, &key(1), |_| panic!("made without the lock"), &mut |_| cancelled.store(true, Ordering::Relaxed))
    });
    let error = told.join().unwrap().unwrap_err();
    assert_eq!(trouble(error.as_ref()), Some(Trouble::Cancelled));
    make(&making).unwrap();
    making.finish().unwrap();
}

#[cfg(unix)]
#[test]
fn a_place_that_cannot_be_written_is_told_apart() {
    let error = Store::open("/proc/nowhere/artifacts").unwrap_err();
    assert!(matches!(error, StoreError::Io { .. } | StoreError::Denied { .. }), "{error}");
    assert!(error.to_string().contains("/proc/nowhere"));
}

/// Run as another process by the tests below; alone it has nothing to do.
#[test]
fn child_builds_slowly() {
    let Ok(root) = std::env::var("STORE_TEST_CHILD_ROOT") else { return };
    let wait: u64 = std::env::var("STORE_TEST_CHILD_MILLIS").unwrap().parse().unwrap();
    let making = mine(&Store::open(root).unwrap(), &key(1));
    make(&making).unwrap();
    fs::write(making.scratch().unwrap().join("checkpoint"), "step 10").unwrap();
    println!("\nbuilding");
    std::thread::sleep(Duration::from_millis(wait));
    making.finish().unwrap();
}

/// The reader must outlive the child, whose test harness writes to the pipe once more at its end.
fn child(root: &Path, millis: u64) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_builds_slowly", "--nocapture"])
        .env("STORE_TEST_CHILD_ROOT", root)
        .env("STORE_TEST_CHILD_MILLIS", millis.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    assert!(output.by_ref().lines().map_while(Result::ok).any(|line| line == "building"), "the child never began");
    (child, output)
}

#[test]
fn a_killed_build_leaves_nothing_that_looks_finished_but_its_scratch() {
    let root = tempfile::tempdir().unwrap();
    let (mut child, _output) = child(root.path(), 60_000);
    // opened beside a living builder: its work is left alone
    let store = Store::open(root.path()).unwrap();
    assert_eq!(hidden(&store).len(), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(store.find(KIND, &key(1)).unwrap(), Found::Missing));
    assert_eq!(hidden(&store).len(), 2, "the kill came too early to leave anything");
    // the next one to open or to claim clears up, and finds the scratch as it was
    for clear in [true, false] {
        let store = if clear { Store::open(root.path()).unwrap() } else { store.clone() };
        let making = mine(&store, &key(1));
        assert_eq!(fs::read_dir(making.path()).unwrap().count(), 0);
        assert_eq!(fs::read_to_string(making.scratch().unwrap().join("checkpoint")).unwrap(), "step 10");
    }
    build(&store, &key(1), make).unwrap();
    ready(&store, &key(1));
    assert_eq!(hidden(&store), [] as [PathBuf; 0]);
}

#[test]
fn a_second_process_waits_and_then_finds_it() {
    let root = tempfile::tempdir().unwrap();
    let (mut child, _output) = child(root.path(), 300);
    let store = Store::open(root.path()).unwrap();
    let mut notes = Vec::new();
    let never = |_: &Making| panic!("made although the other process was making it");
    store.get_or_build(KIND, &key(1), never, &mut |note| notes.push(note.to_string())).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(notes.len(), 1);
    assert!(notes[0].contains("another process"), "{}", notes[0]);
}
