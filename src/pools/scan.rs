//! One text field of a protobuf message, without decoding the message.

use crate::protobuf::Fields;

/// The fields that are read, at most. Centrifugo's messages have at most 16, and each of a client's labels is one more; a message of very
/// many tiny fields would hold up other calls.
const MAX_FIELDS: usize = 4096;

/// The longest text in bytes that is compared with globs, since comparing a longer one would hold up other calls. Centrifugo's own limit for
/// channels is 255 bytes (`channel.max_length`).
const MAX_TEXT: usize = 1024;

/// Returns the text of the field `number`; empty if the message does not have it, as in proto3. `None` if the message is broken, uses
/// groups, which Centrifugo's never did, or the text is too long to be compared.
pub(super) fn text(message: &[u8], number: u32) -> Option<&str> {
    let mut found = &b""[..];
    for (count, field) in Fields::of(message).enumerate() {
        let field = field.ok().filter(|_| count < MAX_FIELDS)?;
        if field.number == number
            && let Some(text) = field.bytes()
        {
            found = text;
        }
    }
    if found.len() <= MAX_TEXT { str::from_utf8(found).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::proto::proxy::{PublishRequest, RpcRequest};

    #[test]
    fn a_field_is_found_wherever_it_is_and_the_last_one_counts() {
        let mut message =
            RpcRequest { user: "42".into(), method: "first".into(), ..RpcRequest::default() }.encode_to_vec();
        assert_eq!(text(&message, 11), Some("first"));
        assert_eq!(text(&message, 10), Some("42"));
        assert_eq!(text(&message, 12), Some(""));
        // A varint and both fixed sizes under the same number, unknown fields, and the field again.
        message.extend([11 << 3, 0x96, 0x01, 11 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8, 11 << 3 | 5, 1, 2, 3, 4]);
        assert_eq!(text(&message, 11), Some("first"));
        message.extend([11 << 3 | 2, 6]);
        message.extend(b"second");
        assert_eq!(text(&message, 11), Some("second"));
        assert_eq!(text(b"", 11), Some(""));
    }

    #[test]
    fn a_text_that_is_too_long_to_be_compared_is_none() {
        let named =
            |length| RpcRequest { method: "a".repeat(length), ..RpcRequest::default() }.encode_to_vec();
        assert!(text(&named(MAX_TEXT), 11).is_some_and(|text| text.len() == MAX_TEXT));
        assert_eq!(text(&named(MAX_TEXT + 1), 11), None);
    }

    #[test]
    fn a_broken_message_has_no_field() {
        for message in [&[11 << 3 | 2][..], &[11 << 3 | 2, 1, 0xff], &[11 << 3 | 3, 11 << 3 | 4]] {
            assert_eq!(text(message, 11), None, "{message:?}");
        }
        let fields = |count| [8, 0].repeat(count);
        assert_eq!(text(&fields(MAX_FIELDS), 11), Some(""));
        assert_eq!(text(&fields(MAX_FIELDS + 1), 11), None);
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_a_decoder_reads(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            // Bytes that look like messages now and then.
            let bytes: Vec<u8> = bytes.iter().map(|byte| if byte % 3 == 0 { 11 << 3 | 2 } else { byte % 12 }).collect();
            if let Ok(decoded) = PublishRequest::decode(&bytes[..])
                && let Some(found) = text(&bytes, 11)
            {
                prop_assert_eq!(found, decoded.channel);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = text(&bytes, 11);
        }
    }
}
