use serde::Serialize;
use serde_json::Value;

use crate::StoreError;
use crate::finite::Finite;

/// The one JSON text of a value: keys sorted by their bytes, no whitespace, floats in the shortest form that reads
/// back equal. Equal values give equal bytes, whatever the order in which their maps were filled.
///
/// An `f32` is written as the `f64` it equals. Whole floats keep their point (`1.0`), so `1` and `1.0` differ.
///
/// # Errors
/// [`StoreError::NotCanonical`] for NaN and infinities (plain `serde_json` would write `null`), for map keys that
/// are not text, numbers or booleans, and for integers beyond 64 bits.
pub fn canonical_json(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let not_canonical = |error: &dyn std::fmt::Display| StoreError::NotCanonical(error.to_string());
    value.serialize(Finite).map_err(|e| not_canonical(&e))?;
    let value = serde_json::to_value(value).map_err(|e| not_canonical(&e))?;
    let mut out = Vec::new();
    write(&value, &mut out).map_err(|e| not_canonical(&e))?;
    Ok(out)
}

/// Sorts at each level itself: whether `serde_json`'s map is sorted depends on a feature that any crate of the build
/// may switch.
fn write(value: &Value, out: &mut Vec<u8>) -> serde_json::Result<()> {
    match value {
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| key.as_bytes());
            out.push(b'{');
            for (i, (key, item)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                serde_json::to_writer(&mut *out, key)?;
                out.push(b':');
                write(item, out)?;
            }
            out.push(b'}');
        }
        leaf => serde_json::to_writer(&mut *out, leaf)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use proptest::prelude::*;

    use super::*;

    fn text(value: &impl Serialize) -> String {
        String::from_utf8(canonical_json(value).unwrap()).unwrap()
    }

    #[derive(Serialize)]
    struct Example {
        zeta: f64,
        alpha: Option<Vec<f32>>,
        name: &'static str,
        choice: Choice,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Choice {
        Struct { b: u64, a: i64 },
        Tuple(u8, bool),
        Newtype(f64),
        Unit,
    }

    #[test]
    fn keys_are_sorted_at_every_level_and_floats_are_shortest() {
        let value = Example { zeta: 0.1, alpha: Some(vec![0.5, 1.0]), name: "\u{e9}\n", choice: Choice::Struct { b: 1, a: -2 } };
        assert_eq!(text(&value), r#"{"alpha":[0.5,1.0],"choice":{"struct":{"a":-2,"b":1}},"name":"é\n","zeta":0.1}"#);
        assert_eq!(text(&Choice::Tuple(1, true)), r#"{"tuple":[1,true]}"#);
        assert_eq!(text(&Choice::Unit), r#""unit""#);
        assert_eq!(text(&(1e300, 1e-7, u64::MAX)), "[1e+300,1e-7,18446744073709551615]");
        assert_eq!(text(&None::<u8>), "null");
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused_wherever_they_hide() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(canonical_json(&bad).is_err());
            assert!(canonical_json(&(bad as f32)).is_err());
            assert!(canonical_json(&Some([bad])).is_err());
            assert!(canonical_json(&(1, "x", bad)).is_err());
            assert!(canonical_json(&Choice::Newtype(bad)).is_err());
            assert!(canonical_json(&HashMap::from([("k", vec![Some(bad)])])).is_err());
            assert!(canonical_json(&Example { zeta: bad, alpha: None, name: "", choice: Choice::Unit }).is_err());
        }
        let error = canonical_json(&BTreeMap::from([("lr", f64::NAN)])).unwrap_err().to_string();
        assert!(error.contains("NaN"), "{error}");
    }

    proptest! {
        #[test]
        fn order_of_insertion_does_not_show(pairs in proptest::collection::hash_map(".{0,6}", any::<i64>(), 0..12)) {
            let forward: serde_json::Map<String, Value> = pairs.iter().map(|(k, v)| (k.clone(), (*v).into())).collect();
            let mut reversed: Vec<_> = pairs.iter().collect();
            reversed.reverse();
            let backward: HashMap<_, _> = reversed.into_iter().collect();
            prop_assert_eq!(canonical_json(&forward).unwrap(), canonical_json(&backward).unwrap());
        }

        #[test]
        fn finite_floats_read_back_bit_for_bit(x in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO) {
            let back: f64 = serde_json::from_str(&text(&x)).unwrap();
            // the shortest form is unique; reading it may be off by one unit in the last place unless serde_json's
            // exact parser is switched on, so the text is compared through the standard library's parser
            let exact: f64 = text(&x).parse().unwrap();
            prop_assert_eq!(exact.to_bits(), x.to_bits());
            prop_assert!((back - x).abs() <= x.abs() * 1e-15);
        }
    }
}
