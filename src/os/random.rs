//! Randomness from the kernel.

/// 128 random bits. Blocks until the kernel's generator is initialised, early after boot.
pub(crate) fn bytes() -> [u8; 16] {
    let mut bytes = [0_u8; 16];
    // SAFETY: the buffer is valid for its length. Source: getrandom(2): up to 256 bytes are never cut short.
    while unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) } != 16 {}
    bytes
}

/// 128 random bits as 32 hexadecimal digits.
pub(crate) fn text() -> String {
    format!("{:032x}", u128::from_ne_bytes(bytes()))
}
