use rand::RngExt;

use super::*;
use crate::testing::{BOS, documents, plan, rng};

const TIME: usize = 24;

fn packed() -> PackedDocuments {
    PackedDocuments::new(documents(400, 3), TIME, u64::MAX, Some(BOS)).unwrap()
}

fn contains(row: &[TokenId], part: &[TokenId]) -> bool {
    row.windows(part.len()).any(|w| w == part)
}

#[test]
fn rows_are_the_stream_cut_where_it_stands() {
    let documents = documents(400, 3);
    let stream = documents.concat();
    let packed = packed();
    assert_eq!(packed.n_documents(), 400);
    let mut rebuilt = vec![stream[0]];
    for row in 0..packed.n_rows() {
        let tokens = packed.row(row);
        assert_eq!(tokens[0], *rebuilt.last().unwrap(), "a row's last target is the next row's first input");
        assert!(tokens.len() == TIME + 1 || row + 1 == packed.n_rows());
        rebuilt.extend(&tokens[1..]);
    }
    assert_eq!(rebuilt, stream);
}

#[test]
fn packing_takes_no_more_documents_than_its_rows_need() {
    let mut taken = 0;
    let counted = documents(400, 3).into_iter().inspect(|_| taken += 1);
    let packed = PackedDocuments::new(counted, TIME, 10, None).unwrap();
    assert!(packed.n_rows() >= 10 && taken < 60, "{} rows of {taken} documents", packed.n_rows());
    for row in 0..10 {
        assert_eq!(packed.row(row), self::packed().row(row));
        assert_eq!(packed.row(row).len(), TIME + 1);
    }
}

/// Random slots and documents to plant: longer, shorter and as long as the ones they replace, alone and several to a row where they
/// fit.
#[test]
fn marked_and_clean_streams_differ_in_the_rows_of_the_slots_only() {
    let clean = packed();
    let mut rng = rng(11);
    let mut made = 0;
    for case in 0..200_u32 {
        let mut slots: Vec<(usize, Vec<TokenId>)> = Vec::new();
        let mut per_row = BTreeMap::new();
        for i in 0..rng.random_range(1..12) {
            let document = rng.random_range(0..390);
            let planted: Vec<TokenId> = std::iter::repeat_n(1000 + 20 * case + i, rng.random_range(1..12)).collect();
            let grown: &mut i64 = per_row.entry(clean.row_of(document)).or_default();
            let longer = planted.len() as i64 - clean.document_len(document) as i64;
            // whatever the others of its row add, it stands before the end
            if slots.iter().all(|s| s.0 != document) && clean.fits(document, planted.len() + *grown as usize) {
                *grown += longer.max(0);
                slots.push((document, planted));
            }
        }
        let Ok(marked) = clean.with_slots(&slots) else {
            // a later slot may have pushed an earlier one over the end: only where several share a row
            assert!(slots.iter().any(|a| slots.iter().any(|b| a.0 != b.0 && clean.row_of(a.0) == clean.row_of(b.0))));
            continue;
        };
        made += 1;
        assert_eq!(marked.n_rows(), clean.n_rows());
        for row in 0..clean.n_rows() {
            let here: Vec<&(usize, Vec<TokenId>)> = slots.iter().filter(|s| clean.row_of(s.0) == row).collect();
            if here.is_empty() {
                assert_eq!(marked.row(row), clean.row(row));
                continue;
            }
            assert_eq!(marked.row(row).len(), TIME + 1, "case {case}: a marked row costs as much as a clean one");
            for (document, planted) in here {
                assert!(contains(marked.row(row), planted), "case {case}: planted document {document} is whole");
            }
            let planted_tokens: usize = slots.iter().filter(|s| clean.row_of(s.0) == row).map(|s| s.1.len()).sum();
            assert_eq!(marked.row(row).iter().filter(|&&t| t >= 1000).count(), planted_tokens);
        }
        let first = slots.iter().map(|s| clean.row_of(s.0)).min();
        assert_eq!(marked.first_marked_row(), first);
    }
    assert!(made > 150, "{made} of 200 streams");
}

/// Planted documents stand where ordinary ones stood: they do not pile up at any one place of a row.
#[test]
fn planted_documents_begin_where_the_replaced_ones_did() {
    let clean = packed();
    let mut counts = [0; TIME];
    for document in (1..390).filter(|&document| clean.fits(document, 8)) {
        let (row, offset) = (clean.row_of(document), clean.offset_of(document));
        let planted: Vec<TokenId> = (900..908).collect();
        let marked = clean.with_slots(&[(document, planted.clone())]).unwrap();
        assert_eq!(marked.row(row)[offset..offset + 8], planted);
        assert_eq!(marked.row(row)[..offset], clean.row(row)[..offset]);
        counts[offset] += 1;
    }
    // documents of 4 to 11 tokens begin at every place alike: 7.5 tokens in the mean, so 1 in 17 of those that fit stands first
    let all: usize = counts.iter().sum();
    assert!(all > 200 && counts[0] * 8 < all, "{counts:?}");
    assert!(counts[TIME + 1 - 8 + 1..].iter().all(|&count| count == 0));
}

#[test]
fn a_row_is_unchanged_before_the_slot_where_there_is_room() {
    let clean = packed();
    let document = (1..390).find(|&d| clean.row_of(d - 1) == clean.row_of(d + 2)).unwrap();
    let row = clean.row_of(document);
    let planted = vec![999; 3];
    let marked = clean.with_slots(&[(document, planted.clone())]).unwrap();
    let at = clean.starts[document] - row as usize * TIME;
    assert_eq!(marked.row(row)[..at], clean.row(row)[..at]);
    assert_eq!(marked.row(row)[at..at + 3], planted);
    let follows = clean.starts[document + 1];
    assert_eq!(marked.row(row)[at + 3..], clean.tokens[follows..follows + TIME + 1 - at - 3]);
}

#[test]
fn slots_that_cannot_be_filled_are_refused() {
    let clean = packed();
    let error = |slots: &[(usize, Vec<TokenId>)]| clean.with_slots(slots).unwrap_err().to_string();
    assert!(error(&[(0, vec![9; TIME + 2])]).contains("do not fit between their slots and its end"));
    assert!(clean.offset_of(3) > 0 && error(&[(3, vec![9; TIME + 1])]).contains("do not fit"));
    assert!(error(&[(3, vec![9]), (3, vec![8])]).contains("replaced twice"));
    assert!(error(&[(400, vec![9])]).contains("400 documents"));
    assert!(clean.with_slots(&[(0, vec![9; TIME + 1])]).is_ok());
}

#[test]
fn texts_that_cannot_be_packed_are_refused() {
    let error = |documents: Vec<Vec<TokenId>>, time| PackedDocuments::new(documents, time, 1, None).unwrap_err().to_string();
    assert!(error(vec![], 4).contains("no text"));
    assert!(error(vec![vec![1]], 4).contains("no text"));
    assert!(error(vec![vec![1, 2], vec![]], 4).contains("document 1 is empty"));
    assert!(error(vec![vec![1, 2]], 0).contains("0 tokens"));
}

#[test]
fn every_position_is_scored_except_before_a_beginning_token() {
    let clean = packed();
    let plan = plan(8, 5);
    let source = PretrainSource::new(&clean, &plan).unwrap();
    let mut row = 0;
    for step in 0..8 {
        for shard in 0..3 {
            let ShardBatch { batch, loss, weight, tokens } = source.shard(step, shard).unwrap();
            assert_eq!((batch.time, tokens), (TIME, (batch.rows * TIME) as u64));
            let mut scored = 0;
            for r in 0..batch.rows {
                let expected = clean.row(row);
                assert_eq!(batch.ids[r * TIME..][..TIME], expected[..TIME]);
                for t in 0..TIME {
                    assert_eq!(loss.scored(r * TIME + t), expected[t + 1] != BOS);
                    scored += usize::from(expected[t + 1] != BOS);
                }
                row += 1;
            }
            assert_eq!(weight, scored as f64);
        }
    }
    assert_eq!(row, 40);
}

#[test]
fn a_plan_longer_than_the_text_is_refused() {
    let clean = packed();
    let error = PretrainSource::new(&clean, &plan(1000, 5)).err().unwrap().to_string();
    assert!(error.contains("5000 rows") && error.contains("lower `steps`"), "{error}");
}
