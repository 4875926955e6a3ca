//! `causeway publish`: publishes a message to a channel through the running server.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::bail;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::format::one_line;
use super::reach::{MARGIN, Reach, block_on, waits};
use super::{Global, input};

/// The message, its channel and the server.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway publish news '{\"text\":\"hello\"}'
  date +%s | causeway publish clock -

The message goes over rpc.listen to the running server, and from there to Centrifugo's API.

Exit codes: 0 published; 1 Centrifugo or the server refused it, or the server cannot be reached; 2 a mistake in the arguments or the \
configuration.")]
#[command(mut_arg("timeout", waits("centrifuge.api_timeout + 10s")))]
pub(super) struct Args {
    /// The channel
    #[arg(value_name = "CHANNEL")]
    channel: String,
    /// The message; - reads it from standard input
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    data: String,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<ExitCode> {
    let data = input::json("the message", &args.data)?;
    // Through base64, so that a string stays a JSON string.
    let request = json!({"channel": args.channel, "data": STANDARD.encode(data.to_string())});
    // The server's own timeout comes first, with the reason.
    let time = global.running()?.api_timeout.saturating_add(MARGIN);
    let address = args.reach.address(global)?;
    block_on(async {
        let mut server = args.reach.connect(address, time).await?;
        let reply = server.call("centrifuge.Publish", &request).await?;
        if let Some(error) = reply.get("error").filter(|error| !error.is_null()) {
            bail!("Centrifugo refused the message: {}", describe_error(error));
        }
        if !global.silent {
            writeln!(std::io::stdout(), "{}", describe_result(&args.channel, &reply["result"]))?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn describe_error(error: &Value) -> String {
    let message = error["message"].as_str().unwrap_or("without a message");
    format!("{} (error {})", one_line(message), error["code"])
}

/// Describes the result. Channels with a history have an offset and an epoch.
fn describe_result(channel: &str, result: &Value) -> String {
    let channel = one_line(channel);
    match (result["offset"].as_u64(), result["epoch"].as_str()) {
        (Some(offset), Some(epoch)) => {
            format!("published to {channel} at offset {offset} of epoch {}", one_line(epoch))
        }
        _ => format!("published to {channel}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_errors_are_one_line() {
        assert_eq!(describe_result("news", &json!({})), "published to news");
        let numbered = json!({"offset": 7, "epoch": "xyz"});
        assert_eq!(describe_result("news", &numbered), "published to news at offset 7 of epoch xyz");
        let error = json!({"code": 102, "message": "unknown\nchannel"});
        assert_eq!(describe_error(&error), "unknown channel (error 102)");
    }
}
