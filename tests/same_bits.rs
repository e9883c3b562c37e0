//! One experiment, one set of bits: whatever the vector instructions, the number of threads, however many answers are sampled
//! together, and however often the run is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::support::{Finished, Ran, leftovers, manifests, results_directory, run_command, smoke, smoke_file};

/// SHA-256 of every file of every artifact is in the manifests: those of transcripts, students and measurements above all.
#[track_caller]
fn same_bits(place: &Path, reference: &Finished, what: &str) {
    let records = results_directory(&place.join("results")).join("records.jsonl");
    assert!(fs::read(records).unwrap() == reference.records(), "{what}: the records differ");
    let (ours, theirs) = (manifests(&place.join("artifacts")), manifests(&reference.artifacts));
    for kind in ["transcript", "student", "measurement"] {
        assert!(theirs.keys().any(|name| name.split('/').next() == Some(kind)), "no {kind} among {:?}", theirs.keys());
    }
    for (name, manifest) in &theirs {
        assert_eq!(ours.get(name), Some(manifest), "{what}: {name}");
    }
    assert_eq!(ours.len(), theirs.len(), "{what}");
    assert_eq!(leftovers(place), [] as [PathBuf; 0], "{what}");
}

fn neither_threads_nor_rows_matter(choices: &[(u32, u32)]) {
    for (threads, rows) in choices {
        let place = tempfile::tempdir().unwrap();
        let mut command = run_command(&smoke_file(), place.path(), *threads);
        Ran::of(command.args(["--decode-rows", &rows.to_string()]).output().unwrap()).expect_code(0);
        same_bits(place.path(), smoke(), &format!("{threads} threads, {rows} rows"));
    }
}

#[test]
fn threads_and_sampling_batches_do_not_change_a_bit() {
    // against two threads and the usual batch
    neither_threads_nor_rows_matter(&[(1, 3), (3, 1), (4, 1000)]);
}

#[test]
fn no_vector_width_changes_a_bit() {
    // against the widest that this machine has
    for width in ["scalar", "avx2"] {
        let place = tempfile::tempdir().unwrap();
        let mut command = run_command(&smoke_file(), place.path(), 2);
        Ran::of(command.args(["--vectors", width]).output().unwrap()).expect_code(0);
        same_bits(place.path(), smoke(), &format!("vectors: {width}"));
    }
}

#[cfg(unix)]
#[test]
fn kills_do_not_change_a_bit() {
    killed_and_resumed(&smoke_file(), smoke(), 5, 1);
}

#[cfg(all(unix, feature = "long-tests"))]
#[test]
fn twenty_five_kills_do_not_change_a_bit() {
    killed_and_resumed(&smoke_file(), smoke(), 25, 2);
    let place = tempfile::tempdir().unwrap();
    let file = crate::support::root().join("experiments/ci/single-pass.toml");
    let reference = crate::support::run(&file, place.path(), 2);
    killed_and_resumed(&file, &reference, 25, 3);
}

#[cfg(feature = "long-tests")]
#[test]
fn every_number_of_threads_and_many_sampling_batches_give_the_same_bits() {
    let rows = [1, 2, 7, 8, 31, 64, 257];
    let choices: Vec<(u32, u32)> = (1..=4).flat_map(|threads| rows.map(|rows| (threads, rows))).collect();
    neither_threads_nor_rows_matter(&choices);
}

/// How the reference run went: when it began, when each of its artifacts was finished, and when it ended.
fn timeline(reference: &Finished) -> Vec<SystemTime> {
    let when = |path: PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    let finished =
        manifests(&reference.artifacts).into_keys().map(|name| when(reference.artifacts.join(name).join("manifest.json")));
    let ends = ["experiment.json", "records.jsonl"].map(|name| when(reference.directory.join(name)));
    let mut times: Vec<SystemTime> = finished.chain(ends).collect();
    times.sort();
    times
}

/// Kinds of the artifacts that are being made.
fn under_way(artifacts: &Path) -> Vec<String> {
    let mut kinds = Vec::new();
    for kind in fs::read_dir(artifacts).into_iter().flatten().flatten() {
        let entries = fs::read_dir(kind.path()).into_iter().flatten().flatten();
        if entries.map(|entry| entry.path()).any(|path| path.extension() == Some("making".as_ref())) {
            kinds.push(kind.file_name().to_string_lossy().into_owned());
        }
    }
    kinds
}

/// Runs `file` and kills it `kills` times, at random moments spread evenly over its course, each time with another number of
/// threads and sampling batch than before; a run that ends between two kills is looked at and started again.
pub fn killed_and_resumed(file: &Path, reference: &Finished, kills: usize, seed: u64) {
    let times = timeline(reference);
    let length = times[times.len() - 1].duration_since(times[0]).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut moments =
        (0..kills).map(|i| length.mul_f64((i as f64 + rng.random::<f64>()) / kills as f64)).collect::<Vec<_>>().into_iter();
    let (mut next, mut killed) = (moments.next(), 0);
    let (mut rounds, mut starts) = (0, 0);
    let mut resumed_trainings = 0;
    while next.is_some() || rounds == 0 {
        let place = tempfile::tempdir().unwrap();
        let artifacts = place.path().join("artifacts");
        loop {
            let (threads, rows) = ([1, 2, 3, 4][starts % 4], [1, 5, 128][starts % 3]);
            starts += 1;
            let mut command = run_command(file, place.path(), threads);
            command.args(["--checkpoint-every", "0", "--decode-rows", &rows.to_string()]);
            let log = fs::File::create(place.path().join("log")).unwrap();
            let mut child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
            let ended = match next {
                Some(moment) => ends_before(&mut child, moment, &times, &artifacts),
                None => child.wait().unwrap().success(),
            };
            let log = fs::read_to_string(place.path().join("log")).unwrap();
            resumed_trainings += log.matches("goes on from step").count();
            if ended {
                break;
            }
            let Some(moment) = next else { panic!("the last run failed:\n{log}") };
            println!(
                "killed after {:.2} of {:.2} s, making {:?}",
                moment.as_secs_f64(),
                length.as_secs_f64(),
                under_way(&artifacts)
            );
            killed += 1;
            next = moments.next();
        }
        rounds += 1;
        fs::remove_file(place.path().join("log")).unwrap();
        same_bits(place.path(), reference, &format!("after {killed} kills"));
    }
    println!("{killed} kills in {rounds} runs; {resumed_trainings} trainings went on from a checkpoint");
    assert_eq!(killed, kills);
}

/// Kills a run where the reference stood at `moment`: as many artifacts finished, as long after the last of them. Whether the
/// run ended well before that.
fn ends_before(child: &mut std::process::Child, moment: Duration, times: &[SystemTime], artifacts: &Path) -> bool {
    let done = times.iter().filter(|time| **time <= times[0] + moment).count() - 1;
    let finished = || if artifacts.is_dir() { manifests(artifacts).len() } else { 0 };
    let ended = |child: &mut std::process::Child| match child.try_wait().unwrap() {
        Some(status) => {
            assert!(status.success(), "the run failed: {status}");
            true
        }
        None => false,
    };
    while finished() < done {
        if ended(child) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let (since, delay) = (Instant::now(), (times[0] + moment).duration_since(times[done]).unwrap());
    while since.elapsed() < delay {
        if ended(child) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    if ended(child) {
        return true;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}
