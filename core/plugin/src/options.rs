//! What the operator allows.

use std::{path::PathBuf, time::Duration};

/// How the host is set up.
#[derive(Debug, Clone, Default)]
pub struct PluginOptions {
    /// Folders whose `*.wasm` files are installed at the start.
    pub dirs: Vec<PathBuf>,
    /// Where compiled plugins are kept; they are compiled at every start if there is none. Holds machine code, so it
    /// is made readable by its owner only.
    pub cache_dir: Option<PathBuf>,
    /// Where requests may go.
    pub egress: EgressPolicy,
    /// What one call may use.
    pub limits: CallLimits,
    /// How many calls run at the same time; twice the cores if not given. One tenant gets at most half of them.
    pub slots: Option<usize>,
}

/// What one call of a plugin, and one delivery, may use.
#[derive(Debug, Clone)]
pub struct CallLimits {
    /// Processor time of a call. Time that the machine gives to others does not count, up to ten times as much.
    pub time: Duration,
    /// Linear memory of an instance, all of its memories together, in bytes.
    pub memory: usize,
    /// Stack of a call, in bytes.
    pub stack: usize,
    /// Elements of an instance's tables, together.
    pub table: usize,
    /// Bytes that a call may hand out.
    pub output: usize,
    /// Requests of one round.
    pub requests: usize,
    /// Rounds of one delivery.
    pub rounds: usize,
    /// Bytes kept between two rounds.
    pub state: usize,
    /// Lines that a call may log; more are dropped, and ten times as many end it.
    pub lines: usize,
    /// Bytes of a component.
    pub component: usize,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            time: Duration::from_millis(200),
            memory: 64 << 20,
            stack: 512 << 10,
            table: 20_000,
            output: 8 << 20,
            requests: 1_000,
            rounds: 8,
            state: 64 << 10,
            lines: 100,
            component: 32 << 20,
        }
    }
}

/// Where requests may go, and for how long.
#[derive(Debug, Clone)]
pub struct EgressPolicy {
    /// Whether this machine's own addresses may be called, by http too. For development.
    pub allow_loopback: bool,
    /// Whether plain http may be used. For development.
    pub allow_http: bool,
    /// How long it may take to resolve, connect and agree on TLS.
    pub connect_timeout: Duration,
    /// How long a request may take, from its start to the end of the reply.
    pub request_timeout: Duration,
    /// Bytes of a reply's body that are read; the rest is cut.
    pub reply_body: usize,
    /// Bytes of a reply's status line and headers.
    pub reply_head: usize,
    /// Connections in use at a time. Idle ones keep nobody out: once so many are open, further ones are closed after
    /// their request.
    pub connections: usize,
    /// How many of those one tenant gets.
    pub connections_per_tenant: usize,
    /// Look-ups of names at a time. Each keeps a thread, and one that hangs keeps it for long.
    pub lookups: usize,
    /// How many of those one tenant gets.
    pub lookups_per_tenant: usize,
    /// Certificates (DER) that are trusted beside the public ones, such as a company's own.
    pub extra_roots: Vec<Vec<u8>>,
}

impl Default for EgressPolicy {
    fn default() -> Self {
        Self {
            allow_loopback: false,
            allow_http: false,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            reply_body: 1 << 20,
            reply_head: 64 << 10,
            connections: 2_048,
            connections_per_tenant: 512,
            lookups: 64,
            lookups_per_tenant: 8,
            extra_roots: Vec::new(),
        }
    }
}
