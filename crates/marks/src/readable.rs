use std::sync::Arc;

use crate::{Key, Scheme};

/// A watermark as another mark reads it: how units are scored, and the key that texts were marked under.
#[derive(Clone)]
pub struct Readable {
    /// Rules, null and scores of its units.
    pub scheme: Arc<dyn Scheme>,
    /// Its key.
    pub key: Key,
}
