//! What is simulated.

/// A fleet and its load. Times are in seconds.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Plan {
    /// Calls per second, of all nodes together
    #[arg(long, default_value_t = 100.0)]
    pub(crate) rate: f64,
    /// How long a worker takes for a call, in seconds
    #[arg(long, default_value_t = 0.02)]
    pub(crate) work: f64,
    /// Whether all calls take as long; otherwise their times are distributed exponentially
    #[arg(long)]
    pub(crate) even: bool,
    /// Centrifugo nodes
    #[arg(long, default_value_t = 2)]
    pub(crate) nodes: usize,
    /// Bridges
    #[arg(long, default_value_t = 2)]
    pub(crate) bridges: usize,
    /// Workers of each bridge
    #[arg(long, default_value_t = 4)]
    pub(crate) workers: usize,
    /// Calls that wait in a bridge at most (pool.max_queue_size); 0: no limit
    #[arg(long, default_value_t = 0)]
    pub(crate) queue: usize,
    /// Centrifugo's deadline of a call, in seconds
    #[arg(long, default_value_t = 1.0)]
    pub(crate) timeout: f64,
    /// How often a node tries a call that failed as UNAVAILABLE, the first time included
    #[arg(long, default_value_t = 3)]
    pub(crate) attempts: u32,
    /// All calls of a node go to one bridge (pick_first) instead of each in turn (round_robin)
    #[arg(long)]
    pub(crate) pick_first: bool,
    /// The first bridge is killed at this time, in seconds
    #[arg(long)]
    pub(crate) kill: Option<f64>,
    /// How long a killed bridge is away, in seconds
    #[arg(long, default_value_t = 5.0)]
    pub(crate) away: f64,
    /// Clients that connect again, each with one call, when a node is lost at this time, in seconds
    #[arg(long, num_args = 3, value_names = ["TIME", "CLIENTS", "WITHIN"])]
    pub(crate) lost: Option<Vec<f64>>,
    /// How likely a user repeats a call that failed, from 0 to 1
    #[arg(long, default_value_t = 0.0)]
    pub(crate) again: f64,
    /// After how long, in seconds
    #[arg(long, default_value_t = 1.0)]
    pub(crate) again_after: f64,
    /// How long the load lasts, in seconds
    #[arg(long, default_value_t = 60.0)]
    pub(crate) seconds: f64,
    /// The same seed gives the same result
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            rate: 100.0,
            work: 0.02,
            even: false,
            nodes: 2,
            bridges: 2,
            workers: 4,
            queue: 0,
            timeout: 1.0,
            attempts: 3,
            pick_first: false,
            kill: None,
            away: 5.0,
            lost: None,
            again: 0.0,
            again_after: 1.0,
            seconds: 60.0,
            seed: 1,
        }
    }
}

impl Plan {
    /// The part of the workers' time that the load needs: by Little's law, `rate * work` workers are busy on average.
    pub(crate) fn utilization(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "numbers of workers are small")]
        let workers = (self.bridges * self.workers) as f64;
        self.rate * self.work / workers
    }

    /// The rate that needs this part of the workers' time.
    pub(crate) fn with_utilization(self, utilization: f64) -> Self {
        let rate = self.rate * utilization / self.utilization();
        Self { rate, ..self }
    }
}
