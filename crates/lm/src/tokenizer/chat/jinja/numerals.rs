//! Numbers written with a stated layout, for `%`, `format` and `round`.

/// Most digits behind a point.
pub const MAX_PRECISION: usize = 10_000;

/// How something is put into its field.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    pub fill: char,
    /// `<`, `>`, `^`, or `=` for blanks between the sign and the digits.
    pub align: char,
    /// `-`, `+` or a blank.
    pub sign: char,
    pub zero: bool,
    pub alternate: bool,
    pub width: usize,
}

impl Default for Layout {
    fn default() -> Self {
        Self { fill: ' ', align: '<', sign: '-', zero: false, alternate: false, width: 0 }
    }
}

/// `text` (digits with their sign, or anything) in its field.
pub fn laid_out(text: &str, layout: &Layout) -> String {
    let is_number = text.trim_start_matches('-').starts_with(|c: char| c.is_ascii_alphanumeric());
    let text = match layout.sign {
        '-' => text.to_string(),
        _ if text.starts_with('-') || !is_number => text.to_string(),
        sign => format!("{sign}{text}"),
    };
    let missing = layout.width.saturating_sub(text.chars().count());
    let fill = |n: usize, with: char| with.to_string().repeat(n);
    let inner = layout.align == '=' || layout.zero && layout.align == '>';
    if inner {
        let with = if layout.zero { '0' } else { layout.fill };
        let signs = text.len() - text.trim_start_matches(['-', '+', ' ']).len();
        let prefix = ["0x", "0X", "0o", "0b"].iter().any(|prefix| text[signs..].starts_with(prefix));
        let at = signs + if prefix { 2 } else { 0 };
        return format!("{}{}{}", &text[..at], fill(missing, with), &text[at..]);
    }
    match layout.align {
        '>' => fill(missing, layout.fill) + &text,
        '^' => format!("{}{text}{}", fill(missing / 2, layout.fill), fill(missing - missing / 2, layout.fill)),
        _ => text + &fill(missing, layout.fill),
    }
}

/// At least `least` digits.
pub fn grouped_digits(digits: &str, least: usize) -> String {
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits),
    };
    format!("{sign}{}{digits}", "0".repeat(least.saturating_sub(digits.len())))
}

/// A whole number in the notation that `letter` names.
pub fn radix(n: i128, letter: char, prefixed: bool) -> String {
    let sign = if n < 0 { "-" } else { "" };
    let n = n.unsigned_abs();
    let (prefix, digits) = match letter {
        'x' => ("0x", format!("{n:x}")),
        'X' => ("0X", format!("{n:X}")),
        'o' => ("0o", format!("{n:o}")),
        'b' => ("0b", format!("{n:b}")),
        _ => ("", n.to_string()),
    };
    format!("{sign}{}{digits}", if prefixed { prefix } else { "" })
}

fn special(x: f64) -> Option<String> {
    if x.is_nan() {
        return Some("nan".into());
    }
    x.is_infinite().then(|| if x > 0.0 { "inf" } else { "-inf" }.into())
}

/// With so many digits behind the point, rounded to even where the decimal value lies just between.
pub fn fixed(x: f64, precision: usize) -> String {
    special(x).unwrap_or_else(|| format!("{x:.precision$}"))
}

/// With an exponent.
pub fn scientific(x: f64, precision: usize) -> String {
    if let Some(special) = special(x) {
        return special;
    }
    let written = format!("{x:.precision$e}");
    let (digits, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// With so many digits that count; zeros behind the point only when `keeps` them.
pub fn general(x: f64, precision: usize, keeps: bool) -> String {
    if let Some(special) = special(x) {
        return special;
    }
    let precision = precision.max(1);
    let probe = scientific(x, precision - 1);
    let exponent: i64 = probe.rsplit_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    let trim = |digits: &str| {
        if keeps || !digits.contains('.') {
            digits.to_string()
        } else {
            digits.trim_end_matches('0').trim_end_matches('.').to_string()
        }
    };
    if (-4..precision as i64).contains(&exponent) {
        return trim(&fixed(x, usize::try_from(precision as i64 - 1 - exponent).unwrap_or(0)));
    }
    let (digits, exponent) = probe.split_once('e').unwrap_or((&probe, "+00"));
    format!("{}e{exponent}", trim(digits))
}
