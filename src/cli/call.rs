//! `causeway call`: sends one event to the server, as Centrifugo would.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures_util::StreamExt as _;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use prost_reflect::{DynamicMessage, Kind, MethodDescriptor};
use serde_json::{Map, Value, json};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{AsciiMetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::format::{self, one_line};
use super::say::say;
use super::secure::Secure;
use super::{Global, Mistake};
use crate::compat;
use crate::config::ServerAddress;
use crate::grpc::RawCodec;
use crate::net::{Address, dial};
use crate::proto::{self, json};
use crate::proxy::{Credentials, POOL_HEADER, SERVICE};
use crate::streams::wire;

/// The event to send, and where.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway call connect --data '{\"token\":\"t\"}'
  causeway call rpc --method sum --data '{\"a\":1,\"b\":2}' --user 42
  causeway call subscribe --channel news --user 42 --header x-forwarded-for=10.0.0.1
  causeway call subscribe_stream --channel news --user 42

TYPE is connect, refresh, subscribe, publish, rpc, sub_refresh or any other method of Centrifugo's proxy service. subscribe_stream shows the
messages of a subscription stream as they come, until it ends; with --bidirectional, lines of standard input are published to it.

Exit codes: 0 the application answered, with a result, an error or a disconnect; 1 no answer; 2 a mistake in the arguments.")]
pub(super) struct Args {
    /// The type of the event
    #[arg(value_name = "TYPE")]
    kind: String,
    /// The client's data, as JSON
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    /// The method of an rpc
    #[arg(long, value_name = "M")]
    method: Option<String>,
    /// The channel of a subscribe, publish or sub_refresh
    #[arg(long, value_name = "C")]
    channel: Option<String>,
    /// The client's user id
    #[arg(long, value_name = "U")]
    user: Option<String>,
    /// The client's own id
    #[arg(long, value_name = "ID", default_value = "00000000-0000-4000-8000-000000000000")]
    client: String,
    /// A header of the client, which Centrifugo would forward as metadata. May be repeated
    #[arg(long = "header", value_name = "K=V")]
    headers: Vec<String>,
    /// How long to wait for the answer, such as 500ms or 1m30s
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = crate::duration::parse)]
    timeout: Duration,
    /// With subscribe_stream: publish the lines of standard input, each a JSON value
    #[arg(long)]
    bidirectional: bool,
    /// Print the answer as one line of JSON
    #[arg(long)]
    json: bool,
    /// Print to standard error which pool answered
    #[arg(short, long)]
    verbose: bool,
    /// The server's address [default: centrifuge.proxy_address of the configuration]
    #[arg(long, value_name = "ADDRESS")]
    address: Option<Address>,
    #[command(flatten)]
    secure: Secure,
}

/// The server, and what calls to it need.
struct Server {
    address: ServerAddress,
    tls: Option<TlsConnector>,
    credentials: Option<Credentials>,
}

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<ExitCode> {
    let mistake = |error: anyhow::Error| Mistake(format!("{error:#}"));
    let method = method(&args.kind, args.bidirectional).map_err(mistake)?;
    let request = request(args, &method).map_err(mistake)?;
    let server = Server::of(global, args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if method.is_server_streaming() {
        return runtime.block_on(subscribe(&server, args, &method, request));
    }
    let answer = runtime.block_on(call(&server, args, &method, request))?;
    if args.verbose {
        let metadata = answer.as_ref().map_or_else(Status::metadata, tonic::Response::metadata);
        // A server that has one pool does not say so.
        let pool = metadata.get(POOL_HEADER).and_then(|pool| pool.to_str().ok()).unwrap_or(compat::PLUGIN);
        say(&format!("pool {}\n", one_line(pool)));
    }
    let answer = match answer {
        Ok(answer) => answer.into_inner(),
        Err(status) => bail!("{:?}: {}", status.code(), one_line(status.message())),
    };
    let message =
        DynamicMessage::decode(method.output(), answer).context("the answer is not the expected message")?;
    let value = json::to_json(&message)?;
    let text = if args.json { format::json(&value.to_string()) } else { describe(&value) };
    writeln!(io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the method of this name in any spelling: `sub_refresh`, `SubRefresh`, `subrefresh`. Both that stream are `subscribe_stream`.
fn method(kind: &str, is_bidirectional: bool) -> anyhow::Result<MethodDescriptor> {
    let service = proto::descriptors().get_service_by_name(SERVICE).context("unknown service")?;
    let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    let is_named = |method: &MethodDescriptor| match plain(kind).as_str() {
        "subscribestream" => method.is_server_streaming() && method.is_client_streaming() == is_bidirectional,
        kind => plain(method.name()) == kind,
    };
    let found = service.methods().find(is_named);
    let found = found.with_context(|| {
        let known: Vec<String> = service.methods().map(|method| method.name().to_lowercase()).collect();
        format!("unknown event type `{kind}`; known types: subscribe_stream, {}", known.join(", "))
    })?;
    if is_bidirectional && !found.is_client_streaming() {
        bail!("{kind} is not bidirectional");
    }
    Ok(found)
}

/// Builds the request as Centrifugo would.
fn request(args: &Args, method: &MethodDescriptor) -> anyhow::Result<Bytes> {
    let input = match method.input().get_field_by_name("subscribe_request").map(|field| field.kind()) {
        Some(Kind::Message(request)) => request,
        _ => method.input(),
    };
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| {
        let known = input.get_field_by_name(name).is_some();
        if known {
            fields.insert(name.to_owned(), value);
        }
        known
    };
    for (name, value) in [
        ("client", args.client.as_str()),
        ("transport", "websocket"),
        ("protocol", "json"),
        ("encoding", "json"),
    ] {
        set(name, value.into());
    }
    for (name, value) in [("method", &args.method), ("channel", &args.channel), ("user", &args.user)] {
        if let Some(value) = value
            && !set(name, value.as_str().into())
        {
            bail!("{} has no {name}", args.kind);
        }
    }
    if let Some(data) = &args.data {
        let data: Value = serde_json::from_str(data).context("--data is not JSON")?;
        // Through base64, so that a string stays a JSON string.
        let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, data.to_string());
        if !set("data", data.into()) {
            bail!("{} has no data", args.kind);
        }
    }
    let message = json::from_json(&input, Value::Object(fields))?;
    Ok(message.encode_to_vec().into())
}

async fn call(
    server: &Server,
    args: &Args,
    method: &MethodDescriptor,
    body: Bytes,
) -> anyhow::Result<Result<tonic::Response<Bytes>, Status>> {
    let mut request = tonic::Request::new(body);
    request.set_timeout(args.timeout);
    add_headers(server, args, request.metadata_mut())?;
    let channel = channel(server, args).await?;
    let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(usize::MAX);
    grpc.ready().await?;
    let path = format!("/{SERVICE}/{}", method.name()).parse()?;
    let late = || Status::deadline_exceeded(format!("no answer within {:?}", args.timeout));
    let answer = tokio::time::timeout(args.timeout, grpc.unary(request, path, RawCodec)).await;
    Ok(match answer {
        // tonic's own timeout is reported as CANCELLED.
        Ok(Err(status)) if status.code() == Code::Cancelled && status.message() == "Timeout expired" => {
            Err(late())
        }
        Ok(answer) => answer,
        Err(_) => Err(late()),
    })
}

/// Opens a stream and prints its messages until it ends.
async fn subscribe(
    server: &Server,
    args: &Args,
    method: &MethodDescriptor,
    body: Bytes,
) -> anyhow::Result<ExitCode> {
    let channel = channel(server, args).await?;
    let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(usize::MAX);
    grpc.ready().await?;
    let path = format!("/{SERVICE}/{}", method.name()).parse()?;
    let messages = if method.is_client_streaming() {
        let first = wire::subscribe_message(&body);
        futures_util::stream::once(async { first }).chain(publications()).boxed()
    } else {
        futures_util::stream::once(async { body }).boxed()
    };
    let mut request = tonic::Request::new(messages);
    add_headers(server, args, request.metadata_mut())?;
    let opening = tokio::time::timeout(args.timeout, async {
        let mut answers = grpc.streaming(request, path, RawCodec).await?.into_inner();
        let first = answers.message().await?;
        Ok::<_, Status>((answers, first))
    });
    let failed = |status: Status| anyhow::anyhow!("{:?}: {}", status.code(), one_line(status.message()));
    let (mut answers, mut message) = match opening.await {
        Ok(opened) => opened.map_err(failed)?,
        Err(_) => bail!("DeadlineExceeded: no answer within {:?}", args.timeout),
    };
    while let Some(bytes) = message {
        let decoded = DynamicMessage::decode(method.output(), bytes)
            .context("the answer is not the expected message")?;
        let value = json::to_json(&decoded)?;
        let text = if args.json { format::json(&value.to_string()) } else { describe_message(&value) };
        writeln!(io::stdout(), "{text}")?;
        message = answers.message().await.map_err(failed)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The lines of standard input, each as a publication of the client.
fn publications() -> impl futures_util::Stream<Item = Bytes> + Send {
    let (sender, lines) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            let data = line.trim();
            if !data.is_empty() && sender.blocking_send(wire::client_publication(data.as_bytes())).is_err() {
                return;
            }
        }
        // The client goes on reading.
        std::thread::park();
    });
    ReceiverStream::new(lines)
}

/// Formats a message of a stream for people.
fn describe_message(message: &Value) -> String {
    match (message.get("subscribe_response"), message.get("publication")) {
        (Some(response), _) => describe(response),
        (None, Some(publication)) => {
            let data = publication.get("data").unwrap_or(&Value::Null);
            let tags = publication.get("tags").map(|tags| format!(" {tags}")).unwrap_or_default();
            format::json(&format!("{data}{tags}"))
        }
        (None, None) => "empty message".into(),
    }
}

fn add_headers(server: &Server, args: &Args, metadata: &mut MetadataMap) -> anyhow::Result<()> {
    if args.verbose {
        metadata.insert(POOL_HEADER, MetadataValue::from_static("?"));
    }
    if let Some(credentials) = &server.credentials {
        let key = credentials.key.to_lowercase();
        let pair = AsciiMetadataKey::from_bytes(key.as_bytes()).ok().zip(credentials.value.first());
        if let Some((key, value)) = pair.and_then(|(key, value)| Some((key, value.parse().ok()?))) {
            metadata.append(key, value);
        }
    }
    for header in &args.headers {
        let (name, value) =
            header.split_once('=').with_context(|| format!("expected key=value, found `{header}`"))?;
        let name = AsciiMetadataKey::from_bytes(name.to_lowercase().as_bytes())
            .with_context(|| format!("`{name}` is not a valid header name"))?;
        let value = MetadataValue::try_from(value)
            .with_context(|| format!("`{value}` is not a valid header value"))?;
        metadata.append(name, value);
    }
    Ok(())
}

impl Server {
    fn of(global: &Global, args: &Args) -> anyhow::Result<Self> {
        let (address, credentials) = if let Some(address) = &args.address {
            (address.clone().into(), None)
        } else {
            let running = global.running()?;
            (running.proxy?, running.credentials)
        };
        let tls = args.secure.connector(&address, Some(b"h2"));
        let tls = tls.with_context(|| format!("cannot speak TLS with {address}"))?;
        Ok(Self { address, tls, credentials })
    }
}

async fn channel(server: &Server, args: &Args) -> anyhow::Result<Channel> {
    let connecting = connect(&server.address.address, server.tls.clone());
    let server = &server.address;
    match tokio::time::timeout(args.timeout, connecting).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => {
            let cause = error.chain().last().map(ToString::to_string).unwrap_or_default();
            bail!("cannot connect to {server}: {cause}")
        }
        Err(_) => bail!("cannot connect to {server} within {:?}", args.timeout),
    }
}

async fn connect(address: &Address, tls: Option<TlsConnector>) -> anyhow::Result<Channel> {
    let endpoint = match address {
        Address::Tcp(address) => Endpoint::from_shared(format!("http://{}", Address::reachable(address)))?,
        Address::Unix(_) => Endpoint::from_static("http://localhost"),
    };
    let address = address.clone();
    let connector = tower::service_fn(move |_| {
        let (address, tls) = (address.clone(), tls.clone());
        async move { dial::connect(&address, tls.as_ref()).await.map(TokioIo::new) }
    });
    Ok(endpoint.connect_with_connector(connector).await?)
}

/// Formats an answer for people: its kind, then its content.
fn describe(answer: &Value) -> String {
    let indent = |value: &Value| format::json(&serde_json::to_string_pretty(value).unwrap_or_default());
    let text = |value: &Value, key: &str| {
        value
            .get(key)
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .unwrap_or_default()
    };
    if let Some(error) = answer.get("error") {
        return format!("error {}: {}", text(error, "code"), one_line(&text(error, "message")));
    }
    if let Some(disconnect) = answer.get("disconnect") {
        return format!("disconnect {}: {}", text(disconnect, "code"), one_line(&text(disconnect, "reason")));
    }
    match answer.get("result") {
        Some(result) if *result != json!({}) => format!("result {}", indent(result)),
        Some(_) => "result (empty)".into(),
        None => "empty answer: neither result nor error".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_found_in_any_spelling() {
        for kind in ["sub_refresh", "SubRefresh", "subrefresh", "SUB-REFRESH"] {
            assert_eq!(method(kind, false).unwrap().name(), "SubRefresh");
        }
        for (is_bidirectional, name) in [(false, "SubscribeUnidirectional"), (true, "SubscribeBidirectional")]
        {
            assert_eq!(method("subscribe_stream", is_bidirectional).unwrap().name(), name);
        }
        assert!(method("rpc", true).is_err());
        let error = method("subscribestreams", false).unwrap_err().to_string();
        assert!(error.contains("known types: subscribe_stream, connect"), "{error}");
    }

    #[test]
    fn errors_and_disconnects_are_one_line_and_results_are_indented() {
        assert_eq!(describe(&json!({"error": {"code": 1000, "message": "no"}})), "error 1000: no");
        assert_eq!(describe(&json!({"disconnect": {"code": 4000, "reason": "bye"}})), "disconnect 4000: bye");
        assert_eq!(describe(&json!({"result": {"data": 1}})), "result {\n  \"data\": 1\n}");
        let hostile = describe(&json!({"result": {"data": "\u{9b}2J"}}));
        assert_eq!(hostile, "result {\n  \"data\": \"\\u009b2J\"\n}");
        assert_eq!(describe(&json!({"error": {"code": 1, "message": "a\nb\u{202e}"}})), "error 1: a b ");
        assert_eq!(describe(&json!({})), "empty answer: neither result nor error");
    }
}
