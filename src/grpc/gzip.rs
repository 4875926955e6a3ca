//! Compressed messages.

use std::io::{self, Read as _, Write as _};

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

/// A message may have several members, as a file may. To begin one takes some microseconds, so there may be only a few, and one more for
/// each [`PER_MEMBER`] bytes.
const MEMBERS: usize = 16;
const PER_MEMBER: usize = 256;

/// Compresses a message.
///
/// # Errors
/// None that an encoder which writes to memory has.
pub(crate) fn compress(message: &[u8], level: Compression) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(message)?;
    encoder.finish()
}

/// Decompresses a message; `None` when it has more than `limit` bytes. `expected` bytes are reserved at once.
///
/// # Errors
/// When the message is not gzip.
pub(crate) fn decompress(message: &[u8], expected: usize, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut plain = Vec::with_capacity(expected);
    let mut decoder = Members::of(message).take(limit as u64);
    decoder.read_to_end(&mut plain)?;
    let is_complete = decoder.into_inner().read(&mut [0])? == 0;
    plain.shrink_to_fit();
    Ok(is_complete.then_some(plain))
}

/// The size of a message once it is decompressed; `None` when it has more than `limit` bytes. Nothing is kept in memory.
///
/// # Errors
/// When the message is not gzip.
pub(crate) fn decompressed_size(message: &[u8], limit: usize) -> io::Result<Option<usize>> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let size = io::copy(&mut Members::of(message).take(most), &mut io::sink())?;
    Ok(usize::try_from(size).ok().filter(|size| *size <= limit))
}

/// Decompresses the members of a message, one after the other.
struct Members<'a> {
    /// `None` behind the last member.
    member: Option<GzDecoder<&'a [u8]>>,
    /// How many more there may be.
    left: usize,
}

impl<'a> Members<'a> {
    fn of(message: &'a [u8]) -> Self {
        Self { member: Some(GzDecoder::new(message)), left: MEMBERS + message.len() / PER_MEMBER }
    }
}

impl io::Read for Members<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let rest = self.member.take().map_or(&b""[..], GzDecoder::into_inner);
            if rest.is_empty() {
                break;
            }
            self.left = self.left.checked_sub(1).ok_or_else(|| io::Error::other("too many gzip members"))?;
            self.member = Some(GzDecoder::new(rest));
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_no_more_members_than_its_length_allows() {
        let member = |text: &[u8]| compress(text, Compression::default()).unwrap();
        let short = member(b"a").repeat(MEMBERS);
        assert_eq!(decompress(&short, 100, 100).unwrap(), Some(vec![b'a'; MEMBERS]));
        let many = member(b"").repeat(1600);
        for error in [decompress(&many, 0, 100).unwrap_err(), decompressed_size(&many, 100).unwrap_err()] {
            assert_eq!(error.to_string(), "too many gzip members");
        }
        let mut seed = 1_u32;
        let noise = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed.to_be_bytes()[0]
        });
        let noise: Vec<u8> = noise.take(PER_MEMBER).collect();
        let long = member(&noise).repeat(200);
        assert_eq!(decompressed_size(&long, 1 << 20).unwrap(), Some(200 * PER_MEMBER));
    }
}
