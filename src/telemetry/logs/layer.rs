//! Turns events into jobs for the outputs of their channels. What is expensive, such as parsing a worker's JSON, is left to the threads
//! that write.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::Context;

use super::config::{CHANNELS, Config, Level, Mode};
use super::error::Error;
use super::line::Source;
use super::outputs::{Console, Guard, Outputs};
use super::queue::{Job, Queue};
use super::record::{Format, Record};
use super::style::Style;
use super::worker_text::WorkerText;

/// Writes events to the outputs of their channels.
#[derive(Debug)]
pub(super) struct Layer(Arc<ArcSwap<Targets>>);

/// Where the lines of all channels go, as the configuration has it.
#[derive(Debug)]
pub(super) struct Targets {
    channels: HashMap<&'static str, Target>,
    libraries: Target,
}

/// Where the lines of a channel go.
#[derive(Debug)]
struct Target {
    format: Arc<Format>,
    queues: Vec<Queue>,
}

impl Layer {
    pub(super) fn new(config: &Config) -> Result<(Self, Console, Guard), Error> {
        let mut outputs = Outputs::default();
        let targets = Targets::new(config, &mut outputs)?;
        let (console, guard) = outputs.start().map_err(Error::Thread)?;
        Ok((Self(Arc::new(ArcSwap::from_pointee(targets))), console, guard))
    }

    /// What events of all channels look up, to be replaced.
    pub(super) fn targets(&self) -> Arc<ArcSwap<Targets>> {
        Arc::clone(&self.0)
    }
}

impl Targets {
    pub(super) fn new(config: &Config, outputs: &mut Outputs) -> Result<Self, Error> {
        let mut channels = HashMap::new();
        for name in CHANNELS {
            channels.insert(name, Target::new(config, name, LevelFilter::TRACE, outputs)?);
        }
        let libraries = Target::new(config, "", LevelFilter::WARN, outputs)?;
        Ok(Self { channels, libraries })
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
            Level::Debug | Level::Fatal | Level::Unknown => LevelFilter::DEBUG,
            Level::Info => LevelFilter::INFO,
            Level::Warn => LevelFilter::WARN,
            Level::Error => LevelFilter::ERROR,
        };
        let queues = if level == LevelFilter::OFF { Vec::new() } else { outputs.of(config, name)? };
        let format = Format { level: level.min(most), style: Style::new(channel, config.compat) };
        Ok(Self { format: Arc::new(format), queues })
    }
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for Layer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= self.0.load().target(metadata).format.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let targets = self.0.load();
        let channels = targets.channels.values().map(|target| target.format.level);
        channels.chain([targets.libraries.format.level]).max()
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let targets = self.0.load();
        let target = targets.target(metadata);
        let mut visitor = Fields::default();
        event.record(&mut visitor);
        let job = visitor.into_job(metadata, &target.format);
        for queue in &target.queues {
            queue.push(job.clone());
        }
    }
}

/// The message and fields of an event, in order.
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
            // Fields that records of the `log` crate carry mean nothing to operators.
            (name, _) if name.starts_with("log.") => {}
            (name, value) => drop(self.fields.insert(name.to_owned(), value)),
        }
    }

    fn into_job(self, metadata: &Metadata<'static>, format: &Arc<Format>) -> Job {
        let channel = metadata.target().split("::").next().unwrap_or_default();
        let time = SystemTime::now();
        let Self { message, mut fields, fields_json, worker_output } = self;
        if let Some(text) = worker_output {
            let pid = fields.get("pid").and_then(Value::as_u64).unwrap_or_default();
            let Some(Value::String(stream)) = fields.remove("stream") else { return Job::Print([].into()) };
            let trace_id = fields.remove("trace_id");
            let text = WorkerText { time, channel, pid, stream, trace_id, text };
            return Job::Worker(Arc::new(text), Arc::clone(format));
        }
        let source = metadata.file().zip(metadata.line()).zip(metadata.module_path());
        let source = source.map(|((file, line), module)| Source { file, line, module });
        let record = Record { time, level: *metadata.level(), channel, message, fields, fields_json, source };
        Job::Record(Arc::new(record), Arc::clone(format))
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
