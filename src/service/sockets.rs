//! Sockets that the service manager has bound, in `LISTEN_FDS`.

use std::io;
use std::os::fd::RawFd;

use super::invalid;
use crate::net::Inherited;
use crate::os::descriptors;

/// The first of the descriptors. Source: sd_listen_fds(3), `SD_LISTEN_FDS_START`.
const FIRST: RawFd = 3;

/// The most descriptors: a typing error must not make this process take thousands.
const AT_MOST: u16 = 256;

/// Takes the descriptors, if they are meant for this process, which has `own` as its pid. Each has a name, perhaps an empty one.
pub(super) fn take(
    pid: Option<&str>,
    count: Option<&str>,
    names: Option<&str>,
    own: u32,
) -> io::Result<Vec<Inherited>> {
    let Some(count) = count.filter(|_| pid.is_some_and(|pid| pid.parse() == Ok(own))) else {
        return Ok(Vec::new());
    };
    let expected = || invalid("LISTEN_FDS", "a number of descriptors, at most 256");
    let count = count.parse::<u16>().ok().filter(|count| *count <= AT_MOST).ok_or_else(expected)?;
    let sockets = descriptors::take(FIRST, count).map_err(|number| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("LISTEN_FDS: descriptor {number} is not open"))
    })?;
    let names = names.into_iter().flat_map(|names| names.split(':')).chain(std::iter::repeat(""));
    Ok(sockets
        .into_iter()
        .zip(names)
        .map(|(socket, name)| Inherited { name: name.to_owned(), socket, setting: None, file: None })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_for_another_process_is_left_alone_and_nonsense_reported() {
        assert!(take(None, Some("1"), None, 7).unwrap().is_empty());
        assert!(take(Some("8"), Some("1"), None, 7).unwrap().is_empty());
        assert!(take(Some("7"), None, None, 7).unwrap().is_empty());
        for count in ["257", "-1", "two"] {
            assert!(
                take(Some("7"), Some(count), None, 7).unwrap_err().to_string().starts_with("LISTEN_FDS: ")
            );
        }
    }
}
