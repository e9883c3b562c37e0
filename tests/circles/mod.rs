//! Files of a crate use each other in one direction: nothing that a file uses, directly or through others, uses that file.

mod graph;
pub mod text;

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::root;
use graph::Graph;

/// Crates with circles that are still to be opened. A crate without circles is taken off; none is ever put on.
const TO_DO: [&str; 0] = [];

/// All sources below a folder, by their paths from there.
fn sources(under: &Path, from: &Path, into: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(under).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, from, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let name: Vec<_> = path.strip_prefix(from).unwrap().iter().map(|part| part.to_string_lossy()).collect();
            into.insert(name.join("/"), std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn files_of_a_crate_do_not_import_in_circles() {
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        let src = folder.join("src");
        if !src.is_dir() {
            continue;
        }
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let mut files = BTreeMap::new();
        sources(&src, &src, &mut files);
        let circles = Graph::new(&files).circles();
        if TO_DO.contains(&name.as_str()) {
            assert!(!circles.is_empty(), "crates/{name} has no circle any more: take it off TO_DO in tests/circles/mod.rs");
        } else {
            let shown: Vec<String> = circles.iter().map(|circle| circle.join("\n  ")).collect();
            assert!(
                circles.is_empty(),
                "files of crates/{name} import each other in circles; move what they share into a file of its own:\n  {}",
                shown.join("\n\n  ")
            );
        }
        names.push(name);
    }
    assert!(TO_DO.iter().all(|name| names.iter().any(|found| found == name)), "TO_DO names a crate that is not there");
    assert!(names.len() > TO_DO.len());
}

/// The circles of a made-up crate, each as its uses.
fn circles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    Graph::new(&files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect()).circles()
}

#[test]
fn a_parent_and_a_child_that_use_each_other_are_a_circle() {
    let child = ("shape/square.rs", "use super::Shape;\npub struct Square;\nimpl Shape for Square {}");
    let parent = "mod square;\npub use square::Square;\npub trait Shape {}";
    assert_eq!(
        circles(&[("lib.rs", "mod shape;"), ("shape/mod.rs", parent), child]),
        [["shape/mod.rs -> shape/square.rs (square::Square)", "shape/square.rs -> shape/mod.rs (super::Shape)"]]
    );
    // the trait in a file of its own, which the parent only passes on
    let parent = "mod base;\nmod square;\npub use base::Shape;\npub use square::Square;";
    let base = ("shape/base.rs", "pub trait Shape {}");
    assert!(circles(&[("lib.rs", "mod shape;"), ("shape/mod.rs", parent), child, base]).is_empty());
}

#[test]
fn longer_circles_are_found_through_paths_groups_aliases_and_globs() {
    let a = ("a.rs", "pub struct A;\nfn f() { crate::b::g(1) }");
    let b = ("b.rs", "use crate::{self as top, c::{C as Other, D}};\npub fn g(_: u8) {}");
    let c = |text: &'static str| [("lib.rs", "mod a; mod b; mod c;\npub use a::A;"), a, b, ("c.rs", text)];
    let through = |text| circles(&c(text)).into_iter().map(|circle| circle.len()).collect::<Vec<_>>();
    assert_eq!(through("pub struct C; pub struct D; type T = crate::A;"), [3]);
    assert_eq!(through("pub enum C { V } pub struct D; use super::*; fn f(_: A) {}"), [3]);
    assert_eq!(through("pub enum C { V } pub struct D; use super::*; fn f(_: a::A) {}"), [3]);
    assert_eq!(through("pub struct C; pub struct D; fn f() { use crate::a; a::A; }"), [3]);
    assert_eq!(through("pub struct C; pub struct D; mod inner { pub use super::super::a::A; }"), [3]);
    // a module that is only named is not used
    assert!(through("pub struct C; pub struct D; use crate::a;").is_empty());
    assert!(through("pub struct C; pub struct D; use other::A; fn f(x: A) { other::b::g() }").is_empty());
}

#[test]
fn tests_comments_and_literals_use_nothing() {
    let files = |text: &'static str| [("lib.rs", "mod a; mod b;"), ("a.rs", "use crate::b::B;\npub struct A;"), ("b.rs", text)];
    assert_eq!(circles(&files("pub struct B; use crate::a::A;")).len(), 1);
    for nothing in [
        "pub struct B;\n#[cfg(test)]\nmod tests { use super::*; use crate::a::A; fn f() { let _ = A; } }",
        "pub struct B;\n#[cfg(test)]\nuse crate::{a::A, b::B as C};\nfn f() {}",
        "pub struct B; // crate::a::A\n/* crate::a::A /* nested */ crate::a::A */",
        "pub struct B; const T: [&str; 2] = [\"\\\"crate::a::A\", r#\"\"crate::a::A\"#]; fn f<'a>(x: &'a str) { '\"'; crate::b::B; '\"'; }",
    ] {
        assert!(circles(&files(nothing)).is_empty(), "{nothing}");
    }
    let tests = ("b/tests.rs", "use super::*;\nuse crate::a::A;");
    let uses = ("a.rs", "use crate::b::B;\npub struct A;");
    let parent = ("b.rs", "#[cfg(test)]\nmod tests;\npub struct B;");
    assert!(circles(&[("lib.rs", "mod a; mod b;"), uses, parent, tests]).is_empty());
}
