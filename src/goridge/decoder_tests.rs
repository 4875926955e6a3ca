use bytes::BufMut as _;
use proptest::prelude::*;

use super::*;
use crate::goridge::{Flags, Head, Payload, Reply, StreamBits, classify, encode, pid_request, request, stop};

const LIMIT: usize = 64 * 1024 * 1024;

fn decode_all(decoder: &mut Decoder, pieces: &[&[u8]]) -> Result<Vec<Item>, Violation> {
    let mut buffer = BytesMut::new();
    let mut items: Vec<Item> = Vec::new();
    for piece in pieces {
        buffer.put_slice(piece);
        while let Some(item) = decoder.decode(&mut buffer)? {
            match (items.last_mut(), item) {
                (Some(Item::Noise(before)), Item::Noise(more)) => {
                    *before = [&before[..], &more[..]].concat().into();
                }
                (_, item) => items.push(item),
            }
        }
    }
    Ok(items)
}

fn noise(text: &str) -> Item {
    Item::Noise(Bytes::copy_from_slice(text.as_bytes()))
}

fn pid_frame() -> (Bytes, Item) {
    let bytes = pid_request(7);
    let frame = Frame {
        flags: Flags::CONTROL | Flags::JSON,
        stream: StreamBits::empty(),
        options: Options::default(),
        payload: Bytes::from_static(b"{\"pid\":7}"),
    };
    (bytes, Item::Frame(frame))
}

#[test]
fn every_recorded_frame_is_encoded_and_decoded_as_recorded() {
    #[derive(serde::Deserialize)]
    struct Vector {
        name: String,
        flags: u8,
        byte10: u8,
        options: Vec<u32>,
        payload_hex: String,
        frame_hex: String,
    }
    let unhex = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let vectors: Vec<Vector> =
        serde_json::from_str(include_str!("../../tests/vectors/goridge-frames.json")).unwrap();
    assert_eq!(vectors.len(), 18);
    for vector in vectors {
        let (payload, bytes) = (unhex(&vector.payload_hex), unhex(&vector.frame_hex));
        let options = Options::from_slice(&vector.options).unwrap();
        let (flags, stream) =
            (Flags::from_bits_retain(vector.flags), StreamBits::from_bits_retain(vector.byte10));
        let mut written = BytesMut::new();
        encode(&mut written, flags, stream, options, &[&payload]).unwrap();
        assert_eq!(written, bytes, "{}", vector.name);
        for mut decoder in [Decoder::lenient(LIMIT), Decoder::strict(LIMIT)] {
            let frame = Item::Frame(Frame { flags, stream, options, payload: payload.clone().into() });
            assert_eq!(decode_all(&mut decoder, &[&bytes]).unwrap(), [frame], "{}", vector.name);
        }
    }
}

#[test]
fn text_between_frames_is_noise() {
    let (bytes, frame) = pid_frame();
    let items = decode_all(
        &mut Decoder::lenient(LIMIT),
        &[b"Warning: x\n", &bytes, b"\x1b[31mred\x1b[0m\n", &bytes, b"bye", &bytes],
    );
    assert_eq!(
        items.unwrap(),
        [
            noise("Warning: x\n"),
            frame.clone(),
            noise("\x1b[31mred\x1b[0m\n"),
            frame.clone(),
            noise("bye"),
            frame
        ]
    );
}

#[test]
fn text_is_returned_even_if_nothing_follows() {
    let items = decode_all(&mut Decoder::lenient(LIMIT), &[b"Could not open input file: app.php\n"]);
    assert_eq!(items.unwrap(), [noise("Could not open input file: app.php\n")]);
}

#[test]
fn half_a_header_in_front_of_a_frame_is_noise() {
    let printed = Head::new(Flags::PROTO, StreamBits::empty(), Options::default(), 6).unwrap();
    for flags in [Flags::CONTROL, Flags::empty()] {
        let frame =
            Frame { flags, stream: StreamBits::empty(), options: Options::default(), payload: "{}".into() };
        let mut bytes = BytesMut::new();
        encode(&mut bytes, flags, frame.stream, frame.options, &[&frame.payload]).unwrap();
        for half in 1..MIN_HEADER {
            let half = &printed.as_ref()[..half];
            let items = decode_all(&mut Decoder::lenient(LIMIT), &[half, &bytes]).unwrap();
            assert_eq!(items, [Item::Noise(Bytes::copy_from_slice(half)), Item::Frame(frame.clone())]);
        }
    }
}

#[test]
fn a_frame_with_a_wrong_checksum_is_a_violation_that_shows_what_was_read() {
    let mut broken = BytesMut::new();
    request(&mut broken, b"{}", b"a body which is longer than a header").unwrap();
    broken[7] ^= 0xff;
    let violation = decode_all(&mut Decoder::lenient(LIMIT), &[&broken]).unwrap_err();
    assert!(matches!(&violation, Violation::Checksum { read } if read.contains("a body")), "{violation}");
}

#[test]
fn a_claimed_length_is_checked_before_the_payload_arrives() {
    let head = Head::new(Flags::empty(), StreamBits::empty(), Options::default(), 3_000_000_000).unwrap();
    for mut decoder in [Decoder::lenient(LIMIT), Decoder::strict(LIMIT)] {
        let violation = decode_all(&mut decoder, &[head.as_ref()]).unwrap_err();
        assert_eq!(violation, Violation::TooLarge { claimed: 3_000_000_000, limit: LIMIT });
    }
}

#[test]
fn a_strict_decoder_accepts_nothing_but_frames() {
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"x", &[0x13; 12], &[0x1e; 12]] {
        decode_all(&mut Decoder::strict(LIMIT), &[bytes]).unwrap_err();
    }
}

#[test]
fn megabytes_of_noise_in_small_pieces_are_decoded_in_one_pass() {
    let (bytes, frame) = pid_frame();
    let mut decoder = Decoder::lenient(LIMIT);
    let mut buffer = BytesMut::new();
    let mut noise = 0;
    for _ in 0..100_000 {
        buffer.put_slice(&[0x1b; 50]);
        while let Some(Item::Noise(bytes)) = decoder.decode(&mut buffer).unwrap() {
            noise += bytes.len();
        }
        assert!(buffer.len() < 2 * MIN_HEADER, "noise is not buffered");
    }
    buffer.put_slice(&bytes);
    let rest = decode_all(&mut decoder, &[&buffer]).unwrap();
    assert_eq!(rest.last(), Some(&frame));
    assert!(noise > 4_900_000);
}

/// Long noise of each kind that could be mistaken for the beginning of a header.
fn suspicious() -> Vec<Vec<u8>> {
    const SIZE: usize = 256 * 1024;
    let again = |piece: &[u8]| piece.iter().copied().cycle().take(SIZE).collect::<Vec<u8>>();
    let head = Head::new(Flags::empty(), StreamBits::empty(), Options::default(), 6).unwrap();
    let mut all: Vec<Vec<u8>> = (0x13..=0x1d).map(|byte| again(&[byte])).collect();
    all.push(again(b"\x1b[31mred\x1b[0m "));
    all.push(again(&(0..=255).collect::<Vec<u8>>()));
    // The first bytes of a header, and then those of the next one.
    all.extend((1..MIN_HEADER).map(|bytes| again(&head.as_ref()[..bytes])));
    // What looks like a header except for its last byte.
    all.push(again(b"\x13\0\0\0\0\0\0\0\0\0\x0f\x01"));
    all
}

#[test]
fn suspicious_noise_is_returned_in_as_many_pieces_as_it_arrived_in() {
    for bytes in suspicious() {
        let mut decoder = Decoder::lenient(LIMIT);
        let mut buffer = BytesMut::new();
        let (mut pieces, mut noise) = (0, 0);
        for piece in bytes.chunks(16 * 1024) {
            buffer.put_slice(piece);
            // Each call may inspect the whole buffer, but only once: it returns what it has inspected.
            loop {
                match decoder.decode(&mut buffer) {
                    Ok(Some(Item::Noise(bytes))) => (pieces, noise) = (pieces + 1, noise + bytes.len()),
                    Ok(_) => break,
                    // A broken header ends the stream.
                    Err(_) => (noise, buffer) = (bytes.len(), BytesMut::new()),
                }
            }
            assert!(buffer.len() < 2 * MIN_HEADER, "what was inspected is buffered");
        }
        assert!(pieces <= 2 * 16, "{pieces} pieces of {:x?}", &bytes[..12]);
        assert!(noise > bytes.len() - 2 * MIN_HEADER);
    }
}

#[test]
fn a_large_control_frame_is_not_parsed() {
    let control = |payload: String| {
        let (flags, stream) = (Flags::CONTROL, StreamBits::empty());
        classify(Frame { flags, stream, options: Options::default(), payload: payload.into() })
    };
    assert_eq!(control(format!("{{\"pid\":7,\"x\":\"{}\"}}", "x".repeat(1000))), Ok(Reply::Pid(7)));
    assert!(control(format!("{{\"pid\":7,\"x\":\"{}\"}}", "x".repeat(5000))).is_err());
}

#[test]
fn the_frames_of_a_worker_are_told_apart() {
    let reply = |flags, stream, options: &[u32], payload: &'static str| {
        let options = Options::from_slice(options).unwrap();
        classify(Frame { flags, stream, options, payload: Bytes::from_static(payload.as_bytes()) })
    };
    let payload =
        |context: &'static str, body: &'static str| Payload { context: context.into(), body: body.into() };
    let plain = StreamBits::empty();
    assert_eq!(reply(Flags::empty(), plain, &[2], "{}body"), Ok(Reply::Answer(payload("{}", "body"))));
    assert_eq!(reply(Flags::ERROR, plain, &[], "no"), Ok(Reply::Error("no".into())));
    assert_eq!(reply(Flags::CONTROL, plain, &[], " {\"pid\": 12, \"x\": 1}"), Ok(Reply::Pid(12)));
    assert_eq!(reply(Flags::empty(), plain, &[13], "{\"stop\":true}"), Ok(Reply::Stop));
    let ping = StreamBits::STREAM | StreamBits::PING;
    assert_eq!(
        reply(Flags::empty(), ping, &[0], "x"),
        Ok(Reply::Chunk { payload: payload("", "x"), ping: true })
    );
    let last = StreamBits::STREAM | StreamBits::STOP;
    assert_eq!(reply(Flags::empty(), last, &[0], "x"), Ok(Reply::Answer(payload("", "x"))));
    assert_eq!(reply(Flags::empty(), plain, &[], "x"), Err(Violation::Options { found: 0 }));
    assert_eq!(reply(Flags::empty(), plain, &[0, 0], "x"), Err(Violation::Options { found: 2 }));
    assert_eq!(reply(Flags::empty(), plain, &[9], "x"), Err(Violation::Context { context: 9, payload: 1 }));
    assert!(matches!(reply(Flags::CONTROL, plain, &[], "{\"pid\":-1}"), Err(Violation::Control { .. })));
}

#[test]
fn the_stop_frame_is_the_recorded_one() {
    assert_eq!(&stop()[..12], b"\x13\x09\x0d\0\0\0\x3a\x6b\xfa\xcb\0\0");
}

#[test]
fn arbitrary_bytes_never_panic() {
    bolero::check!().with_type::<Vec<Vec<u8>>>().with_iterations(20_000).for_each(|pieces| {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        for mut decoder in [Decoder::lenient(1000), Decoder::strict(1000)] {
            for item in decode_all(&mut decoder, &pieces).unwrap_or_default() {
                if let Item::Frame(frame) = item {
                    let _ = classify(frame);
                }
            }
        }
    });
}

proptest! {
    #[test]
    fn frames_and_text_come_back_in_order_however_they_are_cut(
        parts in prop::collection::vec(part(), 0..12),
        cuts in prop::collection::vec(1..40_usize, 1..40),
    ) {
        let mut bytes = BytesMut::new();
        let mut expected: Vec<Item> = Vec::new();
        for part in &parts {
            match part {
                Item::Noise(text) => {
                    bytes.put_slice(text);
                    match expected.last_mut() {
                        Some(Item::Noise(before)) => *before = [&before[..], &text[..]].concat().into(),
                        _ => expected.push(part.clone()),
                    }
                }
                Item::Frame(frame) => {
                    encode(&mut bytes, frame.flags, frame.stream, frame.options, &[&frame.payload]).unwrap();
                    expected.push(part.clone());
                }
            }
        }
        // What could be the beginning of a header is held back until more arrives.
        let (last, frame) = pid_frame();
        bytes.put_slice(&last);
        expected.push(frame);
        let mut pieces: Vec<&[u8]> = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, more) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        prop_assert_eq!(decode_all(&mut Decoder::lenient(LIMIT), &pieces).unwrap(), expected);
    }
}

fn part() -> impl Strategy<Value = Item> {
    let frame = (
        any::<u8>(),
        0..16_u8,
        prop::collection::vec(any::<u32>(), 0..=10),
        prop::collection::vec(any::<u8>(), 0..200),
    )
        .prop_map(|(flags, stream, options, payload)| {
            Item::Frame(Frame {
                flags: Flags::from_bits_retain(flags),
                stream: StreamBits::from_bits_retain(stream),
                options: Options::from_slice(&options).unwrap(),
                payload: payload.into(),
            })
        });
    prop_oneof![3 => frame, 1 => "[ -~\n\u{1b}]{1,80}".prop_map(|text| Item::Noise(text.into()))]
}
