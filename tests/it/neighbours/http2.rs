//! Callers who misuse HTTP/2.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::support::frames::{
    AGAIN, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, PRIORITY, RESET, Raw,
    SETTINGS, WINDOW_UPDATE, field, prefixed, rpc,
};
use crate::support::neighbour::{Cost, is_unharmed};
use crate::support::{Server, Setup, worker};

/// How long an attack lasts that could last for ever.
const LASTS: Duration = Duration::from_secs(1);

/// Adds what an attack does with one stream.
type Attack = fn(&mut Frames, u32);

/// SETTINGS_INITIAL_WINDOW_SIZE.
const WINDOW: u16 = 4;

fn setup() -> Setup {
    worker().pool("num_workers: 3")
}

async fn unharmed(what: &str, memory: u64, attack: impl AsyncFn(&Server)) -> Cost {
    is_unharmed(what, memory, setup, attack).await
}

/// Sends what `next` makes, some hundred per write, until the time is up or the server closes the connection; returns how many.
async fn flood(server: &Server, open: u32, mut next: impl FnMut(&mut Frames, u32)) -> usize {
    let mut caller = Raw::connect(server, &[]).await.drained();
    let mut first = Frames::default();
    for _ in 0..open {
        first.call(caller.open(), 0);
    }
    caller.send(&first).await;
    let (end, mut sent) = (Instant::now() + LASTS, 0);
    while Instant::now() < end {
        let mut frames = Frames::default();
        for _ in 0..500 {
            next(&mut frames, caller.open());
        }
        sent += 500;
        if !caller.send(&frames).await {
            break;
        }
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn calls_cancelled_at_once() {
    unharmed("HEADERS and RST_STREAM", 64, async |server| {
        let sent = flood(server, 0, |frames, id| {
            frames.call(id, 0).reset(id);
        })
        .await;
        println!("{sent} calls");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn calls_cancelled_on_many_connections() {
    unharmed("HEADERS and RST_STREAM on 16 connections", 96, async |server| {
        let floods = (0..16).map(|_| {
            flood(server, 0, |frames, id| {
                frames.call(id, 0).reset(id);
            })
        });
        futures_util::future::join_all(floods).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn calls_that_the_server_is_made_to_reset() {
    let message = rpc("echo", b"1");
    let faults: [(&str, Attack); 3] = [
        ("WINDOW_UPDATE of 0", |frames, id| {
            frames.add(WINDOW_UPDATE, 0, id, &[0; 4]);
        }),
        ("a window beyond all bounds", |frames, id| {
            frames.add(WINDOW_UPDATE, 0, id, &i32::MAX.to_be_bytes());
        }),
        ("a priority on itself", |frames, id| {
            frames.add(PRIORITY, 0, id, &[&id.to_be_bytes()[..], &[1]].concat());
        }),
    ];
    for (name, fault) in faults {
        unharmed(name, 96, async |server| {
            let sent = flood(server, 0, |frames, id| {
                fault(frames.call(id, 0).message(id, &message), id);
            })
            .await;
            println!("{sent} calls");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn frames_that_cost_the_server_more_than_the_caller() {
    let frames: [(&str, u32, Attack); 7] = [
        ("PING", 0, |frames, _| {
            frames.add(PING, 0, 0, &[0; 8]);
        }),
        ("SETTINGS beside 1,000 calls", 1000, |frames, id| {
            let window = 65_535 + id / 2 % 2;
            frames.add(SETTINGS, 0, 0, &[&WINDOW.to_be_bytes()[..], &window.to_be_bytes()].concat());
        }),
        ("WINDOW_UPDATE", 1, |frames, _| {
            frames.add(WINDOW_UPDATE, 0, 3, &1_u32.to_be_bytes());
        }),
        ("PRIORITY", 0, |frames, id| {
            frames.add(PRIORITY, 0, id, &[0; 5]);
        }),
        ("RST_STREAM", 0, |frames, _| {
            frames.add(RESET, 0, 1, &[0; 4]);
        }),
        ("empty DATA", 1, |frames, _| {
            frames.add(DATA, 0, 3, &[]);
        }),
        ("unknown frames", 0, |frames, _| {
            frames.add(0xfa, 0, 0, b"?");
        }),
    ];
    for (name, open, frame) in frames {
        unharmed(name, 96, async |server| {
            let sent = flood(server, open, frame).await;
            println!("{sent} frames");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn headers_without_an_end() {
    unharmed("CONTINUATION", 64, async |server| {
        for _ in 0..50 {
            let mut caller = Raw::connect(server, &[]).await.drained();
            let mut frames = Frames::default();
            frames.add(HEADERS, 0, caller.open(), &AGAIN);
            let more = field(0, "x", &[b'x'; 16_000]);
            (0..100).for_each(|_| {
                frames.add(CONTINUATION, 0, 3, &more);
            });
            caller.send(&frames).await;
            caller.end().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn one_large_header_that_many_calls_refer_to() {
    for (name, references) in [("ten times", 10), ("as often as it goes", 250)] {
        unharmed(&format!("a header of 3 KB, {name} per call"), 256, async |server| {
            let mut caller = Raw::connect(server, &[]).await.drained();
            let mut frames = Frames::default();
            let id = caller.open();
            let first = [&AGAIN[..], &field(0, "x", &[b'x'; 3000])].concat();
            frames.add(HEADERS, END_HEADERS, id, &first);
            // The field is the latest now, so those of the call are one further away.
            let mut block = vec![0x83, 0x86, 0xc2, 0xc1, 0xc0, 0xbf];
            block.extend(vec![0xbe; references]);
            for _ in 0..10_000 {
                frames.add(HEADERS, END_HEADERS, caller.open(), &block);
            }
            caller.send(&frames).await;
            tokio::time::sleep(LASTS).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn messages_that_never_come_or_never_end() {
    for (name, sent) in [("no message", 0), ("three bytes", 3), ("half a message", 500)] {
        unharmed(&format!("12,000 calls with {name}"), 256, async |server| {
            let message = rpc("echo", &[b'1'; 1000]);
            let mut caller = Raw::connect(server, &[]).await.drained();
            for _ in 0..12 {
                let mut frames = Frames::default();
                for _ in 0..1000 {
                    let id = caller.open();
                    // A caller might want each of them to keep as much in memory as possible.
                    frames.call(id, 0).add(DATA, 0, id, &message[..sent]);
                    frames.add(0xfa, 0, 0, &[0; 1000]);
                }
                caller.send(&frames).await;
            }
            tokio::time::sleep(LASTS).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn messages_that_claim_to_be_large() {
    unharmed("2,000 messages of 64 MB that do not come", 64, async |server| {
        let mut caller = Raw::connect(server, &[]).await.drained();
        let mut frames = Frames::default();
        for _ in 0..2000 {
            let id = caller.open();
            frames.call(id, 0).add(DATA, 0, id, &[&[0][..], &(60_u32 << 20).to_be_bytes()].concat());
        }
        caller.send(&frames).await;
        tokio::time::sleep(LASTS).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn unread_answers() {
    unharmed("answers of 100 KB to a caller with no window", 256, async |server| {
        let message = rpc("echo", &vec![b'1'; 100_000]);
        let mut caller = Raw::connect(server, &[(WINDOW, 0)]).await.drained();
        for _ in 0..2000 {
            let mut frames = Frames::default();
            let id = caller.open();
            caller.send(frames.call(id, 0).message(id, &message)).await;
            // Its calls must not wait for each other, since later callers would wait with them.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_caller_that_reads_nothing() {
    let frames: [(&str, Attack); 2] = [
        ("calls that are refused", |frames, id| {
            frames.call(id, END_STREAM);
        }),
        ("pings", |frames, _| {
            frames.add(PING, 0, 0, &[0; 8]);
        }),
    ];
    for (name, frame) in frames {
        unharmed(&format!("{name} of a caller that reads nothing"), 128, async |server| {
            let mut caller = Raw::connect(server, &[(WINDOW, i32::MAX.cast_unsigned())]).await;
            let flood = async {
                loop {
                    let mut frames = Frames::default();
                    (0..500).for_each(|_| frame(&mut frames, caller.open()));
                    if !caller.send(&frames).await {
                        return;
                    }
                }
            };
            let _ = tokio::time::timeout(LASTS, flood).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn compressed_messages_that_are_large() {
    // One megabyte, as often as it takes: what is packed may have any number of members.
    let mut member = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    member.write_all(&vec![0; 1 << 20]).unwrap();
    let member = member.finish().unwrap();
    for (name, megabytes) in [("within the limit", 60), ("beyond the limit", 300)] {
        // An RPC whose data are the zeros.
        let mut length = Vec::new();
        let mut head = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        head.write_all(b"\x5a\x07nothing\x62").unwrap();
        prost::encode_length_delimiter(megabytes << 20, &mut length).unwrap();
        head.write_all(&length).unwrap();
        let message = prefixed(1, &[head.finish().unwrap(), member.repeat(megabytes)].concat());
        // What all calls may hold is 256 MB, and two of them are being unpacked.
        unharmed(&format!("40 compressed messages {name}"), 400, async |server| {
            let mut caller = Raw::connect(server, &[]).await.drained();
            let block = [&AGAIN[..], &field(0, "grpc-encoding", b"gzip")].concat();
            for n in 0..40 {
                let mut frames = Frames::default();
                let id = caller.open();
                let block = if n == 0 { &block[..] } else { &[0x83, 0x86, 0xc2, 0xc1, 0xc0, 0xbf, 0xbe][..] };
                frames.add(HEADERS, END_HEADERS, id, block).message(id, &message);
                caller.send(&frames).await;
            }
            tokio::time::sleep(3 * LASTS).await;
        })
        .await;
    }
}

/// Opens calls on one connection, and then makes all of them complete at once with the last bytes of their messages.
async fn complete_at_once(server: &Server, blocks: impl Iterator<Item = Vec<u8>>, message: &[u8]) {
    let mut caller = Raw::connect(server, &[]).await.drained();
    let (begun, last) = message.split_at(message.len() - 1);
    let mut all = Frames::default();
    for block in blocks {
        let (mut frames, id) = (Frames::default(), caller.open());
        frames.add(HEADERS, END_HEADERS, id, &block);
        for piece in begun.chunks(16 * 1024) {
            frames.add(DATA, 0, id, piece);
        }
        caller.send(&frames).await;
        all.add(DATA, END_STREAM, id, last);
    }
    tokio::time::sleep(LASTS / 2).await;
    caller.send(&all).await;
    tokio::time::sleep(2 * LASTS).await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn compressed_messages_of_many_empty_members() {
    let member = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()).finish().unwrap();
    for members in [200, 1600] {
        let message = prefixed(1, &member.repeat(members));
        unharmed(&format!("150 messages of {members} empty gzip members"), 96, async |server| {
            let first = [&AGAIN[..], &field(0, "grpc-encoding", b"gzip")].concat();
            let again = vec![0x83, 0x86, 0xc2, 0xc1, 0xc0, 0xbf, 0xbe];
            let blocks = std::iter::once(first).chain(std::iter::repeat_n(again, 149));
            complete_at_once(server, blocks, &message).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn large_contexts_of_calls_that_become_complete_at_once() {
    unharmed("900 contexts of bytes that are not UTF-8", 320, async |server| {
        let first = [&AGAIN[..], &field(0, "x", &[0xff; 3800])].concat();
        // The last one is no base64, so that no worker gets the call.
        let again = [&[0x83, 0x86, 0xc2, 0xc1, 0xc0, 0xbf][..], &[0xbe; 15], b"\0\x05z-bin\x01%"].concat();
        let blocks = std::iter::once(first).chain(std::iter::repeat_n(again, 900));
        complete_at_once(server, blocks, &rpc("echo", b"1")).await;
    })
    .await;
}
