//! Which file of a crate uses which, and the circles in that.
//!
//! A file uses another when it names something that is defined there, whether in a `use` or in a path: names that a parent only
//! passes on are followed to the file that defines them, and naming a module is no use of its file. Test code does not count.

use std::collections::{BTreeMap, BTreeSet};

use super::text::{tokens, without_tests};

/// A path in the source: the module it stands in, its segments, and for an import the name it binds (`*` for all).
struct Path {
    module: usize,
    segments: Vec<String>,
    binds: Option<String>,
}

#[derive(Default)]
struct Module {
    parent: Option<usize>,
    file: usize,
    children: BTreeMap<String, usize>,
    defined: BTreeSet<String>,
    /// Every identifier in it, which is what an import of all names may bring.
    words: BTreeSet<String>,
    imports: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
}

/// Where a path leads.
#[derive(Clone, Copy)]
enum Found {
    Module(usize),
    File(usize),
}

/// The files of a crate's `src`, the modules in them, and who uses whom.
pub struct Graph {
    files: Vec<String>,
    modules: Vec<Module>,
    /// From file to file, each with one path that says so.
    uses: BTreeMap<usize, BTreeMap<usize, String>>,
}

const DEFINES: [&str; 9] = ["struct", "enum", "union", "trait", "type", "fn", "const", "static", "macro_rules"];

impl Graph {
    /// From the sources, by their paths below `src`.
    pub fn new(sources: &BTreeMap<String, String>) -> Self {
        let mut graph = Graph { files: Vec::new(), modules: Vec::new(), uses: BTreeMap::new() };
        let mut read: Vec<(Vec<String>, String, Vec<String>)> = Vec::new();
        let mut tests = BTreeSet::new();
        for (file, text) in sources.iter().filter(|(file, _)| *file != "main.rs") {
            let path = module_path(file);
            let (kept, only_tests) = without_tests(tokens(text));
            tests.extend(only_tests.into_iter().map(|name| [path.clone(), vec![name]].concat()));
            read.push((path, file.clone(), kept));
        }
        read.retain(|(path, ..)| !(1..=path.len()).any(|end| tests.contains(&path[..end])));
        // parents before children
        read.sort_by_key(|(path, ..)| path.len());
        let mut paths = Vec::new();
        for (path, file, tokens) in read {
            graph.files.push(file);
            let parent = path.split_last().map(|(_, above)| graph.module_at(above));
            let module = graph.add(path.last().cloned().unwrap_or_default(), parent);
            paths.extend(graph.read(module, &tokens));
        }
        for path in paths.iter().filter(|path| path.binds.is_some()) {
            let module = &mut graph.modules[path.module];
            match path.binds.as_deref() {
                Some("*") => module.globs.push(path.segments.clone()),
                Some(name) if name != "_" => _ = module.imports.insert(name.to_string(), path.segments.clone()),
                _ => {}
            }
        }
        for path in paths {
            if let Some(Found::File(to)) = graph.resolve(path.module, &path.segments, 0) {
                graph.used(path.module, to, &path.segments);
            }
            if path.binds.as_deref() == Some("*") {
                graph.used_by_glob(path.module, &path.segments);
            }
        }
        graph
    }

    fn used(&mut self, module: usize, to: usize, path: &[String]) {
        let from = self.modules[module].file;
        if to != from {
            self.uses.entry(from).or_default().entry(to).or_insert_with(|| path.join("::"));
        }
    }

    /// What an import of all names uses: the files of those names that occur.
    fn used_by_glob(&mut self, module: usize, path: &[String]) {
        let Some(Found::Module(all)) = self.resolve(module, &path[..path.len() - 1], 0) else { return };
        for word in self.modules[module].words.clone() {
            if let Some(Found::File(to)) = self.named(all, &word, 0) {
                self.used(module, to, path);
            }
        }
    }

    fn module_at(&self, path: &[String]) -> usize {
        path.iter().fold(0, |module, name| self.modules[module].children.get(name).copied().unwrap_or(module))
    }

    fn add(&mut self, name: String, parent: Option<usize>) -> usize {
        let index = self.modules.len();
        self.modules.push(Module { parent, file: self.files.len() - 1, ..Module::default() });
        if let Some(parent) = parent {
            self.modules[parent].children.insert(name, index);
        }
        index
    }

    /// Reads a file: what it defines, and all paths in it.
    fn read(&mut self, top: usize, tokens: &[String]) -> Vec<Path> {
        let mut paths = Vec::new();
        let mut inside = vec![(0, top)];
        let (mut depth, mut i) = (0, 0);
        let at = |i: usize| tokens.get(i).map_or("", String::as_str);
        while i < tokens.len() {
            let module = inside.last().map_or(top, |(_, module)| *module);
            let level = inside.last().map_or(0, |(level, _)| *level);
            if is_word(at(i)) {
                self.modules[module].words.insert(at(i).to_string());
            }
            match at(i) {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    if inside.len() > 1 && depth < level {
                        inside.pop();
                    }
                }
                "mod" if at(i + 2) == "{" => {
                    let inner = self.add(at(i + 1).to_string(), Some(module));
                    depth += 1;
                    inside.push((depth, inner));
                    i += 3;
                    continue;
                }
                "use" if !matches!(at(i + 1), "<" | ">") => {
                    let mut leaves = Vec::new();
                    i = use_tree(tokens, i + 1, &[], &mut leaves);
                    paths.extend(leaves.into_iter().map(|(segments, name)| Path { module, segments, binds: Some(name) }));
                    continue;
                }
                word if DEFINES.contains(&word) && depth == level => {
                    let name = (i + 1..i + 3).map(at).find(|name| !["!", "mut"].contains(name)).unwrap_or("");
                    self.modules[module].defined.insert(name.to_string());
                }
                word if is_word(word) && at(i + 1) == "::" && (i == 0 || at(i - 1) != "::") => {
                    let mut segments = vec![word.to_string()];
                    while at(i + 1) == "::" && is_word(at(i + 2)) {
                        segments.push(at(i + 2).to_string());
                        i += 2;
                    }
                    paths.push(Path { module, segments, binds: None });
                }
                _ => {}
            }
            i += 1;
        }
        paths
    }

    /// Where a path leads that stands in `module`; nowhere if it leads out of the crate.
    fn resolve(&self, module: usize, segments: &[String], steps: usize) -> Option<Found> {
        let (first, mut rest) = segments.split_first()?;
        let mut found = match first.as_str() {
            "crate" => Found::Module(0),
            "self" => Found::Module(module),
            "super" => Found::Module(self.modules[module].parent?),
            name => self.named(module, name, steps)?,
        };
        while let (Found::Module(inside), Some((next, after))) = (found, rest.split_first()) {
            let file = Found::File(self.modules[inside].file);
            found = match next.as_str() {
                "super" => Found::Module(self.modules[inside].parent?),
                "*" if self.modules[inside].defined.is_empty() => return None,
                "*" => file,
                // what a macro defines is not seen here: it stands in the module's own file
                name => self.named(inside, name, steps).unwrap_or(file),
            };
            rest = after;
        }
        Some(found)
    }

    /// What `name` means in a module.
    fn named(&self, module: usize, name: &str, steps: usize) -> Option<Found> {
        // imports that lead to each other in a ring define nothing
        if steps > 16 {
            return None;
        }
        let here = &self.modules[module];
        if let Some(child) = here.children.get(name) {
            return Some(Found::Module(*child));
        }
        if here.defined.contains(name) {
            return Some(Found::File(here.file));
        }
        if let Some(path) =
            here.imports.get(name).filter(|path| path.first().is_some_and(|first| first != name || path.len() > 1))
        {
            return self.resolve(module, path, steps + 1);
        }
        here.globs.iter().find_map(|path| {
            let Found::Module(all) = self.resolve(module, &path[..path.len() - 1], steps + 1)? else { return None };
            self.named(all, name, steps + 1)
        })
    }

    /// All circles: for each, the uses between its files, as `from -> to (path)`.
    pub fn circles(&self) -> Vec<Vec<String>> {
        let count = self.files.len();
        let reached: Vec<BTreeSet<usize>> = (0..count).map(|file| self.reach(file)).collect();
        let mut seen = BTreeSet::new();
        let mut circles = Vec::new();
        for file in (0..count).filter(|file| reached[*file].contains(file)) {
            let circle: BTreeSet<usize> = reached[file].iter().copied().filter(|other| reached[*other].contains(&file)).collect();
            if seen.insert(circle.clone()) {
                let lines = circle.iter().flat_map(|from| self.uses[from].iter().map(move |(to, path)| (*from, *to, path)));
                let lines = lines.filter(|(_, to, _)| circle.contains(to));
                circles
                    .push(lines.map(|(from, to, path)| format!("{} -> {} ({path})", self.files[from], self.files[to])).collect());
            }
        }
        circles
    }

    /// Files that one uses, directly or through others.
    fn reach(&self, file: usize) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        let mut next = vec![file];
        while let Some(from) = next.pop() {
            for to in self.uses.get(&from).into_iter().flat_map(BTreeMap::keys) {
                if reached.insert(*to) {
                    next.push(*to);
                }
            }
        }
        reached
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c == '_' || c.is_alphabetic())
}

/// `a/b.rs` and `a/b/mod.rs` are `[a, b]`, `lib.rs` is `[]`.
fn module_path(file: &str) -> Vec<String> {
    let mut path: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_string).collect();
    if path.last().is_some_and(|last| last == "mod" || (last == "lib" && path.len() == 1)) {
        path.pop();
    }
    path
}

/// Reads what a `use` imports from `at` on: every path with the name that it binds. Returns where reading goes on.
fn use_tree(tokens: &[String], mut at: usize, before: &[String], into: &mut Vec<(Vec<String>, String)>) -> usize {
    let mut path = before.to_vec();
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at = use_tree(tokens, at, &path, into);
                    if tokens.get(at).is_some_and(|token| token == ",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "::" => {}
            "self" if !path.is_empty() => {}
            "," | "}" | ";" | "as" => break,
            word => path.push(word.to_string()),
        }
        at += 1;
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if tokens.get(at).is_some_and(|token| token == "as") {
        name = tokens.get(at + 1).cloned().unwrap_or_default();
        at += 2;
    }
    into.push((path, name));
    at
}
