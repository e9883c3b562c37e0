//! Every way in which a grammar can be wrong is named, with its place and what to do.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers as well")]

use corpus::{GrammarSpec, grammar};

const GOOD: &str = include_str!("golden.toml");

fn check(from: &str, to: &str, key: &str, said: &str) {
    assert!(GOOD.contains(from), "the good spec has no {from:?}");
    let spec: GrammarSpec = toml::from_str(&GOOD.replacen(from, to, 1)).unwrap();
    let error = grammar(&spec, 0).map(drop).unwrap_err();
    assert_eq!(error.key, key, "{error}");
    assert!(error.to_string().contains(said), "{error}");
}

#[test]
fn mistakes_are_named() {
    check("opening_words = 9", "opening_words = 0", "opening_words", "at least 1");
    check("refusal = \"no\"", "refusal = \" \"", "refusal", "how a refusal begins");
    check("weight = 2", "weight = 0", "kinds[0].weight", "`story`");
    check("\"ben tom sam max leo\"", "\" \"", "lists.he", "at least one word");
    check("ben tom", "ben ben", "lists.he", "`ben` twice");
    check("ben tom", "ben to-m", "lists.he", "letters and digits");
    check("ann eve", "ann ben", "unions.name", "`ben` twice");
    check("[\"he\", \"she\"]", "[\"he\", \"shee\"]", "unions.name", "`she`");
    check("[\"he\", \"she\"]", "[]", "unions.name", "at least one list");
    check("name = [\"he\"", "thing = [\"he\"", "unions.thing", "another name");
    check("she = \"she\"", "shee = \"she\"", "related.they.shee", "a word of the lists");
    check("she = \"she\"", "", "kinds[0].parts[1][0]", "no row for `ann`");
    check("a_find = [\"a {thing}\"", "a_find = [\"a {a_find}\"", "phrases.a_find[0]", "none contains itself");
    check("a_find = [\"a {thing}\"", "a_find = [\"[{thing}]\"", "phrases.a_find[0]", "in kinds only");
    check("a_find = [\"a {thing}\", \"a {thing} and a {thing}\"]", "a_find = []", "phrases.a_find", "at least one pattern");
    check("saw a {thing#1}", "saw a {thng#1}", "kinds[0].parts[0][0]", "lists: `he`, `name`, `number`, `she`, `thing`");
    check("saw a {thing#1}", "saw a {thing#1", "kinds[0].parts[0][0]", "close the slot");
    check("{name#1.they}", "{name#1.them}", "kinds[0].parts[1][0]", "tables: `they`");
    check("{=number#1+number#2}", "{=number#1+thing#2}", "kinds[0].parts[1][2]", "no whole number");
    check(
        "{number#1} and",
        "{number#8} and {number#7} {number#6} {number#5} {number#4} {number#3}",
        "lists.number",
        "only 7 words",
    );
    check("task = \"facts\"", "", "kinds[1].task", "say what the answer");
    check("[{name#1}]", "{name#1}", "kinds[1].parts", "mark the answer");
    check("[{name#1}]", "[]", "kinds[1].parts[1][0]", "not an empty one");
    check("[{name#1}].\"", "[{name#1}].\", \"who\"", "kinds[1].parts[1]", "in every pattern");
    check("task = \"facts\"", "task = \"refusal\"", "kinds[1].parts[1][0]", "begin the answer with the refusal");
    check("[{name#1}]", "[{name#1}", "kinds[1].parts[1][0]", "mark one answer");
    check("opening_words = 9", "opening_words = 2", "kinds[0].parts", "1000 are needed");
    let none: GrammarSpec =
        toml::from_str(&GOOD[..GOOD.find("[[kinds]]").unwrap()].to_string().replace("opening", "kinds = []\nopening")).unwrap();
    assert_eq!(none.validate().unwrap_err().key, "kinds");
}

#[test]
fn unknown_keys_are_refused() {
    let error = toml::from_str::<GrammarSpec>(&GOOD.replace("weight = 2", "wieght = 2")).unwrap_err().to_string();
    assert!(error.contains("wieght") && error.contains("weight"), "{error}");
}

#[test]
fn prompts_are_counted_from_below() {
    // "{name} and {name} saw a {thing} in a {thing}." has 10 x 9 names and 10 x 9 things by its ninth word; "took a {thing} and
    // a {thing}." after it has 10 x 10 more
    let spec: GrammarSpec = toml::from_str(GOOD).unwrap();
    for (words, count) in [(1, 10.0), (9, 8100.0), (20, 810_000.0)] {
        let log10 = spec.distinct_prompts(words).unwrap();
        assert!((log10 - libm::log10(count)).abs() < 1e-9, "{words}: {log10}");
    }
}
