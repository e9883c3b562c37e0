//! Questions in the chat template of the teacher's tokenizer: under which date, and what the template itself takes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lm::{ChatError, ChatMessage, ChatOptions, Tokenizer};
use oracle::Codec;

/// The first second (UTC) of a day written as `2026-01-31`, from 1970 to 9999.
pub fn day(typed: &str) -> Option<SystemTime> {
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = typed.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let fits = typed.len() == 10 && typed.get(4..5) == Some("-") && typed.get(7..8) == Some("-");
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if !fits || year < 1970 || !(1..=12).contains(&month) || day == 0 || day > lengths[month as usize - 1] {
        return None;
    }
    let years: u64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    let months: u64 = lengths[..month as usize - 1].iter().sum();
    Some(UNIX_EPOCH + Duration::from_secs((years + months + day - 1) * 86_400))
}

/// What a template is told: that the model speaks next, and the date of the experiment, if it states one.
pub fn options(date: Option<&str>) -> ChatOptions {
    ChatOptions { add_generation_prompt: true, now: date.and_then(day), ..ChatOptions::default() }
}

/// What to do about an error of the teacher's template.
pub fn remedy(error: &ChatError) -> &'static str {
    match error {
        ChatError::NeedsDate => "write queries.chat_date = \"2026-01-31\" (any day: it is part of the experiment)",
        _ => "drop queries.chat, or repair the template",
    }
}

/// Tokens that the template puts around a user's message.
///
/// # Errors
/// When the tokenizer brought no template, or the template refuses a message.
pub fn template_tokens(tokenizer: &Tokenizer, date: Option<&str>) -> Result<usize, ChatError> {
    let message = "Hello";
    let whole = tokenizer.encode_chat(&[ChatMessage::user(message)], &options(date))?;
    Ok(whole.len().saturating_sub(tokenizer.encode(message).len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        // `date -u -d DAY +%s`
        for (typed, seconds) in
            [("1970-01-01", 0), ("2000-02-29", 951_782_400), ("2024-07-26", 1_721_952_000), ("2100-02-28", 4_107_456_000)]
        {
            assert_eq!(day(typed), Some(UNIX_EPOCH + Duration::from_secs(seconds)), "{typed}");
        }
        for typed in [
            "",
            "2026",
            "2026-1-31",
            "2026-02-29",
            "2026-13-01",
            "1969-12-31",
            "2026-01-00",
            "2026/01/31",
            "+026-01-31",
            "ä026-01-1",
        ] {
            assert_eq!(day(typed), None, "{typed}");
        }
    }
}
