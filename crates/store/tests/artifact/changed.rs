//! What others do to an artifact: files beside it, other things in its place, changes while it is in use.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use store::{Found, Store, Trouble, trouble};

use super::{KIND, build, flip, key, make, ready};

#[test]
fn a_file_that_the_manifest_does_not_name_is_refused_and_kept() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let built = build(&store, &key(1), make).unwrap();
    fs::write(built.file(".DS_Store"), "what desktops leave").unwrap();
    ready(&store, &key(1));
    for name in ["curve.json", "deep/more.csv"] {
        fs::write(built.file(name), "whose is it?").unwrap();
        let error = build(&store, &key(1), |_| panic!("made again")).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("does not name it") && !error.contains('\n'), "{error}");
        assert_eq!(fs::read_to_string(built.file(name)).unwrap(), "whose is it?");
        fs::remove_file(built.file(name)).unwrap();
    }
    ready(&store, &key(1));
    assert!(build(&store, &key(2), |_| Ok(())).unwrap_err().to_string().contains("one file at least"), "an empty one is none");
}

#[cfg(unix)]
#[test]
fn another_thing_in_place_of_a_file_is_damage_and_nothing_waits_for_it() {
    for name in ["weights.bin", "manifest.json"] {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let built = build(&store, &key(1), make).unwrap();
        fs::remove_file(built.file(name)).unwrap();
        assert!(Command::new("mkfifo").arg(built.file(name)).status().unwrap().success());
        let Found::Damaged { reason } = store.find(KIND, &key(1)).unwrap() else { panic!("{name}") };
        assert!(reason.contains(name), "{reason}");
        store.forget();
        build(&store, &key(1), make).unwrap();
        ready(&store, &key(1));
    }
}

/// What another can do to a file between the moment it was found good and the moment that work made from it is finished.
#[test]
fn nothing_is_finished_that_was_made_from_what_changed_meanwhile() {
    type Harm = fn(&Path);
    let cases: [(&str, Harm, bool); 7] = [
        ("changed", |p| flip(p), true),
        (
            "changed and back",
            |p| {
                flip(p);
                flip(p);
            },
            true,
        ),
        ("changed, its time put back", |p| keeping_time(p, flip), true),
        ("gone", |p| fs::remove_file(p).unwrap(), true),
        (
            "replaced by its equal",
            |p| {
                fs::copy(p, p.with_extension("new")).unwrap();
                fs::rename(p.with_extension("new"), p).unwrap();
            },
            true,
        ),
        ("another name", |p| fs::hard_link(p, p.with_file_name(".backup")).unwrap(), false),
        ("let alone", |_| {}, false),
    ];
    for (name, harm, noticed) in cases {
        // handed out as found, and as just made
        for found in [true, false] {
            let root = tempfile::tempdir().unwrap();
            let mut store = Store::open(root.path()).unwrap();
            let mut input = build(&store, &key(1), make).unwrap();
            if found {
                store = Store::open(root.path()).unwrap();
                input = build(&store, &key(1), |_| panic!("made again")).unwrap();
            }
            std::thread::sleep(Duration::from_millis(20));
            let made = build(&store, &key(2), |making| {
                harm(&input.file("weights.bin"));
                make(making)
            });
            assert_eq!(store.check().is_err(), noticed, "{name}");
            if !noticed {
                made.unwrap();
                continue;
            }
            let error = made.unwrap_err();
            assert_eq!(trouble(error.as_ref()), Some(Trouble::Changed), "{name}: {error:#}");
            assert!(error.to_string().contains("weights.bin: was changed while it was in use"), "{error}");
            assert!(matches!(store.find(KIND, &key(2)).unwrap(), Found::Missing), "{name}");
            let claimed = store.claim(KIND, &key(1), &mut |_| {}).unwrap_err();
            assert_eq!(trouble(&claimed), Some(Trouble::Changed), "{name}: nor is it handed out again, as if nothing had been");
            // the same again, by another run or by this one once it has let go
            store.forget();
            build(&store, &key(1), make).unwrap();
            build(&store, &key(2), make).unwrap();
            ready(&store, &key(1));
        }
    }
}

fn keeping_time(path: &Path, harm: fn(&Path)) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    harm(path);
    fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}
