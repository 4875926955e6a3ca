//! From events to lines.

use std::collections::HashMap;
use std::fmt;
use std::time::SystemTime;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::Context;

use super::Error;
use super::config::{Channel, Config, Level, Mode};
use super::style::{Line, Style};
use super::writer::{Guard, Outputs, Queue, SinkId};

/// The house's own channels. Whatever else has a target is a library.
const CHANNELS: [&str; 12] = [
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
    queue: Queue,
}

/// Where the lines of a channel go.
#[derive(Debug)]
struct Target {
    level: LevelFilter,
    style: Style,
    sinks: Vec<SinkId>,
}

impl Layer {
    pub(super) fn new(config: &Config) -> Result<(Self, Guard), Error> {
        let mut outputs = Outputs::default();
        let mut channels = HashMap::new();
        for name in CHANNELS {
            channels.insert(name, Target::new(&config.channel(name), &mut outputs)?);
        }
        let mut libraries = Target::new(&config.channel(""), &mut outputs)?;
        libraries.level = libraries.level.min(LevelFilter::WARN);
        let (queue, guard) = outputs.start().map_err(Error::Thread)?;
        Ok((Self { channels, libraries, queue }, guard))
    }

    fn target(&self, metadata: &Metadata<'_>) -> &Target {
        self.channels.get(metadata.target()).unwrap_or(&self.libraries)
    }
}

impl Target {
    fn new(channel: &Channel, outputs: &mut Outputs) -> Result<Self, Error> {
        let level = match channel.level.unwrap_or(Level::Debug) {
            _ if channel.mode == Some(Mode::None) => LevelFilter::OFF,
            Level::Debug => LevelFilter::DEBUG,
            Level::Info => LevelFilter::INFO,
            Level::Warn => LevelFilter::WARN,
            Level::Error => LevelFilter::ERROR,
        };
        let sinks = if level == LevelFilter::OFF { Vec::new() } else { outputs.of(channel)? };
        Ok(Self { level, style: Style::new(channel), sinks })
    }
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for Layer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= self.target(metadata).level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.channels.values().map(|target| target.level).chain([self.libraries.level]).max()
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let target = self.target(metadata);
        let mut visitor = Fields::default();
        event.record(&mut visitor);
        let line = Line {
            time: SystemTime::now(),
            level: *metadata.level(),
            channel: metadata.target().split("::").next().unwrap_or_default(),
            message: &visitor.message,
            fields: &visitor.fields,
        };
        for sink in &target.sinks {
            self.queue.push(*sink, target.style.write(&line, sink.is_terminal()));
        }
    }
}

/// An event's message and fields, in their order.
#[derive(Default)]
struct Fields {
    message: String,
    fields: Map<String, Value>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            ("fields_json", Value::String(text)) => {
                let more: Map<String, Value> = serde_json::from_str(&text).unwrap_or_default();
                self.fields.extend(more);
            }
            // What the `log` crate's records bring along says nothing to an operator.
            (name, _) if name.starts_with("log.") => {}
            (name, value) => drop(self.fields.insert(name.to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
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
