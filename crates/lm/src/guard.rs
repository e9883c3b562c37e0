//! Calls into libraries that panic on some files.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread would be caught here and become an error, so that a panic hook need not speak of it.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// What `call` gives, or the message of the panic that it ended in. `call` must leave nothing half-changed that outlives it.
pub(crate) fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    let before = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(before);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| text.to_string()).or_else(|| panic.downcast_ref::<String>().cloned());
        text.unwrap_or_else(|| "no message".into()).replace('\n', " ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(guarded(|| 7), Ok(7));
        let inside = guarded(|| -> u32 {
            if is_guarded() { panic!("line {}\nof it", 3) } else { 0 }
        });
        assert_eq!(inside, Err("line 3 of it".into()));
        assert!(!is_guarded());
    }
}
