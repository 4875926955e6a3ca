//! The `server` section of `.rr.yaml`: what is run, as which user, and over which relay.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};

use super::command::Command;
use super::program;
use super::scalar::Scalar;
use crate::findings::{Findings, Machine};
use crate::os::process::{Identity, IdentityError};
use crate::relay::{RelayAddress, SocketSettings};

/// The `server` section.
#[derive(Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `server.command`: the program and its arguments. Empty only where `pool.command` is set.
    pub command: Command,
    /// `server.user`: the user that workers run as; only root can set it.
    pub user: Option<String>,
    /// `server.group`: the group that workers run as.
    pub group: Option<String>,
    /// `server.groups`: supplementary groups of workers, besides those that the user is a member of (Causeway's own key).
    pub groups: Vec<String>,
    /// `server.umask`: the umask of workers; that of this process unless set (Causeway's own key).
    #[serde(deserialize_with = "umask")]
    pub umask: Option<u32>,
    /// `server.env`: names in upper case, values expanded, in the order of the file. Numbers and truth values without quotes are
    /// normalised, as in RoadRunner.
    #[serde(deserialize_with = "variables")]
    pub env: Vec<(String, String)>,
    /// `server.relay`: how frames travel.
    pub relay: RelayAddress,
    /// `server.relay_socket`: the attributes of a unix socket's file.
    pub relay_socket: SocketSettings,
    /// `server.on_init`: a command that runs once, before the workers.
    pub on_init: Option<OnInit>,
    /// RoadRunner 2's key: `pool.allocate_timeout` says it now.
    #[serde(rename = "relay_timeout")]
    _relay_timeout: IgnoredAny,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("command", &self.command)
            .field("user", &self.user)
            .field("group", &self.group)
            .field("groups", &self.groups)
            .field("umask", &self.umask)
            .field("env", &names(&self.env))
            .field("relay", &self.relay)
            .field("relay_socket", &self.relay_socket)
            .field("on_init", &self.on_init)
            .finish_non_exhaustive()
    }
}

/// The `server.on_init` section.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct OnInit {
    /// What to run.
    pub command: Command,
    /// `exec_timeout`, 60s.
    #[serde(deserialize_with = "crate::duration::minute_if_zero")]
    pub exec_timeout: Duration,
    /// Variables on top of the worker's.
    #[serde(deserialize_with = "variables")]
    pub env: Vec<(String, String)>,
    /// The user to run as; `server.user` unless set.
    pub user: Option<String>,
    /// Whether a failure ends `serve`; false unless set.
    pub exit_on_error: bool,
}

/// The user or the group that workers are to run as cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("server.user, server.group, server.groups: {0}")]
pub(crate) struct NoIdentity(#[from] IdentityError);

impl Config {
    /// Returns the user and groups that workers run as, if not those of this process.
    ///
    /// # Errors
    /// Says which user or group does not exist, or that only root may set them.
    pub(crate) fn identity(&self) -> Result<Option<Identity>, NoIdentity> {
        Ok(Identity::resolve(self.user.as_deref(), self.group.as_deref(), &self.groups)?)
    }
}

impl Config {
    /// What each worker is started with, besides its command: the rest, which is of all or of none, is the same in all of these.
    pub(crate) fn of_each_worker(&self) -> Self {
        let (command, relay, relay_socket) =
            (Command::default(), RelayAddress::default(), SocketSettings::default());
        Self { command, relay, relay_socket, on_init: None, ..self.clone() }
    }

    /// These settings of a pool, with what it does not set from `server`: of the relay, `sets_relay` says so. `on_init` is not inherited,
    /// since that of `server` runs before all pools, nor is the pool's own command here.
    pub(crate) fn inherit(mut self, server: &Self, sets_relay: bool) -> Self {
        self.command = server.command.clone();
        self.user = self.user.or_else(|| server.user.clone());
        self.group = self.group.or_else(|| server.group.clone());
        if self.groups.is_empty() {
            self.groups.clone_from(&server.groups);
        }
        self.umask = self.umask.or(server.umask);
        self.env.splice(0..0, server.env.iter().cloned());
        if !sets_relay {
            self.relay = server.relay.clone();
            if self.relay_socket == SocketSettings::default() {
                self.relay_socket = server.relay_socket;
            }
        }
        self
    }
}

impl fmt::Debug for OnInit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnInit")
            .field("command", &self.command)
            .field("exec_timeout", &self.exec_timeout)
            .field("env", &names(&self.env))
            .field("user", &self.user)
            .field("exit_on_error", &self.exit_on_error)
            .finish()
    }
}

/// Any value may be a secret.
fn names(variables: &[(String, String)]) -> Vec<&str> {
    variables.iter().map(|(name, _)| name.as_str()).collect()
}

impl Default for OnInit {
    fn default() -> Self {
        Self {
            command: Command::default(),
            exec_timeout: Duration::from_mins(1),
            env: Vec::new(),
            user: None,
            exit_on_error: false,
        }
    }
}

impl Config {
    /// What would keep workers from being started. `key` names a key of `server` in full, `own` is the pool's own command and its section.
    pub(crate) fn validate(
        &self,
        key: &impl Fn(&str) -> String,
        own: Option<(&str, &Command)>,
        machine: Machine<'_>,
        findings: &mut Findings,
    ) {
        findings.check(key("relay"), self.relay.can_listen(machine.work_dir));
        findings.check(key("relay_socket"), self.relay.fits(self.relay_socket));
        if let Some(risk) = self.relay.risk() {
            findings.odd(key("relay"), risk);
        }
        let (command_key, command) = own.map_or_else(
            || (key("command"), &self.command),
            |(section, own)| (format!("{section}.command"), own),
        );
        findings.check(command_key, self.can_run(command, &[], machine));
        findings.check(key("user"), Identity::resolve(self.user.as_deref(), None, &[]).map(drop));
        findings.check(key("group"), Identity::resolve(None, self.group.as_deref(), &[]).map(drop));
        findings.check(key("groups"), Identity::resolve(None, None, &self.groups).map(drop));
        if let Some(on_init) = &self.on_init {
            let command_key = key("on_init.command");
            match self.can_run(&on_init.command, &on_init.env, machine) {
                Err(reason) if on_init.exit_on_error => findings.mistake(command_key, reason),
                // It fails, and the workers are started all the same.
                Err(reason) => findings.odd(command_key, reason),
                Ok(()) => {}
            }
            findings
                .check(key("on_init.user"), Identity::resolve(on_init.user.as_deref(), None, &[]).map(drop));
        }
    }

    /// Whether there is a program for this command. One that is missing is a mistake of its own.
    fn can_run(
        &self,
        command: &Command,
        env: &[(String, String)],
        machine: Machine<'_>,
    ) -> Result<(), String> {
        let Some(name) = command.argv.first() else { return Ok(()) };
        let own = self.env.iter().chain(env).map(|(name, value)| (name.as_ref(), value.as_ref()));
        let variables: Vec<_> = machine.variables().chain(own).collect();
        let found = program::find(name, machine.work_dir, variables.into_iter());
        let words = command.shown_words();
        let shown = words.first().unwrap_or(name);
        found.map(drop).map_err(|reason| format!("`{shown}` {reason}"))
    }
}

fn umask<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let text = String::deserialize(deserializer)?;
    // Fewer digits may be what a generator has made of 0027: the number 23.
    let is_octal = matches!(text.len(), 3 | 4) && text.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    match u32::from_str_radix(&text, 8) {
        Ok(umask) if is_octal && umask <= 0o777 => Ok(Some(umask)),
        _ => Err(de::Error::invalid_value(
            Unexpected::Str(&text),
            &"a umask of three or four octal digits, such as 0027",
        )),
    }
}

/// A map, or a list of maps as in old files. Names are in upper case, as RoadRunner makes them.
fn variables<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    struct Variables;

    impl<'de> Visitor<'de> for Variables {
        type Value = Vec<(String, String)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("variables as `NAME: value` lines")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut variables = Vec::new();
            while let Some((Name(name), Text(value))) = map.next_entry()? {
                variables.push((name, value));
            }
            Ok(variables)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut variables = Vec::new();
            while let Some(OneOfMany(more)) = items.next_element()? {
                variables.extend(more);
            }
            Ok(variables)
        }
    }

    struct Name(String);

    impl<'de> Deserialize<'de> for Name {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let name = String::deserialize(deserializer)?;
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(de::Error::custom("not a valid name of an environment variable"));
            }
            Ok(Self(name.to_uppercase()))
        }
    }

    struct Text(String);

    impl<'de> Deserialize<'de> for Text {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let Scalar(text) = Scalar::deserialize(deserializer)?;
            if text.contains('\0') {
                return Err(de::Error::custom("a variable cannot contain a zero byte"));
            }
            Ok(Self(text))
        }
    }

    /// A map within a list.
    struct OneOfMany(Vec<(String, String)>);

    impl<'de> Deserialize<'de> for OneOfMany {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(Variables).map(Self)
        }
    }

    deserializer.deserialize_any(Variables)
}
