//! Files of variables, in the dialect of godotenv 1.5.1, which RoadRunner 2025.1.15 uses.
//!
//! Its quirks are kept, so that a file means the same here: unquoted values may have blanks, apostrophes and backslashes; a `#` starts a
//! comment only after a blank, and the last one counts; `NAME: value` is a line too; what follows a closing quote is the next line; and
//! `$NAME`, in capitals, is a variable of the same file. `tests/vectors/dotenv.json` holds godotenv's results for many files. The only
//! difference is a name with bytes that are not UTF-8.
//!
//! A message never quotes the file.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

/// Bytes of a file, and of all values together: nested variables must not turn a small file into a large environment.
const MAX_BYTES: usize = 1 << 20;

/// Why a file cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Counted from one.
    pub(super) line: usize,
    pub(super) message: String,
}

/// Names and values, each name once, in the order of the file. Values keep bytes that are not UTF-8.
pub(super) fn parse(file: &[u8]) -> Result<Vec<(String, OsString)>, Wrong> {
    if file.len() > MAX_BYTES {
        return Err(Wrong { line: 1, message: format!("the file is larger than {MAX_BYTES} bytes") });
    }
    let text = to_text(file).replace("\r\n", "\n");
    let mut reader = Reader { text: &text, rest: &text, variables: Vec::new(), bytes: 0 };
    while reader.goes_on() {
        let name = reader.name()?;
        let line = reader.line(reader.rest);
        let value = reader.value()?;
        reader.add(name, value, line)?;
    }
    let bytes = |text: &str| OsString::from_vec(to_bytes(text));
    Ok(reader.variables.into_iter().map(|(name, value)| (name, bytes(&value))).collect())
}

/// Characters that stand for single bytes: U+10FF80 to U+10FFFF, which no one uses, for 0x80 to 0xff.
const BYTES: u32 = 0x10_ff00;

/// The bytes as text, one character for each byte that is not UTF-8.
fn to_text(bytes: &[u8]) -> String {
    let byte = |byte: &u8| char::from_u32(BYTES + u32::from(*byte));
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match as_byte(c) {
                // Someone uses them after all.
                Some(_) => text.extend(c.to_string().as_bytes().iter().filter_map(byte)),
                None => text.push(c),
            }
        }
        text.extend(chunk.invalid().iter().filter_map(byte));
    }
    text
}

/// The bytes of a text made by [`to_text`].
fn to_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match as_byte(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

fn as_byte(c: char) -> Option<u8> {
    let byte = u32::from(c).checked_sub(BYTES).and_then(|byte| u8::try_from(byte).ok())?;
    (byte >= 0x80).then_some(byte)
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    variables: Vec<(String, String)>,
    bytes: usize,
}

impl Reader<'_> {
    /// Skips blank lines and comments; false at the end of the file.
    fn goes_on(&mut self) -> bool {
        loop {
            self.rest = self.rest.trim_start();
            if !self.rest.starts_with('#') {
                return !self.rest.is_empty();
            }
            self.rest = self.rest.find('\n').map_or("", |end| &self.rest[end..]);
        }
    }

    /// Reads the name before `=` or `:`. A last line without either is a value with an empty name.
    fn name(&mut self) -> Result<String, Wrong> {
        let mut rest = self.rest.trim_start_matches(is_blank);
        if let Some(exported) = rest.strip_prefix("export").filter(|rest| rest.starts_with(is_blank)) {
            rest = exported.trim_start_matches(is_blank);
        }
        if rest.is_empty() {
            return Err(self.wrong(self.rest, "expected a name after `export`"));
        }
        let end = rest.bytes().position(|byte| !is_of_a_name(byte));
        let (name, behind) = match end {
            Some(end) if matches!(rest.as_bytes()[end], b'=' | b':') => (&rest[..end], &rest[end + 1..]),
            Some(end) => {
                let at = &rest[rest.floor_char_boundary(end)..];
                return Err(self.wrong(at, "expected NAME=value: invalid character in the name"));
            }
            None => ("", rest),
        };
        self.rest = behind.trim_start_matches(is_blank);
        Ok(name.trim_end().to_owned())
    }

    fn value(&mut self) -> Result<String, Wrong> {
        match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            _ => Ok(self.unquoted()),
        }
    }

    /// Reads up to the end of the line, or the last `#` after a blank.
    fn unquoted(&mut self) -> String {
        let (line, behind) = self.rest.split_at(self.rest.find(['\n', '\r']).unwrap_or(self.rest.len()));
        self.rest = behind;
        let comment = line.rmatch_indices('#').find(|(at, _)| line[..*at].ends_with(is_blank));
        let value = comment.map_or(line, |(at, _)| &line[..at]);
        self.expand(value.trim_matches(is_blank))
    }

    /// Reads up to the next quote without a backslash before it, possibly over several lines.
    fn quoted(&mut self, quote: char) -> Result<String, Wrong> {
        let bytes = self.rest.as_bytes();
        let end =
            self.rest.match_indices(quote).map(|(at, _)| at).find(|at| *at > 0 && bytes[at - 1] != b'\\');
        let Some(end) = end else {
            return Err(self.wrong(self.rest, "unterminated quoted value"));
        };
        let inner = self.rest[..end].trim_matches(quote);
        self.rest = &self.rest[end + 1..];
        Ok(if quote == '"' { self.expand(&unescape(inner)) } else { inner.to_owned() })
    }

    /// Replaces `$NAME` and `${NAME}` by earlier values of the file; a backslash before the dollar sign prevents that.
    fn expand(&self, text: &str) -> String {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, from) = rest.split_at(at);
            let behind = &from[1..];
            let behind = behind.strip_prefix('(').unwrap_or(behind);
            let behind = behind.strip_prefix('{').unwrap_or(behind);
            let is_name = |c: char| c == '_' || c.is_ascii_uppercase() || c.is_ascii_digit();
            let (name, behind) = behind.split_at(behind.find(|c| !is_name(c)).unwrap_or(behind.len()));
            let behind = behind.strip_prefix('}').unwrap_or(behind);
            let whole = &from[..from.len() - behind.len()];
            match before.strip_suffix('\\') {
                Some(before) => expanded.extend([before, whole]),
                None if name.is_empty() => expanded.extend([before, whole]),
                None => expanded.extend([before, self.get(name)]),
            }
            rest = behind;
            if expanded.len() > MAX_BYTES {
                break;
            }
        }
        expanded.push_str(rest);
        expanded
    }

    fn get(&self, name: &str) -> &str {
        self.variables.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }

    fn add(&mut self, name: String, value: String, line: usize) -> Result<(), Wrong> {
        self.bytes += value.len();
        if self.bytes > MAX_BYTES {
            return Err(Wrong {
                line,
                message: format!("the values are larger than {MAX_BYTES} bytes in total"),
            });
        }
        match self.variables.iter_mut().find(|(other, _)| *other == name) {
            Some((_, old)) => *old = value,
            None => self.variables.push((name, value)),
        }
        Ok(())
    }

    /// The line in which `rest`, a tail of the file, begins.
    fn line(&self, rest: &str) -> usize {
        1 + self.text[..self.text.len() - rest.len()].matches('\n').count()
    }

    fn wrong(&self, rest: &str, message: &str) -> Wrong {
        Wrong { line: self.line(rest), message: message.to_owned() }
    }
}

/// Blanks within a line.
fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

/// godotenv treats bytes as characters of Latin-1 here.
fn is_of_a_name(byte: u8) -> bool {
    let c = char::from(byte);
    is_blank(c) || matches!(c, '_' | '.') || c.is_alphanumeric()
}

/// Resolves backslashes within double quotes: `\n` and `\r` are line ends, `\$` is left for later, and any other character is itself.
fn unescape(text: &str) -> String {
    let mut line_ends = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            line_ends.push(c);
            continue;
        }
        match chars.clone().next() {
            Some('n') => line_ends.push('\n'),
            Some('r') => line_ends.push('\r'),
            Some(other) if other != '\n' => line_ends.extend(['\\', other]),
            _ => {
                line_ends.push('\\');
                continue;
            }
        }
        chars.next();
    }
    let mut plain = String::with_capacity(line_ends.len());
    let mut chars = line_ends.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek().filter(|next| c == '\\' && **next != '$') {
            Some(_) => plain.extend(chars.next()),
            None => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(file: &str) -> Result<BTreeMap<String, String>, Wrong> {
        let text = |(name, value): (String, OsString)| (name, value.into_string().unwrap());
        parse(file.as_bytes()).map(|variables| variables.into_iter().map(text).collect())
    }

    #[test]
    fn values_keep_their_bytes() {
        for value in [&b"Caf\xe9"[..], b"\xff\xfe x \x80", b"\xc3", "\u{10ffa0}\u{e9}".as_bytes()] {
            for (quote, file) in [("", b"A=" as &[u8]), ("\"", b"A=\""), ("'", b"A='")] {
                let file = [file, value, quote.as_bytes(), b"\nB=$A.\n"].concat();
                let expected = [value, b"."].concat();
                let variables = parse(&file).unwrap();
                assert_eq!(variables[0], ("A".into(), OsString::from_vec(value.to_vec())));
                assert_eq!(variables[1], ("B".into(), OsString::from_vec(expected)));
            }
        }
    }

    #[test]
    fn files_mean_what_they_mean_to_godotenv() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/dotenv.json")).unwrap();
        let cases = vectors["cases"].as_array().unwrap();
        assert!(cases.len() >= 150, "{}", cases.len());
        for case in cases {
            let file = case["in"].as_str().unwrap();
            let theirs = case.get("out").map(|out| serde_json::from_value(out.clone()).unwrap());
            assert_eq!(read(file).ok(), theirs, "{file:?}");
        }
    }

    #[test]
    fn a_message_names_the_line_and_shows_nothing() {
        for (file, line) in [
            ("A=b\n\nC='hunter2\nD=hunter2", 3),
            ("A=b\nhunter2\nC=d\n", 2),
            ("A=b\r\nX=\"a\nb\"\r\nhunter2!=x\n", 4),
            ("export ", 1),
            ("A=\"x\" hunter2\n", 1),
            ("\u{feff}A=hunter2\n", 1),
        ] {
            let wrong = read(file).unwrap_err();
            assert_eq!(wrong.line, line, "{file:?}");
            assert!(!wrong.message.contains("hunter2"), "{file:?}");
        }
    }

    #[test]
    fn a_small_file_cannot_become_a_large_environment() {
        let mut file = String::from("A0=0123456789\n");
        for level in 1..30 {
            let line = format!("A{level}={}\n", format!("$A{}", level - 1).repeat(10));
            file.push_str(&line);
        }
        let wrong = read(&file).unwrap_err();
        assert!(wrong.message.contains("1048576 bytes"), "{}", wrong.message);
        assert!(parse(&vec![b' '; MAX_BYTES + 1]).is_err());
    }

    #[test]
    fn any_bytes_are_variables_or_an_error() {
        bolero::check!().with_type::<Vec<u8>>().with_iterations(20_000).for_each(|file| drop(parse(file)));
    }
}
