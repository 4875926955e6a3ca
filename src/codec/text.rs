//! JSON text: values one after the other, and values as a whole.
//!
//! Source: RFC 8259.

use std::borrow::Cow;

use super::error::Mistake;

/// How deep objects and lists may be nested, the message's own included. PHP reads 512 levels, Python about 1,000.
pub(crate) const MAX_DEPTH: usize = 500;

/// The same for the fields of messages, which are converted recursively.
pub(super) const MAX_TYPED_DEPTH: usize = 100;

/// A mistake, and where it is.
pub(super) type Error = (Mistake, usize);

/// Whether these bytes are one JSON value, which may be nested `MAX_DEPTH - depth` levels deep.
pub(super) fn is_json(bytes: &[u8], depth: usize) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let mut reader = Reader::new(text);
    reader.skip_value(depth).is_ok() && reader.end().is_ok()
}

/// Reads a text from its start to its end. Each method expects the next token and skips the whitespace in front of it.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The number of the next byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// Returns the first byte of the next token.
    pub(super) fn peek(&mut self) -> Result<u8, Error> {
        let bytes = self.bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Ok(*byte);
            }
            self.at += 1;
        }
        Err((Mistake::End, self.at))
    }

    /// Skips a token of one byte, if it is the next one.
    pub(super) fn accept(&mut self, byte: u8) -> Result<bool, Error> {
        let is_next = self.peek()? == byte;
        self.at += usize::from(is_next);
        Ok(is_next)
    }

    /// Skips a token of one byte.
    fn expect(&mut self, byte: u8) -> Result<(), Error> {
        if self.accept(byte)? { Ok(()) } else { Err((Mistake::Syntax, self.at)) }
    }

    /// Nothing is left.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        if self.peek().is_ok() { Err((Mistake::Trailing, self.at)) } else { Ok(()) }
    }

    /// Skips `null`, if it is next.
    pub(super) fn null(&mut self) -> Result<bool, Error> {
        if self.peek()? != b'n' {
            return Ok(false);
        }
        self.literal(b"null")?;
        Ok(true)
    }

    /// Skips the beginning of an object or list and returns whether it has an element.
    pub(super) fn begin(&mut self, open: u8, close: u8) -> Result<bool, Error> {
        self.expect(open)?;
        Ok(!self.accept(close)?)
    }

    /// Skips what follows an element and returns whether there is another one.
    pub(super) fn more(&mut self, close: u8) -> Result<bool, Error> {
        if self.accept(b',')? {
            return Ok(true);
        }
        self.expect(close)?;
        Ok(false)
    }

    /// Returns the key of an object's element, and skips the colon behind it.
    pub(super) fn key(&mut self) -> Result<Cow<'a, str>, Error> {
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        let (inner, has_escapes) = self.raw_string()?;
        Ok(if has_escapes { Cow::Owned(unescape(inner)) } else { Cow::Borrowed(inner) })
    }

    pub(super) fn bool(&mut self) -> Result<bool, Error> {
        match self.peek()? {
            b't' => self.literal(b"true").map(|()| true),
            b'f' => self.literal(b"false").map(|()| false),
            _ => Err((Mistake::Expected("true or false"), self.at)),
        }
    }

    /// Returns a number as it is written.
    pub(super) fn number(&mut self) -> Result<&'a str, Error> {
        if !matches!(self.peek()?, b'-' | b'0'..=b'9') {
            return Err((Mistake::Expected("an integer"), self.at));
        }
        let start = self.at;
        self.skip_number()?;
        Ok(&self.text[start..self.at])
    }

    /// Skips any value, which may be nested `MAX_DEPTH - depth` levels deep, and returns it as it is written.
    pub(super) fn skip_value(&mut self, depth: usize) -> Result<&'a str, Error> {
        self.peek()?;
        let start = self.at;
        let mut open = Open::new(depth);
        loop {
            match self.peek()? {
                b'{' => {
                    self.at += 1;
                    open.push(true).ok_or((Mistake::TooDeep, self.at))?;
                    if !self.accept(b'}')? {
                        self.skip_key()?;
                        continue;
                    }
                    open.pop();
                }
                b'[' => {
                    self.at += 1;
                    open.push(false).ok_or((Mistake::TooDeep, self.at))?;
                    if !self.accept(b']')? {
                        continue;
                    }
                    open.pop();
                }
                b'"' => drop(self.raw_string()?),
                b'-' | b'0'..=b'9' => self.skip_number()?,
                b't' => self.literal(b"true")?,
                b'f' => self.literal(b"false")?,
                b'n' => self.literal(b"null")?,
                _ => return Err((Mistake::Syntax, self.at)),
            }
            // A value has ended, and with it, perhaps, those around it.
            loop {
                let Some(is_object) = open.innermost() else { return Ok(&self.text[start..self.at]) };
                if !self.more(if is_object { b'}' } else { b']' })? {
                    open.pop();
                    continue;
                }
                if is_object {
                    self.skip_key()?;
                }
                break;
            }
        }
    }

    fn skip_key(&mut self) -> Result<(), Error> {
        self.raw_string()?;
        self.expect(b':')
    }

    fn literal(&mut self, literal: &[u8]) -> Result<(), Error> {
        if !self.bytes()[self.at..].starts_with(literal) {
            return Err((Mistake::Syntax, self.at));
        }
        self.at += literal.len();
        Ok(())
    }

    fn skip_number(&mut self) -> Result<(), Error> {
        let bytes = self.bytes();
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
        self.at += usize::from(byte(self.at) == b'-');
        if byte(self.at) == b'0' {
            self.at += 1;
        } else {
            self.skip_digits()?;
        }
        if byte(self.at) == b'.' {
            self.at += 1;
            self.skip_digits()?;
        }
        if matches!(byte(self.at), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(byte(self.at), b'+' | b'-'));
            self.skip_digits()?;
        }
        Ok(())
    }

    fn skip_digits(&mut self) -> Result<(), Error> {
        let digits = self.bytes()[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if digits > 0 { Ok(()) } else { Err((Mistake::Syntax, self.at)) }
    }

    /// Returns a string as it is written, without its quotes, and whether it has escapes.
    fn raw_string(&mut self) -> Result<(&'a str, bool), Error> {
        if self.peek()? != b'"' {
            return Err((Mistake::Expected("a string"), self.at));
        }
        self.at += 1;
        let (bytes, start) = (self.bytes(), self.at);
        let mut has_escapes = false;
        loop {
            self.at += plain(&bytes[self.at..]);
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok((&self.text[start..self.at - 1], has_escapes));
                }
                Some(b'\\') => {
                    has_escapes = true;
                    self.at += escape_length(&bytes[self.at..]).ok_or((Mistake::Syntax, self.at))?;
                }
                Some(_) => return Err((Mistake::Syntax, self.at)),
                None => return Err((Mistake::End, self.at)),
            }
        }
    }
}

/// The length of the escape at the start; `None` if it is not one.
fn escape_length(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => bytes.get(2..6)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
}

/// Whether a byte stands for itself within a string.
const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut byte = 0;
    while byte < b' ' as usize {
        plain[byte] = false;
        byte += 1;
    }
    plain[b'"' as usize] = false;
    plain[b'\\' as usize] = false;
    plain
};

/// How many bytes at the start stand for themselves within a string.
pub(super) fn plain(bytes: &[u8]) -> usize {
    const LOW: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = LOW << 7;
    const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
    const BACKSLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);
    // Eight bytes at a time, as long as none of them is special. Borrows may cross bytes, but only from one that is.
    let is_special = |word: u64| {
        let zero = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
        let control = word.wrapping_sub(LOW * 0x20) & !word & HIGH;
        control | zero(word ^ QUOTES) | zero(word ^ BACKSLASHES) != 0
    };
    let (words, _) = bytes.as_chunks::<8>();
    let at = 8 * words.iter().take_while(|word| !is_special(u64::from_ne_bytes(**word))).count();
    at + bytes[at..].iter().take_while(|byte| PLAIN[usize::from(**byte)]).count()
}

/// Replaces the escapes in a string that has been read. As in Go, half a surrogate pair becomes U+FFFD.
fn unescape(mut text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    while let Some(at) = memchr::memchr(b'\\', text.as_bytes()) {
        out.push_str(&text[..at]);
        let (character, length) = match text.as_bytes()[at + 1] {
            b'b' => ('\x08', 2),
            b'f' => ('\x0c', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            b'u' => utf16(&text[at..]),
            other => (char::from(other), 2),
        };
        out.push(character);
        text = &text[at + length..];
    }
    out.push_str(text);
    out
}

/// The character of the escape at the start, and its length in bytes.
fn utf16(text: &str) -> (char, usize) {
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
    let units = [unit(text), text.get(6..).and_then(unit)];
    let decoded = char::decode_utf16(units.into_iter().map_while(|unit| unit)).next();
    let character = decoded.and_then(Result::ok).unwrap_or(char::REPLACEMENT_CHARACTER);
    (character, 6 * character.len_utf16())
}

/// The kinds of the objects and lists around a value: a bit for each.
struct Open {
    is_object: [u64; MAX_DEPTH.div_ceil(64)],
    depth: usize,
    outer: usize,
}

impl Open {
    fn new(outer: usize) -> Self {
        Self { is_object: [0; MAX_DEPTH.div_ceil(64)], depth: outer, outer }
    }

    /// `None` if this is too deep.
    fn push(&mut self, is_object: bool) -> Option<()> {
        if self.depth >= MAX_DEPTH {
            return None;
        }
        let (word, bit) = (self.depth / 64, 1 << (self.depth % 64));
        if is_object {
            self.is_object[word] |= bit;
        } else {
            self.is_object[word] &= !bit;
        }
        self.depth += 1;
        Some(())
    }

    fn pop(&mut self) {
        self.depth -= 1;
    }

    /// Whether the innermost one is an object; `None` if there is none.
    fn innermost(&self) -> Option<bool> {
        let at = (self.depth > self.outer).then(|| self.depth - 1)?;
        Some(self.is_object[at / 64] >> (at % 64) & 1 == 1)
    }
}
