//! Dates in the words of C's `strftime`, as far as chat templates use it.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// `now` (UTC) as `format` says, in the words of the C locale; what C does not know is an error. As glibc has it, `-` leaves out
/// zeros and blanks in front of a number (`%-d`), and `^` writes capitals.
pub(super) fn strftime(now: SystemTime, format: &str) -> Result<String, String> {
    let mut shown = String::new();
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            shown.push(c);
            continue;
        }
        let mut letter = rest.next();
        let mut flags = Vec::new();
        while let Some(flag @ ('-' | '^' | '_' | '0')) = letter {
            flags.push(flag);
            letter = rest.next();
        }
        let written = letter.and_then(|letter| Date::of(now).part(letter));
        let Some(mut written) = written else {
            let flags: String = flags.iter().collect();
            return Err(format!("`%{flags}{}` is not known", letter.map(String::from).unwrap_or_default()));
        };
        for flag in flags {
            let bare = written.trim_start_matches(['0', ' ']);
            let bare = if bare.is_empty() { "0" } else { bare };
            let pad = |with: &str| with.repeat(written.chars().count().saturating_sub(bare.len())) + bare;
            let number = written.trim().chars().all(|c| c.is_ascii_digit());
            written = match flag {
                '^' => written.to_uppercase(),
                '-' if number => bare.into(),
                '_' if number => pad(" "),
                '0' if number => pad("0"),
                _ => written,
            };
        }
        shown.push_str(&written);
    }
    Ok(shown)
}

/// A second of the calendar, in UTC.
struct Date {
    seconds: u64,
    year: u64,
    month: u64,
    day: u64,
    /// From 0, Sunday.
    weekday: u64,
    /// From 0.
    day_of_year: u64,
}

impl Date {
    fn of(now: SystemTime) -> Self {
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let days = seconds / 86_400;
        let (year, month, day) = civil(days);
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month as usize - 1];
        let day_of_year = before + u64::from(leap && month > 2) + day - 1;
        Self { seconds, year, month, day, weekday: (days + 4) % 7, day_of_year }
    }

    /// What one letter stands for.
    fn part(&self, letter: char) -> Option<String> {
        let Self { seconds, year, month, day, weekday, day_of_year } = *self;
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let twelve = (hour + 11) % 12 + 1;
        let month_name = MONTHS[month as usize - 1];
        let day_name = DAYS[weekday as usize];
        let all = |letters: &str, between: &str| {
            letters.chars().map(|letter| self.part(letter)).collect::<Option<Vec<_>>>().map(|parts| parts.join(between))
        };
        Some(match letter {
            'Y' => year.to_string(),
            'C' => format!("{:02}", year / 100),
            'y' => format!("{:02}", year % 100),
            'm' => format!("{month:02}"),
            'B' => month_name.into(),
            'b' | 'h' => month_name[..3].into(),
            'd' => format!("{day:02}"),
            'e' => format!("{day:2}"),
            'j' => format!("{:03}", day_of_year + 1),
            'A' => day_name.into(),
            'a' => day_name[..3].into(),
            'w' => weekday.to_string(),
            'u' => ((weekday + 6) % 7 + 1).to_string(),
            'U' => format!("{:02}", (day_of_year + 7 - weekday) / 7),
            'W' => format!("{:02}", (day_of_year + 7 - (weekday + 6) % 7) / 7),
            'H' => format!("{hour:02}"),
            'k' => format!("{hour:2}"),
            'I' => format!("{twelve:02}"),
            'l' => format!("{twelve:2}"),
            'p' => if hour < 12 { "AM" } else { "PM" }.into(),
            'P' => if hour < 12 { "am" } else { "pm" }.into(),
            'M' => format!("{minute:02}"),
            'S' => format!("{second:02}"),
            'f' => "000000".into(),
            's' => seconds.to_string(),
            'F' => all("Ymd", "-")?,
            'T' | 'X' => all("HMS", ":")?,
            'R' => all("HM", ":")?,
            'D' | 'x' => all("mdy", "/")?,
            'r' => format!("{} {}", all("IMS", ":")?, self.part('p')?),
            'c' => all("abeTY", " ")?,
            // what Python's `datetime.now()` gives: it knows no zone
            'Z' | 'z' => String::new(),
            'n' => "\n".into(),
            't' => "\t".into(),
            '%' => "%".into(),
            _ => return None,
        })
    }
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms",
/// `civil_from_days`, for days from the epoch on).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // `date -u -d @SECONDS`
        for (seconds, shown) in [
            (0, "Thursday 01 Jan 1970 00:00:00 12 AM"),
            (951_782_400, "Tuesday 29 Feb 2000 00:00:00 12 AM"),
            (1_721_995_199, "Friday 26 Jul 2024 11:59:59 11 AM"),
            (4_107_542_399, "Sunday 28 Feb 2100 23:59:59 11 PM"),
        ] {
            let now = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(strftime(now, "%A %d %b %Y %T %I %p").unwrap(), shown);
        }
        assert_eq!(strftime(UNIX_EPOCH, "100%% %F").unwrap(), "100% 1970-01-01");
        let now = UNIX_EPOCH + Duration::from_secs(1_709_283_845);
        // `date -u -d @1709283845 +...`, in the C locale
        let (format, shown) = (
            "%-d %e %j %U %W %u %w %y %C %k %l %-I %R %r %D %c %^a %h",
            "1  1 061 08 09 5 5 24 20  9  9 9 09:04 09:04:05 AM 03/01/24 Fri Mar  1 09:04:05 2024 FRI Mar",
        );
        assert_eq!(strftime(now, format).unwrap(), shown);
        assert!(strftime(UNIX_EPOCH, "%Q").unwrap_err().contains("`%Q` is not known"));
        assert!(strftime(UNIX_EPOCH, "%").is_err());
    }
}
