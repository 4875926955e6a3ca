//! Authorities that are socket paths.
//!
//! gRPC's C core (C++, Python, PHP, Ruby) calls a unix socket with its path as `:authority`, percent-encoded (`%2Ftmp%2Fx.sock`); others
//! send the path as it is. grpc-go's server accepts any authority, but `h2` parses it as part of a URI and resets the stream. It has no
//! hook between its HPACK decoder and that parser. So on unix sockets the characters that no URI may have are replaced in the HEADERS
//! frame, before `h2` reads it.
//!
//! A replacement has the same length on the wire, in Huffman code too. So frames and HPACK's dynamic table keep their sizes, later
//! references find the replaced value, and only this one literal has to be parsed. Workers still see the authority that was sent.

/// The static table's index of `:authority`.
const AUTHORITY: usize = 1;

/// Huffman codes of up to eight bits: the bits, the first code, and the symbols in the order of their codes. Source: RFC 7541, appendix B.
const SHORT: [(u32, u32, &[u8]); 4] = [
    (5, 0x00, b"012aceiost"),
    (6, 0x14, b" %-./3456789=A_bdfghlmnpru"),
    (7, 0x5c, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, 0xf8, b"&*,;XZ"),
];

/// Longer codes, of symbols that a path may have.
const LONG: [(u32, u32, &[u8]); 6] = [
    (10, 0x3f8, b"!\"()?"),
    (11, 0x7fa, b"'+|"),
    (12, 0xffa, b"#>"),
    (13, 0x1ff8, b"\0$@[]~"),
    (14, 0x3ffc, b"^}"),
    (15, 0x7ffc, b"<`{"),
];

/// An authority that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replaced {
    /// What `h2` reads.
    pub(super) by: String,
    /// What the caller sent.
    pub(super) sent: String,
}

/// Replaces the authority in the payload of a HEADERS frame with these flags, if it is a socket path. A malformed block is left for `h2`
/// to reject.
pub(super) fn replace(flags: u8, payload: &mut [u8]) -> Option<Replaced> {
    let (padded, priority) = (flags & 0x8 != 0, flags & 0x20 != 0);
    let begin = usize::from(padded) + if priority { 5 } else { 0 };
    let padding = if padded { usize::from(*payload.first()?) } else { 0 };
    let end = payload.len().checked_sub(padding)?;
    let block = payload.get_mut(begin..end)?;
    let (at, length, is_huffman) = find(block)?;
    let value = block.get_mut(at..at + length)?;
    if is_huffman { replace_huffman(value) } else { replace_plain(value) }
}

/// Finds the literal value of `:authority` in a header block: its offset, its length, and whether it is Huffman-coded.
fn find(block: &[u8]) -> Option<(usize, usize, bool)> {
    let mut at = 0;
    while let Some(&first) = block.get(at) {
        // RFC 7541, section 6: the first bits tell the kind of a field and how many bits its index has.
        let bits = match first {
            0x80.. => 7,
            0x40..0x80 => 6,
            0x20..0x40 => 5,
            _ => 4,
        };
        let index = integer(block, &mut at, bits)?;
        if first >= 0x80 || (0x20..0x40).contains(&first) {
            continue;
        }
        let is_authority = if index == 0 {
            let (name, is_huffman) = string(block, &mut at)?;
            let name = block.get(name)?;
            if is_huffman {
                decode(name).is_some_and(|name| name == b":authority")
            } else {
                name == b":authority"
            }
        } else {
            index == AUTHORITY
        };
        let (value, is_huffman) = string(block, &mut at)?;
        if is_authority {
            return Some((value.start, value.len(), is_huffman));
        }
    }
    None
}

/// Reads an integer with a prefix of `bits` bits (RFC 7541, section 5.1).
fn integer(block: &[u8], at: &mut usize, bits: u32) -> Option<usize> {
    let mask = (1_usize << bits) - 1;
    let mut value = usize::from(*block.get(*at)?) & mask;
    *at += 1;
    if value < mask {
        return Some(value);
    }
    for shift in [0, 7, 14] {
        let byte = *block.get(*at)?;
        *at += 1;
        value += usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Reads over a string: its range, and whether it is Huffman-coded.
fn string(block: &[u8], at: &mut usize) -> Option<(std::ops::Range<usize>, bool)> {
    let is_huffman = block.get(*at)? & 0x80 != 0;
    let length = integer(block, at, 7)?;
    let range = *at..at.checked_add(length).filter(|end| *end <= block.len())?;
    *at = range.end;
    Some((range, is_huffman))
}

fn is_path(authority: &[u8]) -> bool {
    authority.contains(&b'/') || authority.contains(&b'%')
}

fn replace_plain(value: &mut [u8]) -> Option<Replaced> {
    if !is_path(value) {
        return None;
    }
    let sent = String::from_utf8_lossy(value).into_owned();
    for byte in value.iter_mut().filter(|byte| !byte.is_ascii_alphanumeric() && **byte != b'.') {
        *byte = b'-';
    }
    Some(Replaced { by: String::from_utf8_lossy(value).into_owned(), sent })
}

fn replace_huffman(value: &mut [u8]) -> Option<Replaced> {
    let sent = decode(value).filter(|sent| is_path(sent))?;
    let (mut by, mut at) = (Vec::with_capacity(sent.len()), 0);
    while let Some((symbol, bits)) = symbol(value, at) {
        let replacement = match bits {
            6 if !symbol.is_ascii_alphanumeric() && symbol != b'.' => b'-',
            7 if symbol == b':' => b'B',
            8 if !symbol.is_ascii_alphanumeric() => b'X',
            _ => symbol,
        };
        by.push(replacement);
        if let Some(code) = code_of(replacement, bits) {
            write(value, at, bits, code);
        }
        at += bits as usize;
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(Replaced { by: text(&by), sent: text(&sent) })
}

/// Decodes a Huffman-coded string; `None` if it has characters that no path has.
fn decode(value: &[u8]) -> Option<Vec<u8>> {
    let (mut decoded, mut at) = (Vec::new(), 0);
    while let Some((symbol, bits)) = symbol(value, at) {
        decoded.push(symbol);
        at += bits as usize;
    }
    // The rest is padding: fewer than eight ones.
    let left = (value.len() * 8).checked_sub(at)?;
    (left < 8 && (0..left).all(|bit| read(value, at + bit, 1) == Some(1))).then_some(decoded)
}

/// The symbol whose code starts at this bit, and the length of the code.
fn symbol(value: &[u8], at: usize) -> Option<(u8, u32)> {
    SHORT.iter().chain(&LONG).find_map(|(bits, first, symbols)| {
        let place = read(value, at, *bits)?.checked_sub(*first)?;
        symbols.get(place as usize).map(|symbol| (*symbol, *bits))
    })
}

/// The code of a symbol among those of `bits` bits, up to eight.
fn code_of(symbol: u8, bits: u32) -> Option<u32> {
    let (_, first, symbols) = SHORT.iter().find(|(length, ..)| *length == bits)?;
    let place = symbols.iter().position(|other| *other == symbol)?;
    Some(first + u32::try_from(place).ok()?)
}

fn read(value: &[u8], at: usize, bits: u32) -> Option<u32> {
    (at..at + bits as usize).try_fold(0, |code, bit| {
        let byte = value.get(bit / 8)?;
        Some(code << 1 | u32::from(byte >> (7 - bit % 8) & 1))
    })
}

fn write(value: &mut [u8], at: usize, bits: u32, code: u32) {
    for bit in 0..bits as usize {
        let (place, mask) = ((at + bit) / 8, 0x80 >> ((at + bit) % 8));
        if let Some(byte) = value.get_mut(place) {
            let is_set = code >> (bits as usize - 1 - bit) & 1 == 1;
            *byte = if is_set { *byte | mask } else { *byte & !mask };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(text: &[u8]) -> Vec<u8> {
        let mut bits = String::new();
        for byte in text {
            let (length, first, symbols) =
                SHORT.iter().chain(&LONG).find(|(.., symbols)| symbols.contains(byte)).unwrap();
            let code =
                first + u32::try_from(symbols.iter().position(|other| other == byte).unwrap()).unwrap();
            bits.extend((0..*length).rev().map(|bit| if code >> bit & 1 == 1 { '1' } else { '0' }));
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        bits.as_bytes()
            .chunks(8)
            .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
            .collect()
    }

    fn literal(first: u8, name: &[u8], value: &[u8], is_huffman: bool) -> Vec<u8> {
        let value = if is_huffman { encode(value) } else { value.to_vec() };
        let mut block = vec![first];
        block.extend(name);
        block.push(u8::try_from(value.len()).unwrap() | if is_huffman { 0x80 } else { 0 });
        block.extend(value);
        block
    }

    /// What h2 reads of a HEADERS frame whose authority was replaced.
    async fn read_by_h2(payload: &[u8], flags: u8) -> Option<String> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        far.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let length = u8::try_from(payload.len()).unwrap();
        far.write_all(&[0, 0, length, 1, flags | 0x5, 0, 0, 0, 1]).await.unwrap();
        far.write_all(payload).await.unwrap();
        let mut server = h2::server::handshake(near).await.unwrap();
        tokio::spawn(async move { while far.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {} });
        let accepted = tokio::time::timeout(std::time::Duration::from_millis(200), server.accept()).await;
        let (request, _) = accepted.ok()??.ok()?;
        Some(request.uri().authority()?.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_path_becomes_an_authority_that_h2_accepts_and_is_remembered() {
        // :method POST, :scheme http, :path /
        let others = [0x83, 0x86, 0x84];
        for sent in ["%2Ftmp%2Fx.sock", "/run/a b_c/php:8-2=x,y.sock", "[fe80::1%25eth0]:1/"] {
            for is_huffman in [false, true] {
                for (first, name) in [(0x41, &b""[..]), (0x01, b""), (0x11, b""), (0x40, b"\x0a:authority")] {
                    let mut payload = others.to_vec();
                    payload.extend(literal(first, name, sent.as_bytes(), is_huffman));
                    let original = payload.clone();
                    let replaced = replace(0, &mut payload).unwrap();
                    assert_eq!(replaced.sent, sent);
                    assert_eq!(payload.len(), original.len());
                    let read = read_by_h2(&payload, 0).await;
                    assert_eq!(read, Some(replaced.by), "{sent} {is_huffman} {first:#x}");
                    assert_eq!(replace(0, &mut payload), None, "once is enough");
                    assert_eq!(read_by_h2(&original, 0).await, None, "else this is not needed any more");
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn padding_and_priority_are_skipped() {
        let mut payload = vec![3, 0, 0, 0, 0, 16, 0x83, 0x86, 0x84];
        payload.extend(literal(0x41, b"", b"%2Fx", false));
        payload.extend([0; 3]);
        let replaced = replace(0x28, &mut payload).unwrap();
        assert_eq!((replaced.by.as_str(), replaced.sent.as_str()), ("-2Fx", "%2Fx"));
        assert_eq!(read_by_h2(&payload, 0x28).await.as_deref(), Some("-2Fx"));
    }

    #[test]
    fn other_authorities_and_other_fields_stay_as_they_are() {
        for is_huffman in [false, true] {
            for authority in ["localhost", "127.0.0.1:30000", "[::1]:1", "a-b_c.example"] {
                let mut payload = literal(0x41, b"", authority.as_bytes(), is_huffman);
                assert_eq!(replace(0, &mut payload), None);
            }
            let mut payload = literal(0x40, b"\x01x", b"%2F/", is_huffman);
            assert_eq!(replace(0, &mut payload), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic_and_keep_their_length(
            flags in any::<u8>(),
            mut payload in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let length = payload.len();
            let _ = replace(flags, &mut payload);
            prop_assert_eq!(payload.len(), length);
        }

        #[test]
        fn paths_in_huffman_s_code_are_read_back(path in "[a-zA-Z0-9%/._ ~+@!$&*,;=:-]{0,60}") {
            let coded = encode(path.as_bytes());
            prop_assert_eq!(decode(&coded), Some(path.into_bytes()));
        }
    }
}
