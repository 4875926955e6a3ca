//! The attributes of a unix socket's file as RoadRunner 3 sets them: `rpc.unix_socket`, `server.relay_socket`, `centrifuge.proxy_socket`.

use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::{Address, Attributes};

/// The name of [`SocketSettings`] to serde: RoadRunner has an own text for what is none.
pub(crate) const SOCKET_SETTINGS: &str = "SocketSettings";

/// What is set of the attributes of a socket's file; the rest is up to the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct SocketSettings {
    /// The permissions: four octal digits.
    #[serde(deserialize_with = "mode")]
    pub mode: Option<u32>,
    /// The owner's number.
    #[serde(deserialize_with = "id")]
    pub uid: Option<u32>,
    /// The group's number.
    #[serde(deserialize_with = "id")]
    pub gid: Option<u32>,
}

impl SocketSettings {
    /// These attributes, with those of `base` where none are set.
    pub(crate) fn over(self, base: Attributes) -> Attributes {
        let Self { mode, uid, gid } = self;
        Attributes { mode: mode.unwrap_or(base.mode), uid: uid.or(base.uid), gid: gid.or(base.gid) }
    }

    /// Checks that `address` has a file, if attributes are set; `None` stands for pipes.
    ///
    /// # Errors
    /// If it has none. The text is RoadRunner's.
    pub(crate) fn fit(self, address: Option<&Address>) -> Result<(), String> {
        let has_file = matches!(address, Some(Address::Unix(path)) if !path.as_os_str().as_encoded_bytes().starts_with(b"@"));
        if has_file || self == Self::default() {
            return Ok(());
        }
        let address = address.map_or_else(|| "pipes".to_owned(), ToString::to_string);
        Err(format!("unix socket options require a filesystem unix:// address: \"{address}\""))
    }
}

fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = Some(&text).filter(|text| text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|digits| u32::from_str_radix(digits, 8).ok()) {
        Some(mode) if mode <= 0o777 => Ok(Some(mode)),
        _ => Err(de::Error::custom(format!(
            "invalid unix socket mode \"{text}\": use an octal string from 0000 through 0777"
        ))),
    }
}

/// The largest number would leave the owner as it is.
const MAX_ID: u32 = u32::MAX - 1;

fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u32>() {
        Ok(id) if is_number && id <= MAX_ID => Ok(Some(id)),
        _ => Err(de::Error::custom(format!("must be an integer from 0 through {MAX_ID}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SocketSettings, String> {
        serde_json::from_str(text).map_err(|error| error.to_string().split(" at line").next().unwrap().into())
    }

    #[test]
    fn modes_are_four_octal_digits_and_ids_are_numbers() {
        let all = read(r#"{"mode": "0750", "uid": "0", "gid": "4294967294"}"#);
        assert_eq!(all, Ok(SocketSettings { mode: Some(0o750), uid: Some(0), gid: Some(4_294_967_294) }));
        assert_eq!(read("{}"), Ok(SocketSettings::default()));
        for mode in ["750", "0888", "1777", "00750", "0o750", "+750", "rw"] {
            let text =
                format!("invalid unix socket mode \"{mode}\": use an octal string from 0000 through 0777");
            assert_eq!(read(&format!("{{\"mode\": \"{mode}\"}}")), Err(text));
        }
        for id in ["4294967295", "-1", "+1", "1.5", "true", "www", "99999999999"] {
            let expected = Err("must be an integer from 0 through 4294967294".into());
            assert_eq!(read(&format!("{{\"uid\": \"{id}\"}}")), expected, "{id}");
            assert_eq!(read(&format!("{{\"gid\": \"{id}\"}}")), expected, "{id}");
        }
    }

    #[test]
    fn attributes_need_a_file() {
        let set = SocketSettings { gid: Some(0), ..SocketSettings::default() };
        let file = "unix://a.sock".parse().unwrap();
        set.fit(Some(&file)).unwrap();
        for address in ["tcp://127.0.0.1:6001", "unix://@abstract"] {
            let address: Address = address.parse().unwrap();
            let text = format!("unix socket options require a filesystem unix:// address: \"{address}\"");
            assert_eq!(set.fit(Some(&address)), Err(text));
            SocketSettings::default().fit(Some(&address)).unwrap();
        }
        assert!(set.fit(None).unwrap_err().ends_with(": \"pipes\""));
        SocketSettings::default().fit(None).unwrap();
    }

    #[test]
    fn what_is_not_set_is_up_to_the_listener() {
        let base = Attributes { mode: 0o660, uid: Some(7), gid: None };
        assert_eq!(SocketSettings::default().over(base), base);
        let set = SocketSettings { mode: Some(0), uid: Some(0), gid: Some(0) };
        assert_eq!(set.over(base), Attributes { mode: 0, uid: Some(0), gid: Some(0) });
    }
}
