//! `causeway dns-txt`: prints the TXT record by which Centrifugo balances its calls over several bridges, and repeats those that failed
//! unseen.
//!
//! Centrifugo's client, grpc-go, reads a service config at `_grpc_config.NAME` when it resolves `dns:///NAME`. A record consists of strings of
//! up to 255 bytes, which the client joins.
//!
//! Sources: gRPC's `service_config.md` and gRFC A2 for the record, A6 for the policy; RFC 1035, section 5.1, for zone files; dnsmasq's
//! `option.c` and the lexer of CoreDNS' Corefile for theirs.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::{Global, Mistake};
use crate::net::{Address, host_and_port};
use crate::proxy::SERVICE;

/// The label in front of the name.
const LABEL: &str = "_grpc_config.";

/// The attribute of a TXT record that holds a service config.
const ATTRIBUTE: &str = "grpc_config=";

/// Bytes of one string of a TXT record, at most.
const MAX_STRING: usize = 255;

/// The length of a domain name in text, at most, and that of a label.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// The name, and how often a call is tried.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "In Centrifugo, the endpoint of the proxy is dns:///NAME:PORT. The addresses of the bridges are the A or AAAA records of NAME.

Examples:
  causeway dns-txt bridges.example.org
  causeway dns-txt bridges.example.org --for bind >> db.example.org
  causeway dns-txt causeway.default.svc.cluster.local --for coredns
  causeway dns-txt bridges.example.org --attempts 1    balance only

Exit codes: 0 printed; 2 a mistake in the arguments or the configuration."
)]
pub(super) struct Args {
    /// The name that Centrifugo resolves [default: the host of centrifuge.proxy_address]
    name: Option<String>,
    /// Print the record for this DNS server alone
    #[arg(long = "for", value_name = "SERVER")]
    server: Option<Server>,
    /// How often a call is tried that failed as UNAVAILABLE, the first time included; 1: once
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=5))]
    attempts: u8,
    /// How long resolvers may keep the record
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = crate::duration::parse)]
    ttl: Duration,
}

/// A DNS server, whose configuration has its own quoting. In the help, the names say enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Server {
    // A line of a zone file, as NSD, Knot and others take it too.
    Bind,
    // A line of dnsmasq.conf.
    Dnsmasq,
    // A block of a Corefile, for the plugin `template`.
    Coredns,
}

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<ExitCode> {
    let (host, port) = match &global.running()?.proxy?.address {
        Address::Tcp(address) => {
            let (host, port) = host_and_port(address).unwrap_or_default();
            (host.to_owned(), port)
        }
        Address::Unix(_) => {
            let text = "centrifuge.proxy_address is a unix socket, which no DNS record can name";
            return Err(Mistake(text.into()).into());
        }
    };
    let name = match &args.name {
        Some(name) => domain(name)
            .filter(|name| is_name(name))
            .ok_or_else(|| Mistake(format!("{name:?} is not a domain name")))?,
        None => domain(&host).filter(|_| is_name(&host)).ok_or_else(|| {
            Mistake("NAME is missing: the host of centrifuge.proxy_address is not a domain name".into())
        })?,
    };
    let text = format!("{ATTRIBUTE}{}", service_config(args.attempts));
    let mut out = String::new();
    let servers = args.server.map_or_else(|| Server::value_variants().to_vec(), |server| vec![server]);
    for server in servers {
        if args.server.is_none() {
            let _ = writeln!(out, "{}", server.heading());
        }
        out.push_str(&server.record(&name, args.ttl.as_secs(), &text));
    }
    if args.server.is_none() {
        let _ = writeln!(out, "# Centrifugo: \"endpoint\": \"dns:///{name}:{port}\"");
    }
    std::io::stdout().write_all(out.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The text as a domain name without its final dot; `None` if it is none. Wildcards and other special labels name no bridges.
fn domain(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        (1..=MAX_LABEL).contains(&label.len())
            && label.chars().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_domain = LABEL.len() + name.len() <= MAX_NAME && name.split('.').all(is_label);
    is_domain.then(|| name.to_ascii_lowercase())
}

/// Whether it is no IPv4 address, which looks like a name.
fn is_name(host: &str) -> bool {
    host.parse::<std::net::Ipv4Addr>().is_err()
}

/// The service config: all bridges in turn, and a retry policy for what failed as UNAVAILABLE.
fn service_config(attempts: u8) -> Value {
    let mut config = json!({ "loadBalancingConfig": [{ "round_robin": {} }] });
    if attempts > 1 {
        config["methodConfig"] = json!([{
            "name": [{ "service": SERVICE }],
            "retryPolicy": {
                "maxAttempts": attempts,
                "initialBackoff": "0.02s",
                "maxBackoff": "0.2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }]);
        // No retries while more than half of the calls fail.
        config["retryThrottling"] = json!({ "maxTokens": 1000, "tokenRatio": 1 });
    }
    json!([{ "serviceConfig": config }])
}

impl Server {
    fn heading(self) -> &'static str {
        match self {
            Self::Bind => "; zone file (BIND)",
            Self::Dnsmasq => "# dnsmasq.conf",
            Self::Coredns => "# Corefile (CoreDNS)",
        }
    }

    /// The record in the server's configuration.
    fn record(self, name: &str, ttl: u64, text: &str) -> String {
        let strings = |escaped: &str, quote: &str, between: &str| {
            let quoted =
                strings(text).map(|string| format!("{quote}{}{quote}", string.replace('"', escaped)));
            quoted.collect::<Vec<_>>().join(between)
        };
        match self {
            Self::Bind => format!("{LABEL}{name}. {ttl} IN TXT {}\n", strings("\\\"", "\"", " ")),
            Self::Dnsmasq => format!("txt-record={LABEL}{name},{}\n", strings("\\\"", "\"", ",")),
            // A quote within a string, which is within quotes itself, can only be written by its number there.
            Self::Coredns => format!(
                "template IN TXT {name} {{\n    match \"^{}$\"\n    answer \"{{{{ .Name }}}} {ttl} IN TXT {}\"\n    fallthrough\n}}\n",
                format!("{LABEL}{name}.").replace('.', "[.]"),
                strings("\\034", "\\\"", " "),
            ),
        }
    }
}

/// The strings of a TXT record, none of which is too long. The text is ASCII.
fn strings(text: &str) -> impl Iterator<Item = &str> {
    let starts = (0..text.len()).step_by(MAX_STRING);
    starts.map(|start| &text[start..text.len().min(start + MAX_STRING)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text between the quotes of a zone file's strings, joined.
    fn unquoted(record: &str) -> (String, usize) {
        let (mut text, mut strings, mut quoted) = (String::new(), 0, false);
        let mut chars = record.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => {
                    quoted = !quoted;
                    strings += usize::from(quoted);
                }
                '\\' if quoted => match chars.next().unwrap() {
                    '0' => {
                        assert_eq!((chars.next(), chars.next()), (Some('3'), Some('4')));
                        text.push('"');
                    }
                    c => text.push(c),
                },
                c if quoted => text.push(c),
                _ => {}
            }
        }
        (text, strings)
    }

    #[test]
    fn the_record_says_the_same_to_each_server() {
        let text = format!("{ATTRIBUTE}{}", service_config(3));
        assert!(text.len() > MAX_STRING);
        let bind = Server::Bind.record("a.example.org", 60, &text);
        assert!(
            bind.starts_with("_grpc_config.a.example.org. 60 IN TXT \"grpc_config=[{\\\"serviceConfig\\\":")
        );
        assert_eq!(unquoted(&bind), (text.clone(), 2));
        let dnsmasq = Server::Dnsmasq.record("a.example.org", 60, &text);
        assert!(dnsmasq.starts_with("txt-record=_grpc_config.a.example.org,\"grpc_config="));
        assert_eq!(unquoted(&dnsmasq), (text.clone(), 2));
        let coredns = Server::Coredns.record("a.example.org", 60, &text);
        let answer = coredns.lines().find_map(|line| line.trim_start().strip_prefix("answer \"")).unwrap();
        // As the lexer of a Corefile reads it: only a quote is escaped.
        let answer = answer.strip_suffix('"').unwrap().replace("\\\"", "\"");
        assert!(answer.starts_with("{{ .Name }} 60 IN TXT \"grpc_config=[{\\034"), "{answer}");
        assert_eq!(unquoted(&answer), (text, 2));
        assert!(coredns.contains("match \"^_grpc_config[.]a[.]example[.]org[.]$\""), "{coredns}");
    }

    #[test]
    fn strings_are_at_most_as_long_as_may_be() {
        let text = "x".repeat(2 * MAX_STRING + 1);
        assert_eq!(strings(&text).map(str::len).collect::<Vec<_>>(), [MAX_STRING, MAX_STRING, 1]);
    }

    #[test]
    fn with_one_attempt_calls_are_balanced_only() {
        let config = service_config(1);
        assert_eq!(config, json!([{"serviceConfig": {"loadBalancingConfig": [{"round_robin": {}}]}}]));
    }

    #[test]
    fn only_domain_names_are_names() {
        assert_eq!(domain("Bridges.Example.ORG.").unwrap(), "bridges.example.org");
        assert_eq!(domain("causeway").unwrap(), "causeway");
        let long = "a".repeat(64);
        let longer = "aaaa.".repeat(60);
        for wrong in
            ["", ".", "a..b", "a b", "*.example.org", "-a", "a-", "a\"b", "ä", "[::1]", &long, &longer]
        {
            assert_eq!(domain(wrong), None, "{wrong}");
        }
    }
}
