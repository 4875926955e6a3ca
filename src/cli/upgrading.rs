//! A running server that hands over to a new one: on SIGUSR2, or when a caller of RPC wants it.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use crate::app::App;
use crate::net::Sockets;
use crate::rpc::{Stop, UpgradeReply, UpgradeRequests};
use crate::service::Notifier;
use crate::service::upgrade::{Invocation, NoSuccessor, Successor};

/// What a new server gets to start beyond the time that it asks for.
const MARGIN: Duration = Duration::from_secs(10);

/// Requests that a new server takes over.
pub(super) struct Upgrades {
    signal: Signal,
    requests: UpgradeRequests,
    invocation: Invocation,
}

/// Why the server no longer serves.
pub(super) enum End {
    /// A signal of this name.
    Signal(&'static str),
    /// The terminal is gone in which the server was started.
    TerminalClosed,
    /// A caller of RPC wants it.
    Requested(Stop),
    /// The process with this pid serves now.
    HandedOver(u32),
}

/// A request, and where its outcome goes, if it came over RPC.
pub(super) struct Request(Option<UpgradeReply>);

/// How it ended.
pub(super) enum Outcome {
    /// The process with this pid serves.
    HandedOver(u32),
    /// This server serves on.
    GoesOn,
    /// This server was stopped meanwhile, and the new one is gone.
    Stopped(End),
}

impl Upgrades {
    /// # Errors
    /// If the signal cannot be listened for.
    pub(super) fn new(requests: UpgradeRequests, invocation: Invocation) -> std::io::Result<Self> {
        Ok(Self { signal: signal(SignalKind::user_defined2())?, requests, invocation })
    }

    /// Resolves when there is one.
    pub(super) async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.signal.recv() => Request(None),
            reply = self.requests.next() => Request(Some(reply)),
        }
    }

    /// Starts a new server and hands over to it, unless this one is `stopped` before that. Refuses other requests meanwhile.
    pub(super) async fn carry_out(
        &mut self,
        Request(reply): Request,
        app: &App,
        sockets: &Sockets,
        notifier: &Notifier,
        stopped: impl Future<Output = End>,
    ) -> Outcome {
        info!(target: "endure", "starting a new server to hand over to");
        notifier.status("starting a new server to hand over to").await;
        let invocation = self.invocation.clone();
        let end = tokio::select! {
            end = hand_over(&invocation, app, sockets) => end,
            // The new server is killed as the future above is dropped.
            end = stopped => return Outcome::Stopped(end),
            () = self.refuse_others() => return Outcome::GoesOn,
        };
        let locks = app.locks_in_memory();
        let answer = match &end {
            Ok(successor) => {
                notifier.main_pid(successor.pid()).await;
                successor.notified().await;
                if locks > 0 {
                    warn!(target: "lock", locks, "the new server does not know the locks in this one's memory");
                }
                Ok((successor.pid(), locks))
            }
            Err(NoSuccessor::Stopped { .. }) => {
                info!(target: "endure", "stop requested at the new server, which is gone");
                Err("the server is shutting down".into())
            }
            Err(reason) => {
                error!(target: "endure", %reason, "not handed over, this server goes on");
                notifier.ready("serving; the new server has failed").await;
                Err(reason.to_string())
            }
        };
        if let Some(reply) = reply {
            let _ = reply.send(answer);
        }
        match end {
            Ok(successor) => Outcome::HandedOver(successor.pid()),
            Err(NoSuccessor::Stopped { at_once }) => {
                let how = if at_once { Stop::AtOnce } else { Stop::Gracefully };
                Outcome::Stopped(End::Requested(how))
            }
            Err(_) => Outcome::GoesOn,
        }
    }

    /// Never resolves.
    async fn refuse_others(&mut self) {
        loop {
            let Request(reply) = self.next().await;
            warn!(target: "endure", "upgrade refused: another one is under way");
            if let Some(reply) = reply {
                let _ = reply.send(Err("another upgrade is under way".into()));
            }
        }
    }
}

/// Hands over. The new server is killed if this is dropped before.
async fn hand_over(invocation: &Invocation, app: &App, sockets: &Sockets) -> Result<Successor, NoSuccessor> {
    let mut successor = Successor::start(invocation, sockets).await?;
    let within = successor.booting().await?;
    let rpc = app.pause_rpc();
    successor.ready(within.saturating_add(MARGIN)).await?;
    let admin = app.pause_admin();
    successor.take_over().await?;
    rpc.keep();
    admin.keep();
    sockets.own_files(false);
    Ok(successor)
}
