//! `students.csv`: who every suspect is, and in which artifacts it and what it learned from lie.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use store::write_atomic;

use crate::stages::SuspectRow;

const FILE: &str = "students.csv";

/// Writes `rows` beside those that are there of other runs: a part of a grid leaves the rest of the table as it was. A table that
/// cannot be read is one of another version, and begun anew.
pub(super) fn write(directory: &Path, rows: Vec<SuspectRow>) -> anyhow::Result<()> {
    let path = directory.join(FILE);
    let mut all: BTreeMap<_, SuspectRow> = read(&path).into_iter().map(|row| (order(&row), row)).collect();
    all.extend(rows.into_iter().map(|row| (order(&row), row)));
    let mut csv = csv::Writer::from_writer(Vec::new());
    for row in all.values() {
        csv.serialize(row).context("students.csv")?;
    }
    Ok(write_atomic(&path, &csv.into_inner().context("students.csv")?)?)
}

/// Rows of an earlier run; whatever is no regular file is none.
fn read(path: &Path) -> Vec<SuspectRow> {
    let is_file = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
    let reader = Some(path).filter(|_| is_file).and_then(|path| csv::Reader::from_path(path).ok());
    let rows = reader.map(|mut reader| reader.deserialize().collect::<Result<Vec<SuspectRow>, _>>());
    rows.and_then(Result::ok).unwrap_or_default()
}

/// What sorts and tells apart the rows: place on the grid, seed, curve, budget, arm.
fn order(row: &SuspectRow) -> impl Ord + use<> {
    let SuspectRow { axes, seed, surface, loss, budget_queries, arm, lacks, .. } = row.clone();
    (axes, seed, surface, loss, budget_queries, arm, lacks)
}

#[cfg(test)]
mod tests {
    use results::Arm;

    use super::*;

    fn row(axes: &str, arm: Arm, budget_queries: Option<u64>) -> SuspectRow {
        let text = |text: &str| text.to_string();
        SuspectRow {
            seed: 1,
            arm,
            lacks: String::new(),
            surface: text("top_logprobs(k=5, law=post_watermark)"),
            loss: text("topk_kl"),
            budget_queries,
            axes: text(axes),
            run_id: text("r"),
            model: text("student/a"),
            teacher: text("implanted/b"),
            transcript_id: text("t"),
            transcript: text("transcript/c transcript/d"),
            audit: text("audit/e"),
        }
    }

    #[test]
    fn rows_of_other_points_stay_and_those_of_this_one_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (row("a=1, b=2", Arm::Student, Some(20)), row("a=2, b=2", Arm::Base, None));
        write(dir.path(), vec![other.clone()]).unwrap();
        write(dir.path(), vec![one.clone()]).unwrap();
        let again = SuspectRow { model: "student/z".into(), ..one };
        write(dir.path(), vec![again.clone()]).unwrap();
        assert_eq!(read(&dir.path().join(FILE)), [again, other]);
        let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(text.starts_with("seed,arm,lacks,surface,loss,budget_queries,axes,run_id,model,teacher,"), "{text}");
        std::fs::write(dir.path().join(FILE), "another,table\n1,2\n").unwrap();
        write(dir.path(), vec![row("", Arm::Base, None)]).unwrap();
        assert_eq!(read(&dir.path().join(FILE)).len(), 1);
    }
}
