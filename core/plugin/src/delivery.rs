//! One delivery: calls and rounds in turn, until every event has its outcome.

use std::{collections::BTreeMap, sync::Arc};

use rialto_engine::{Failure, FailureKind, Job};
use rialto_model::{delivery::Outcome, manifest::Manifest};
use serde_json::Value;

use crate::{
    CallLimits,
    bindings::{self, Calls, Context, HttpRequest, HttpResponse, Item, LastCalls, Step},
    compute::Compute,
    egress::Egress,
    outcome::{self, Outcomes},
    prepared::{self, Prepared},
    round::{JobClock, Round},
    runtime::{Asked, Crash, Runtime},
};

/// One job under way.
pub(crate) struct Delivery<'a> {
    pub(crate) runtime: &'a Arc<Runtime>,
    pub(crate) compute: &'a Compute,
    pub(crate) egress: &'a Egress,
    pub(crate) limits: &'a CallLimits,
    pub(crate) prepared: Arc<Prepared>,
    pub(crate) job: Job,
}

impl Delivery<'_> {
    pub(crate) async fn run(self) -> Result<Vec<Outcome>, Failure> {
        let clock = JobClock::starting(self.job.now);
        let context = Arc::new(self.context());
        let job = Arc::new(self.wit_job()?);
        let mut outcomes = Outcomes::new(self.job.events.len(), &self.prepared.scrubber);
        let mut asked = Asked::Prepare;
        let mut made = 0;
        loop {
            let step = self.call(&context, &job, asked).await?;
            // The last requests are a round too; nothing is sent that nobody would hear the end of.
            if !matches!(step, Step::Done(_)) && made == self.limits.rounds {
                return Err(self.endless());
            }
            made += 1;
            match step {
                Step::Done(said) => {
                    outcomes.take(said)?;
                    return Ok(outcomes.all(&self.job.events));
                }
                Step::Send(LastCalls { requests, outcomes: said }) => {
                    outcomes.take(said)?;
                    let carried = outcome::carried(&requests);
                    let answers = self.round(clock, requests).await?;
                    outcomes.judge(&carried, &answers);
                    return Ok(outcomes.all(&self.job.events));
                }
                Step::Call(Calls { requests, state, replay }) => {
                    if state.len() > self.limits.state {
                        let message = format!("the connector keeps {} bytes between rounds", state.len());
                        return Err(plugin("plugin_state", message));
                    }
                    let answers = self.round(clock, requests).await?;
                    let replies = answers.into_iter().map(|answer| answer.reply).collect();
                    asked = Asked::Resume { job: replay, state, replies };
                }
            }
        }
    }

    /// Runs the job on this thread and without the network: every request is answered 200 with nothing in it. Tells
    /// how many calls it took.
    pub(crate) fn rehearse(self) -> Result<usize, Failure> {
        let (context, job) = (self.context(), self.wit_job()?);
        let mut asked = Asked::Prepare;
        for calls in 1..=self.limits.rounds + 1 {
            let called = self.runtime.call(&self.prepared.plugin, &context, &job, &asked);
            let step = called.map_err(|crash| plugin(crash.code, crash.message))?;
            let Calls { requests, state, replay } = match step {
                Ok(Step::Call(calls)) => calls,
                Ok(Step::Done(_) | Step::Send(_)) => return Ok(calls),
                Err(said) => return Err(plugin(&outcome::guest_code(&said.code), said.message)),
            };
            let replies = requests.iter().map(|_| Ok(accepting())).collect();
            asked = Asked::Resume { job: replay, state, replies };
        }
        Err(self.endless())
    }

    fn endless(&self) -> Failure {
        plugin("plugin_rounds", format!("the connector did not end within {} rounds", self.limits.rounds))
    }

    async fn call(&self, context: &Arc<Context>, job: &Arc<bindings::Job>, asked: Asked) -> Result<Step, Failure> {
        let (runtime, plugin) = (Arc::clone(self.runtime), Arc::clone(&self.prepared.plugin));
        let (context, job) = (Arc::clone(context), Arc::clone(job));
        let called = self.compute.run(self.job.tenant_id, move || runtime.call(&plugin, &context, &job, &asked)).await;
        let scrubber = &self.prepared.scrubber;
        match called {
            Some(Ok(Ok(step))) => Ok(step),
            Some(Ok(Err(said))) => {
                let kind = if said.retryable { FailureKind::Retryable } else { FailureKind::Fatal };
                let at = said.field.map(|field| format!("settings.{field} ")).unwrap_or_default();
                let message = outcome::sound_message(scrubber, &format!("{at}{}", said.message));
                Err(Failure { kind, code: outcome::guest_code(&said.code), message })
            }
            Some(Err(Crash { code, message })) => {
                let (destination, connector) = (self.job.destination.id, &self.job.destination.connector);
                tracing::warn!(%destination, %connector, code, "a connector's call failed");
                let kind = FailureKind::Plugin;
                Err(Failure { kind, code: code.into(), message: outcome::sound_message(scrubber, &message) })
            }
            None => Err(Failure {
                kind: FailureKind::Retryable,
                code: "shutting_down".into(),
                message: "the call could not be made; the hub may be going down".into(),
            }),
        }
    }

    async fn round(&self, clock: JobClock, requests: Vec<HttpRequest>) -> Result<Vec<crate::round::Answer>, Failure> {
        if requests.len() > self.limits.requests {
            let message = format!("the connector asks for {} requests in one round", requests.len());
            return Err(plugin("plugin_requests", message));
        }
        let (egress, prepared, events) = (self.egress, self.prepared.as_ref(), self.job.events.as_slice());
        Round { egress, prepared, tenant: self.job.tenant_id, events, clock }.make(requests).await
    }

    fn context(&self) -> Context {
        let mut hash = blake3::Hasher::new();
        hash.update(self.job.destination.id.to_string().as_bytes());
        hash.update(&self.job.attempt.to_le_bytes());
        for event in &self.job.events {
            hash.update(event.delivery_id.as_bytes());
        }
        let (seed, _) =
            hash.finalize().as_bytes().split_first_chunk::<8>().map_or(([0; 8], ()), |(seed, _)| (*seed, ()));
        Context {
            now_ms: u64::try_from(self.job.now.millis()).unwrap_or(0),
            seed: u64::from_le_bytes(seed),
            attempt: self.job.attempt,
            settings: self.prepared.settings.clone(),
            ext: Vec::new(),
        }
    }

    /// The job as the connector sees it; an empty action is the connector's only one.
    fn wit_job(&self) -> Result<bindings::Job, Failure> {
        let actions = &self.prepared.plugin.manifest.actions;
        let fatal = |message: String| Failure { kind: FailureKind::Fatal, code: "unknown_action".into(), message };
        let action = match (self.job.action.as_str(), actions.as_slice()) {
            ("", [only]) => only.name.clone(),
            ("", _) => return Err(fatal("the connector has several actions, and the route names none".into())),
            (name, _) if actions.iter().any(|action| action.name == name) => name.to_owned(),
            (name, _) => return Err(fatal(format!("the connector has no action '{name}'"))),
        };
        let events = self.job.events.iter().map(|event| {
            let payload =
                std::str::from_utf8(&event.body).map_err(|_| plugin("payload", "an event is not UTF-8".into()))?;
            Ok(Item { id: event.delivery_id.clone(), payload: payload.to_owned() })
        });
        Ok(bindings::Job { action, events: events.collect::<Result<_, Failure>>()? })
    }
}

/// A job without events, by which a connector can be asked about settings; none if it has no action.
pub(crate) fn about(manifest: &Manifest, settings: &BTreeMap<String, Value>) -> Option<(Context, bindings::Job)> {
    let settings = Value::from_iter(prepared::with_defaults(manifest, settings)).to_string();
    let action = manifest.actions.first()?.name.clone();
    let context = Context { now_ms: 0, seed: 0, attempt: 1, settings, ext: Vec::new() };
    Some((context, bindings::Job { action, events: Vec::new() }))
}

/// What a destination answers that takes everything.
fn accepting() -> HttpResponse {
    let ext = vec![("verdict".to_owned(), "delivered".to_owned())];
    HttpResponse { status: 200, headers: Vec::new(), body: Vec::new(), ext }
}

fn plugin(code: &str, message: String) -> Failure {
    Failure { kind: FailureKind::Plugin, code: code.into(), message }
}
