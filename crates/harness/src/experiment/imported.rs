use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Exchanges that a server outside answered, in place of what the teacher would be asked here. `queries` still says how long rows may be,
/// how answers were drawn, and how many rows each budget takes from the beginning of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TranscriptConfig {
    /// What the marked server answered: `.jsonl` or `.parquet`, one row an exchange, with `prompt` and `answer` (text or token ids),
    /// `prompt_ids` and `answer_ids`, or `messages`; and where known `account`, `key` and `stop`. Students learn from it.
    pub import: String,
    /// What the server answered to the same prompts without marks: controls learn from it. Without it no mark is proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
}
