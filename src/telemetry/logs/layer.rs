//! From events to what is written of them. All that costs much, such as reading a worker's JSON, is left to the threads that write.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level as EventLevel, Metadata, Subscriber};
use tracing_subscriber::layer::Context;

use super::Error;
use super::config::{Config, Level, Mode};
use super::outputs::{Console, Guard, Outputs};
use super::queue::{Job, Queue};
use super::style::{Line, Style};
use super::worker_text::WorkerText;

/// The house's own channels. Whatever else has a target is a library.
pub(crate) const CHANNELS: [&str; 12] = [
    "server",
    "centrifuge",
    "rpc",
    "app",
    "endure",
    "config",
    "metrics",
    "status",
    "otel",
    "lock",
    "watch",
    "net",
];

/// Writes events to the outputs of their channels.
#[derive(Debug)]
pub(super) struct Layer {
    channels: HashMap<&'static str, Target>,
    libraries: Target,
}

/// Where the lines of a channel go.
#[derive(Debug)]
struct Target {
    look: Arc<Look>,
    queues: Vec<Queue>,
}

/// How the lines of a channel are written, and which.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) style: Style,
    pub(super) level: LevelFilter,
}

impl Default for Look {
    fn default() -> Self {
        Self { style: Style::new(&super::Channel::default()), level: LevelFilter::DEBUG }
    }
}

/// One event, taken apart but not written yet.
#[derive(Debug)]
pub(super) struct Record {
    time: SystemTime,
    level: EventLevel,
    channel: &'static str,
    message: String,
    fields: Map<String, Value>,
    /// More fields, as the text of a JSON object.
    fields_json: String,
}

impl Layer {
    pub(super) fn new(config: &Config) -> Result<(Self, Console, Guard), Error> {
        let mut outputs = Outputs::default();
        let mut channels = HashMap::new();
        for name in CHANNELS {
            channels.insert(name, Target::new(config, name, LevelFilter::TRACE, &mut outputs)?);
        }
        let libraries = Target::new(config, "", LevelFilter::WARN, &mut outputs)?;
        let (console, guard) = outputs.start().map_err(Error::Thread)?;
        Ok((Self { channels, libraries }, console, guard))
    }

    fn target(&self, metadata: &Metadata<'_>) -> &Target {
        self.channels.get(metadata.target()).unwrap_or(&self.libraries)
    }
}

impl Target {
    fn new(config: &Config, name: &str, most: LevelFilter, outputs: &mut Outputs) -> Result<Self, Error> {
        let channel = &config.channel(name);
        let level = match channel.level.unwrap_or(Level::Debug) {
            _ if channel.mode == Some(Mode::None) => LevelFilter::OFF,
            Level::Debug => LevelFilter::DEBUG,
            Level::Info => LevelFilter::INFO,
            Level::Warn => LevelFilter::WARN,
            Level::Error => LevelFilter::ERROR,
        };
        let queues = if level == LevelFilter::OFF {
            Vec::new()
        } else {
            outputs.of(channel).map_err(|error| error.named(&config.keys(name)))?
        };
        let look = Look { level: level.min(most), style: Style::new(channel) };
        Ok(Self { look: Arc::new(look), queues })
    }
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for Layer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= self.target(metadata).look.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.channels.values().map(|target| target.look.level).chain([self.libraries.look.level]).max()
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let target = self.target(metadata);
        let mut visitor = Fields::default();
        event.record(&mut visitor);
        let job = visitor.into_job(metadata, &target.look);
        for queue in &target.queues {
            queue.push(job.clone());
        }
    }
}

/// An event's message and fields, in their order.
#[derive(Default)]
struct Fields {
    message: String,
    fields: Map<String, Value>,
    fields_json: String,
    worker_output: Option<Vec<u8>>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            ("fields_json", Value::String(text)) => self.fields_json = text,
            // What the `log` crate's records bring along says nothing to an operator.
            (name, _) if name.starts_with("log.") => {}
            (name, value) => drop(self.fields.insert(name.to_owned(), value)),
        }
    }

    fn into_job(self, metadata: &Metadata<'static>, look: &Arc<Look>) -> Job {
        let channel = metadata.target().split("::").next().unwrap_or_default();
        let time = SystemTime::now();
        let Self { message, mut fields, fields_json, worker_output } = self;
        if let Some(text) = worker_output {
            let pid = fields.get("pid").and_then(Value::as_u64).unwrap_or_default();
            let Some(Value::String(stream)) = fields.remove("stream") else { return Job::Print([].into()) };
            return Job::Worker(Arc::new(WorkerText { time, channel, pid, stream, text }), Arc::clone(look));
        }
        let record = Record { time, level: *metadata.level(), channel, message, fields, fields_json };
        Job::Record(Arc::new(record), Arc::clone(look))
    }
}

impl Record {
    /// A record of the log about itself.
    pub(super) fn of_the_log(message: String) -> Self {
        Self {
            time: SystemTime::now(),
            level: EventLevel::WARN,
            channel: "endure",
            message,
            fields: Map::new(),
            fields_json: String::new(),
        }
    }

    /// What it takes in memory, about.
    pub(super) fn size(&self) -> usize {
        let of = |value: &Value| value.as_str().map_or(16, str::len);
        let fields: usize = self.fields.iter().map(|(name, value)| name.len() + of(value)).sum();
        self.message.len() + self.fields_json.len() + fields
    }

    /// The line of the log.
    pub(super) fn write(&self, style: &Style, terminal: bool) -> String {
        let mut all;
        let mut fields = &self.fields;
        if !self.fields_json.is_empty() {
            let more: Map<String, Value> = serde_json::from_str(&self.fields_json).unwrap_or_default();
            all = fields.clone();
            all.extend(more);
            fields = &all;
        }
        let Self { time, level, channel, message, .. } = self;
        style.write(&Line { time: *time, level: *level, channel, message, fields }, terminal)
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        if field.name() == "worker_output" {
            self.worker_output = Some(value.to_vec());
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}
