//! `rialto serve`: runs until SIGTERM or SIGINT, then ends in order.

use tokio::signal::unix::{SignalKind, signal};

use crate::command::{CommandError, patient_runtime, runtime};
use crate::config::Config;
use crate::hub::{Hub, HubError, RunningHub};
use crate::telemetry;

pub(super) fn run(config: Config) -> Result<(), CommandError> {
    telemetry::init(&config.telemetry)?;
    let (runtime, patient) = (runtime()?, patient_runtime()?);
    let outcome = runtime.block_on(async {
        // Listened to from the start, so that a signal during a long start is not lost.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let development = config.development;
        let starting = patient.spawn(Hub::start_behind(config, tokio::runtime::Handle::current()));
        let hub = tokio::select! {
            started = starting => started.map_err(HubError::from)??,
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        };
        greet(&hub, development);
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tokio::select! {
            () = hub.shutdown() => {}
            // Who asks twice means it.
            _ = interrupt.recv() => tracing::warn!("ended at once"),
        }
        Ok(())
    });
    // A plugin that still runs must not keep the process: everything that lasts is closed.
    patient.shutdown_background();
    runtime.shutdown_background();
    outcome
}

/// What the first start says, once: the only moment at which the token can be seen.
fn greet(hub: &RunningHub, development: bool) {
    let url = hub.url();
    println!("Rialto {} listens on {url}", crate::VERSION);
    if development {
        println!("Development mode: connectors may call plain http and this machine.");
    }
    let Some(token) = &hub.operator_token else { return };
    println!(
        "
The operator's token, shown this once (make another: rialto operator-token):

  {token}

Make the first tenant with it:

  curl -X POST {url}/api/v1/tenants \\
    -H 'Authorization: Bearer {token}' \\
    -H 'Content-Type: application/json' \\
    -d '{{\"slug\": \"acme\", \"name\": \"Acme Shop\"}}'
"
    );
}
