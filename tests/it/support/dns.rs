//! A DNS server of the test's own, which knows one name and its service config.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where it listens: an address that no other program uses.
const HOST: &str = "127.0.1.5";

const A: u16 = 1;
const TXT: u16 = 16;

/// The header of an answer: a response, recursion desired and available.
const ANSWER: u16 = 0x8180;
const NO_SUCH_NAME: u16 = 3;

/// A running server; stopped when it is dropped.
pub struct Dns {
    port: u16,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a server knows.
struct Records {
    name: &'static str,
    addresses: Vec<Ipv4Addr>,
    /// The strings of the record at `_grpc_config.`; none, and there is no record.
    config: Vec<String>,
}

impl Dns {
    /// Starts one that knows these addresses of the name.
    pub fn start(name: &'static str, addresses: Vec<Ipv4Addr>, config: Vec<String>) -> Self {
        let socket = UdpSocket::bind((HOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let port = socket.local_addr().unwrap().port();
        let (records, stopped) = (Records { name, addresses, config }, Arc::new(AtomicBool::new(false)));
        let is_stopped = Arc::clone(&stopped);
        let serve = move || {
            let mut query = [0; 4096];
            while !is_stopped.load(Relaxed) {
                let Ok((length, client)) = socket.recv_from(&mut query) else { continue };
                if let Some(answer) = records.answer(&query[..length]) {
                    let _ = socket.send_to(&answer, client);
                }
            }
        };
        Self { port, stopped, thread: Some(std::thread::spawn(serve)) }
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("{HOST}:{}", self.port)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stopped.store(true, Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Records {
    /// The answer to a query with one question; additional records, such as EDNS', are ignored.
    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let (mut labels, mut at) = (Vec::new(), 12);
        loop {
            let length = usize::from(*query.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(std::str::from_utf8(query.get(at..at + length)?).ok()?.to_ascii_lowercase());
            at += length;
        }
        let kind = u16::from_be_bytes(*query.get(at..)?.first_chunk()?);
        let question = query.get(12..at + 4)?;
        let name = labels.join(".");
        let is_config = !self.config.is_empty() && name.strip_prefix("_grpc_config.") == Some(self.name);
        let data: Vec<Vec<u8>> = match kind {
            A if name == self.name => self.addresses.iter().map(|ip| ip.octets().to_vec()).collect(),
            TXT if is_config => {
                let string = |text: &String| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
                vec![self.config.iter().flat_map(string).collect()]
            }
            _ => Vec::new(),
        };
        let code = if is_config || name == self.name { 0 } else { NO_SUCH_NAME };
        let mut answer = query[..2].to_vec();
        for number in [ANSWER | code, 1, u16::try_from(data.len()).unwrap(), 0, 0] {
            answer.extend(number.to_be_bytes());
        }
        answer.extend(question);
        for data in data {
            // The name of the question, its type, the class IN, no time to live.
            answer.extend([0xc0, 12]);
            answer.extend(kind.to_be_bytes());
            answer.extend([0, 1, 0, 0, 0, 0]);
            answer.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            answer.extend(data);
        }
        Some(answer)
    }
}
