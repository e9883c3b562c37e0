//! `birthmark report`: of several directories, and in every form.

use std::fs;
use std::path::{Path, PathBuf};

use results::read_records;

use crate::support::{birthmark, copy, root, smoke, text};

/// A column of a CSV file.
fn column(file: &Path, name: &str) -> Vec<String> {
    let mut reader = csv::Reader::from_path(file).unwrap();
    let at = reader.headers().unwrap().iter().position(|own| own == name).unwrap_or_else(|| panic!("no {name}"));
    reader.records().map(|row| row.unwrap()[at].to_string()).collect()
}

fn reference(name: &str) -> PathBuf {
    root().join("results").join(name).join("reference")
}

#[test]
fn several_directories_become_one_report() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("together");
    let (quickstart, survival) = (reference("quickstart"), reference("survival"));
    let ran = birthmark(&["report", text(&quickstart), text(&survival), "--out", text(&out)]).expect_code(0);
    assert!(ran.stdout.starts_with("Joined from\n  quickstart/reference: ") && ran.stdout.contains("  survival/reference: "));
    assert!(ran.stdout.trim_end().ends_with(&format!("results: {}", text(&out))), "{}", ran.stdout);
    let count = |place: &Path| read_records(&place.join("records.jsonl")).unwrap().len();
    assert_eq!(count(&out), count(&quickstart) + count(&survival), "two owners' secrets: nothing of them is the same");
    let sources = column(&out.join("summary.csv"), "source");
    for source in ["quickstart/reference", "survival/reference"] {
        assert!(sources.iter().any(|own| own == source));
    }
    assert_eq!(sources, column(&out.join("summary.csv"), "axis.result"));
    let figure = fs::read_to_string(out.join("survival.svg")).unwrap();
    for words in
        ["text, result=quickstart/reference", "top_logprobs(k=20,post), result=survival/reference", "from quickstart/reference, "]
    {
        assert!(figure.contains(words), "{words}");
    }
    // it can be made again by itself, and is no results directory of a run
    let table = fs::read(out.join("table.txt")).unwrap();
    birthmark(&["report", text(&out)]).expect_code(0);
    assert!(table == fs::read(out.join("table.txt")).unwrap());
    let other = place.path().join("other");
    birthmark(&["report", text(&out), text(&quickstart), "--out", text(&other)])
        .refused_with(&["together", "a joined report itself"]);
    birthmark(&["report", text(&quickstart), text(&survival)]).refused_with(&["--out DIR"]);
    let error = birthmark(&["report", text(&quickstart), text(&survival), "--out", text(&survival)]).refused_with(&["--out"]);
    assert!(error.contains("results of a run are there"), "{error}");
}

#[test]
fn what_is_in_two_directories_is_counted_once_and_other_levels_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let (copied, out) = (place.path().join("copied"), place.path().join("out"));
    copy(&smoke().directory, &copied);
    let both = ["report", text(&smoke().directory), text(&copied), "--out", text(&out)];
    let ran = birthmark(&both).expect_code(0);
    let own = read_records(&copied.join("records.jsonl")).unwrap();
    assert!(ran.stdout.contains(&format!("{} of them there already and counted once", own.len())), "{}", ran.stdout);
    let joined = read_records(&out.join("records.jsonl")).unwrap();
    let plain =
        |records: Vec<results::Record>| records.into_iter().map(|r| results::Record { source: None, ..r }).collect::<Vec<_>>();
    assert_eq!(plain(joined), own, "the same verdicts");

    let report = copied.join("report.json");
    let said = fs::read_to_string(&report).unwrap();
    fs::write(&report, said.replacen("\"alpha\":0.", "\"alpha\":0.0", 1)).unwrap();
    birthmark(&both).refused_with(&["do not go together", "alpha is 0."]);
    birthmark(&["report", text(&place.path().join("none")), text(&copied), "--out", text(&out)])
        .refused_with(&["none", "records.jsonl"]);
}

#[test]
fn the_table_is_printed_in_every_form() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("report");
    let of = |format: &str| {
        birthmark(&["report", text(&reference("survival")), "--out", text(&out), "--format", format]).expect_code(0).stdout
    };
    assert!(of("text").trim_end().ends_with(text(&out)));
    let markdown = of("markdown");
    assert!(markdown.starts_with("| mark | surface | N\\* |") && markdown.contains("| kgw (primary) | text | 100"), "{markdown}");
    let latex = of("latex");
    assert!(latex.starts_with("\\begin{tabular}{") && latex.matches("\\end{tabular}").count() == 2, "{latex}");
    let csv = of("csv");
    let file = place.path().join("table.csv");
    fs::write(&file, &csv).unwrap();
    assert!(column(&file, "n_star").iter().any(|n| n.parse::<u64>().is_ok()), "{csv}");
    for form in [markdown, latex, csv] {
        assert!(!form.contains("results: "), "nothing but the table");
    }
    assert_eq!(fs::read(out.join("table.txt")).unwrap(), fs::read(reference("survival").join("table.txt")).unwrap());
    assert!(!out.join("manifest.json").exists());
    birthmark(&["report", text(&reference("survival")), "--format", "html"]).expect_code(2);
}
