use std::sync::atomic::Ordering;

use super::*;
use crate::pretrain::{PackedDocuments, PretrainSource};
use crate::testing::{BOS, documents, model, plan, runtime};

const STEPS: u64 = 10;

/// Goes on from the latest checkpoint below `place`, saving after every step that `due` says, until step `stop` raises the flag; returns what
/// was told, how many steps were done, and the last state unless it was stopped.
fn run_saving(place: &Path, threads: usize, stop: u64, due: bool) -> (Vec<String>, u64, Option<TrainState>) {
    let (model, plan) = (model(1), plan(STEPS, 7));
    let documents = PackedDocuments::new(documents(2000, 5), 12, 70, Some(BOS)).unwrap();
    let source = PretrainSource::new(&documents, &plan).unwrap();
    let rt = runtime(threads);
    let engine = lm::gradient_engine(model.config(), &rt);
    let checkpoints = Checkpoints::open(place, "run").unwrap();
    let mut notes = Vec::new();
    let found = checkpoints.latest(&model, STEPS, &mut |note| notes.push(note.to_string())).unwrap();
    let mut state = found.unwrap_or_else(|| TrainState::new(&model));
    let mut done = 0;
    let observe = &mut |point: &CurvePoint| {
        done += 1;
        rt.cancelled.store(point.step == stop, Ordering::Relaxed);
    };
    let ended = checkpoints.train(&*engine, &plan, &source, &mut state, STEPS, &rt, &mut || due, observe);
    let finished = match ended {
        Ok(()) => Some(state),
        Err(error) => {
            assert!(error.is_cancelled(), "{error}");
            None
        }
    };
    (notes, done, finished)
}

fn run(place: &Path, threads: usize, stop: u64) -> (Vec<String>, u64, Option<TrainState>) {
    run_saving(place, threads, stop, true)
}

fn whole() -> TrainState {
    run(tempfile::tempdir().unwrap().path(), 1, STEPS).2.unwrap()
}

fn files(place: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn a_training_stopped_again_and_again_ends_with_the_bits_of_one_never_stopped() {
    let place = tempfile::tempdir().unwrap();
    for (threads, stop) in [(1, 2), (2, 3), (3, 8)] {
        assert!(run(place.path(), threads, stop).2.is_none());
        assert!(files(place.path()).len() <= KEPT);
    }
    let (notes, done, end) = run(place.path(), 1, STEPS);
    assert_eq!((notes.len(), done), (0, STEPS - 8));
    assert!(end.unwrap() == whole());
}

#[test]
fn a_training_that_is_cancelled_saves_where_it_stands() {
    let place = tempfile::tempdir().unwrap();
    let never_due = |stop| run_saving(place.path(), 1, stop, false);
    assert!(never_due(4).2.is_none());
    assert_eq!(files(place.path()).len(), 1);
    let (notes, done, end) = never_due(STEPS);
    assert_eq!((notes.len(), done), (0, STEPS - 4));
    assert!(end.unwrap() == whole());
}

#[test]
fn the_last_two_states_are_kept_and_a_damaged_one_is_told_and_the_one_before_it_used() {
    type Harm = fn(&Path);
    let cases: [(Harm, &str); 4] = [
        (|path| std::fs::write(path, b"").unwrap(), "not a readable training state"),
        (|path| cut(path, 1), "not a readable training state"),
        (|path| cut(path, 2), "not a readable training state"),
        (|path| flip(path), "checksum"),
    ];
    for (harm, expected) in cases {
        let place = tempfile::tempdir().unwrap();
        run(place.path(), 1, 6);
        let kept = files(place.path());
        assert_eq!(kept.len(), KEPT);
        harm(&kept[1]);
        // what a kill in the middle of a write leaves
        std::fs::write(place.path().join(".a1b2c3.tmp"), "half").unwrap();
        let (notes, done, end) = run(place.path(), 1, STEPS);
        let [note] = &notes[..] else { panic!("{notes:?}") };
        assert!(note.contains(kept[1].to_str().unwrap()) && note.contains(expected), "{note}");
        assert_eq!(done, STEPS - 5, "from step 5");
        assert!(end.unwrap() == whole());
        assert_eq!(files(place.path()).len(), KEPT);

        let all = files(place.path());
        all.iter().for_each(|path| harm(path));
        let (notes, done, end) = run(place.path(), 1, STEPS);
        assert_eq!((notes.len(), done), (KEPT, STEPS), "none is left: from the start");
        assert!(end.unwrap() == whole());
    }
}

fn cut(path: &Path, parts: usize) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() * parts / 3]).unwrap();
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.len() - 1000;
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn trainings_that_share_a_directory_do_not_see_each_other() {
    let place = tempfile::tempdir().unwrap();
    run(place.path(), 1, 6);
    let model = model(1);
    let latest = |identity: &str, until| {
        let checkpoints = Checkpoints::open(place.path(), identity).unwrap();
        checkpoints.latest(&model, until, &mut |note| panic!("{note}")).unwrap().map(|state| state.step)
    };
    assert_eq!(latest("run", STEPS), Some(6));
    assert_eq!(latest("run", 5), Some(5), "a state beyond the end that is asked for is no use");
    assert_eq!(latest("run", 4), None);
    assert_eq!(latest("another run", STEPS), None);
}
