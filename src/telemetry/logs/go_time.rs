//! Times as Go writes them: a layout is the time 2006-01-02 15:04:05 -0700 (MST) in the wanted form.
//!
//! Source: `nextStdChunk` and `appendFormat` of Go's package `time`.

use std::fmt::Write as _;
use std::time::SystemTime;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A layout, in a time zone.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    parts: Vec<Part>,
    zone: TimeZone,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Field(Field),
}

/// A part of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    LongMonth,
    Month,
    Number(Number, Pad),
    LongWeekday,
    Weekday,
    ZoneName,
    /// `PM`, or `pm`.
    Half {
        is_upper: bool,
    },
    Offset(Offset),
    /// Digits behind `separator`, without trailing zeros if `is_trimmed`.
    Fraction {
        separator: char,
        digits: usize,
        is_trimmed: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Year,
    YearOfCentury,
    Month,
    Day,
    DayOfYear,
    Hour,
    HourOfHalf,
    Minute,
    Second,
}

/// The width of a number, and what fills it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pad {
    None,
    Zeros(usize),
    Blanks(usize),
}

/// The offset from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Offset {
    /// UTC is `Z`.
    has_z: bool,
    has_colons: bool,
    precision: Precision,
}

/// The smallest unit that is written of an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Precision {
    Hours,
    Minutes,
    Seconds,
}

impl Layout {
    /// Reads a layout of local times.
    pub(super) fn local(text: &str) -> Self {
        Self::new(text, TimeZone::system())
    }

    /// Reads a layout of times in UTC.
    pub(super) fn utc(text: &str) -> Self {
        Self::new(text, TimeZone::UTC)
    }

    pub(super) fn new(text: &str, zone: TimeZone) -> Self {
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(first) = rest.chars().next() {
            let Some((field, length)) = field(rest) else {
                literal.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Field(field));
            rest = &rest[length..];
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Self { parts, zone }
    }

    /// Appends a time.
    pub(super) fn push(&self, out: &mut String, time: SystemTime) {
        let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(self.zone.clone());
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Field(field) => push(out, *field, &time),
            }
        }
    }

    /// A time as text.
    pub(super) fn text(&self, time: SystemTime) -> String {
        let mut out = String::new();
        self.push(&mut out, time);
        out
    }
}

/// The field that a layout begins with, and its length.
fn field(text: &str) -> Option<(Field, usize)> {
    let is = |prefix: &str| text.starts_with(prefix);
    let number = |number, pad, length| Some((Field::Number(number, pad), length));
    let two = Pad::Zeros(2);
    match text.as_bytes()[0] {
        b'J' if is("January") => Some((Field::LongMonth, 7)),
        b'J' if is("Jan") && !begins_in_lower_case(&text[3..]) => Some((Field::Month, 3)),
        b'M' if is("Monday") => Some((Field::LongWeekday, 6)),
        b'M' if is("Mon") && !begins_in_lower_case(&text[3..]) => Some((Field::Weekday, 3)),
        b'M' if is("MST") => Some((Field::ZoneName, 3)),
        b'0' => match text.as_bytes().get(1)? {
            b'1' => number(Number::Month, two, 2),
            b'2' => number(Number::Day, two, 2),
            b'3' => number(Number::HourOfHalf, two, 2),
            b'4' => number(Number::Minute, two, 2),
            b'5' => number(Number::Second, two, 2),
            b'6' => number(Number::YearOfCentury, two, 2),
            b'0' if is("002") => number(Number::DayOfYear, Pad::Zeros(3), 3),
            _ => None,
        },
        b'1' if is("15") => number(Number::Hour, two, 2),
        b'1' => number(Number::Month, Pad::None, 1),
        b'2' if is("2006") => number(Number::Year, Pad::Zeros(4), 4),
        b'2' => number(Number::Day, Pad::None, 1),
        // A year behind an underscore, and no day.
        b'_' if is("_2006") => None,
        b'_' if is("_2") => number(Number::Day, Pad::Blanks(2), 2),
        b'_' if is("__2") => number(Number::DayOfYear, Pad::Blanks(3), 3),
        b'3' => number(Number::HourOfHalf, Pad::None, 1),
        b'4' => number(Number::Minute, Pad::None, 1),
        b'5' => number(Number::Second, Pad::None, 1),
        b'P' if is("PM") => Some((Field::Half { is_upper: true }, 2)),
        b'p' if is("pm") => Some((Field::Half { is_upper: false }, 2)),
        sign @ (b'-' | b'Z') => offset(&text[1..], sign == b'Z'),
        b'.' | b',' => fraction(text),
        _ => None,
    }
}

/// `Janet` is no month.
fn begins_in_lower_case(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
}

fn offset(text: &str, has_z: bool) -> Option<(Field, usize)> {
    let forms = [
        ("070000", Precision::Seconds),
        ("07:00:00", Precision::Seconds),
        ("0700", Precision::Minutes),
        ("07:00", Precision::Minutes),
        ("07", Precision::Hours),
    ];
    let (form, precision) = forms.into_iter().find(|(form, _)| text.starts_with(form))?;
    let has_colons = form.contains(':');
    Some((Field::Offset(Offset { has_z, has_colons, precision }), 1 + form.len()))
}

/// Zeros or nines that no other digit follows.
fn fraction(text: &str) -> Option<(Field, usize)> {
    let mut chars = text.chars();
    let (separator, digit) = (chars.next()?, chars.next().filter(|digit| matches!(digit, '0' | '9'))?);
    let digits = text[1..].len() - text[1..].trim_start_matches(digit).len();
    if text[1 + digits..].starts_with(|next: char| next.is_ascii_digit()) {
        return None;
    }
    Some((Field::Fraction { separator, digits, is_trimmed: digit == '9' }, 1 + digits))
}

fn push(out: &mut String, field: Field, time: &Zoned) {
    let month = || MONTHS[usize::try_from(time.month() - 1).unwrap_or_default()];
    let weekday = || WEEKDAYS[usize::try_from(time.weekday().to_sunday_zero_offset()).unwrap_or_default()];
    match field {
        Field::LongMonth => out.push_str(month()),
        Field::Month => out.push_str(&month()[..3]),
        Field::LongWeekday => out.push_str(weekday()),
        Field::Weekday => out.push_str(&weekday()[..3]),
        Field::Number(number, pad) => {
            let number = value(number, time);
            let _ = match pad {
                Pad::None => write!(out, "{number}"),
                Pad::Zeros(width) => write!(out, "{number:0width$}"),
                Pad::Blanks(width) => write!(out, "{number:width$}"),
            };
        }
        Field::Half { is_upper } => out.push_str(match (time.hour() >= 12, is_upper) {
            (true, true) => "PM",
            (false, true) => "AM",
            (true, false) => "pm",
            (false, false) => "am",
        }),
        Field::ZoneName => out.push_str(time.time_zone().to_offset_info(time.timestamp()).abbreviation()),
        Field::Offset(offset) => push_offset(out, offset, time.offset().seconds()),
        Field::Fraction { separator, digits, is_trimmed } => {
            let mut fraction = format!("{:09}", time.subsec_nanosecond());
            fraction.truncate(digits);
            let fraction = if is_trimmed { fraction.trim_end_matches('0') } else { &fraction };
            if !fraction.is_empty() {
                out.push(separator);
                out.push_str(fraction);
            }
        }
    }
}

fn value(number: Number, time: &Zoned) -> i16 {
    match number {
        Number::Year => time.year(),
        Number::YearOfCentury => time.year() % 100,
        Number::Month => time.month().into(),
        Number::Day => time.day().into(),
        Number::DayOfYear => time.day_of_year(),
        Number::Hour => time.hour().into(),
        Number::HourOfHalf => match time.hour() % 12 {
            0 => 12,
            hour => hour.into(),
        },
        Number::Minute => time.minute().into(),
        Number::Second => time.second().into(),
    }
}

fn push_offset(out: &mut String, form: Offset, seconds: i32) {
    if form.has_z && seconds == 0 {
        out.push('Z');
        return;
    }
    out.push(if seconds / 60 < 0 { '-' } else { '+' });
    let (colon, seconds) = (if form.has_colons { ":" } else { "" }, seconds.abs());
    let _ = write!(out, "{:02}", seconds / 3600);
    if form.precision >= Precision::Minutes {
        let _ = write!(out, "{colon}{:02}", seconds / 60 % 60);
    }
    if form.precision >= Precision::Seconds {
        let _ = write!(out, "{colon}{:02}", seconds % 60);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// 2026-10-09T12:00:00.123456 in Prague, which is a Friday and the 282nd day.
    fn some_time() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(1_791_540_000_123_456)
    }

    fn prague() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    #[test]
    fn a_layout_is_the_example_time_in_the_wanted_form() {
        for (layout, expected) in [
            // The constants of Go's package.
            ("Mon Jan _2 15:04:05 2006", "Fri Oct  9 12:00:00 2026"),
            ("Mon Jan _2 15:04:05 MST 2006", "Fri Oct  9 12:00:00 CEST 2026"),
            ("Mon Jan 02 15:04:05 -0700 2006", "Fri Oct 09 12:00:00 +0200 2026"),
            ("02 Jan 06 15:04 MST", "09 Oct 26 12:00 CEST"),
            ("Monday, 02-Jan-06 15:04:05 MST", "Friday, 09-Oct-26 12:00:00 CEST"),
            ("2006-01-02T15:04:05Z07:00", "2026-10-09T12:00:00+02:00"),
            ("2006-01-02T15:04:05.999999999Z07:00", "2026-10-09T12:00:00.123456+02:00"),
            ("3:04PM", "12:00PM"),
            ("Jan _2 15:04:05.000", "Oct  9 12:00:00.123"),
            ("01/02 03:04:05PM '06 -0700", "10/09 12:00:00PM '26 +0200"),
            // Every other element.
            ("January 2, 2006 at 3:4:5 pm", "October 9, 2026 at 12:0:0 pm"),
            ("1 002 __2", "10 282 282"),
            ("-07 -07:00 -07:00:00 -070000", "+02 +02:00 +02:00:00 +020000"),
            ("Z07 Z0700 Z07:00:00 Z070000", "+02 +0200 +02:00:00 +020000"),
            ("5,000 5.99 5.000000000000", "0,123 0.12 0.123456000"),
            // What is no element.
            ("_2006 Janet Month MSt Pm", "_2026 Janet Month MSt Pm"),
            (".0001 ,95 .", ".0010 ,90 ."),
            ("\u{e4} [x]", "\u{e4} [x]"),
            ("", ""),
        ] {
            assert_eq!(Layout::new(layout, prague()).text(some_time()), expected, "{layout}");
        }
    }

    #[test]
    fn utc_is_z_and_other_offsets_have_a_sign() {
        let text = |layout: &str, zone| Layout::new(layout, zone).text(SystemTime::UNIX_EPOCH);
        assert_eq!(text("Z07:00 Z07 -07:00 MST", TimeZone::UTC), "Z Z +00:00 UTC");
        let newfoundland = TimeZone::posix("NST3:30").unwrap();
        assert_eq!(
            text("2006-01-02 3PM -07:00 -0700 -07 MST", newfoundland),
            "1969-12-31 8PM -03:30 -0330 -03 NST"
        );
        assert_eq!(text("5.999 5.000", TimeZone::UTC), "0 0.000");
        assert_eq!(text("03 15 _2 __2 002", TimeZone::UTC), "12 00  1   1 001");
    }
}
