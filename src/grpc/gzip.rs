//! Compressed messages.

use std::io::{self, Read as _, Write as _};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

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
    let mut decoder = MultiGzDecoder::new(message).take(limit as u64);
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
    let size = io::copy(&mut MultiGzDecoder::new(message).take(most), &mut io::sink())?;
    Ok(usize::try_from(size).ok().filter(|size| *size <= limit))
}
