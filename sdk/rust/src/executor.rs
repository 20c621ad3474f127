//! Turns straight-line async into rounds: polls an action once over the journal of replies, and either it is done,
//! or the requests that it waits for are the next round.

use std::{
    future::Future,
    pin::Pin,
    task::{Context as TaskContext, Poll, Waker},
};

use serde_json::{Map, Value};

use crate::{
    Batch, Cx, Error, Outcomes, Payload, Result,
    bindings::{
        exports::rialto::plugin::destination::{Job, Step},
        rialto::plugin::types::{Calls, Context, Failure, Reply},
    },
    journal::{self, Entry, fingerprint},
    settings::Settings,
};

pub use crate::bindings::exports::rialto::plugin::destination::Item as Event;

/// An action on its way.
pub type Acting<'a> = Pin<Box<dyn Future<Output = Result<Outcomes>> + 'a>>;

/// A destination connector; `#[destination]` implements it.
pub trait Destination: Settings + 'static {
    /// The manifest, a JSON text.
    const MANIFEST: &'static [u8];

    /// Begins an action; none if there is none of that name.
    fn act<'a>(cx: &'a Cx<Self>, action: &str, events: Vec<Event>) -> Option<Acting<'a>>;
}

/// Reads the payloads, runs the action on those that could be read, and adds what became of the others.
pub async fn act<P: Payload, F: Future<Output = Result<Outcomes>>>(
    events: Vec<Event>,
    action: impl FnOnce(Batch<P>) -> F,
) -> Result<Outcomes> {
    let (batch, refused) = Batch::read(events);
    if batch.is_empty() { Ok(refused) } else { Ok(action(batch).await?.and(refused)) }
}

/// The first call of a job.
pub fn prepare<D: Destination>(context: &Context, job: Job) -> Result<Step, Failure> {
    round::<D>(context, job, Vec::new()).map_err(Failure::from)
}

/// Every later call of a job.
pub fn resume<D: Destination>(
    context: &Context,
    job: Option<Job>,
    state: &[u8],
    replies: Vec<Reply>,
) -> Result<Step, Failure> {
    continued::<D>(context, job, state, replies).map_err(Failure::from)
}

fn continued<D: Destination>(context: &Context, job: Option<Job>, state: &[u8], replies: Vec<Reply>) -> Result<Step> {
    let job = job.ok_or_else(|| broken("the job was not handed back"))?;
    let (mut known, asked) = journal::decode(state).ok_or_else(|| broken("the state is not what was kept"))?;
    if asked.len() != replies.len() {
        return Err(broken("there are not as many replies as requests"));
    }
    known.extend(asked.into_iter().zip(replies).map(|(request, reply)| Entry { request, reply }));
    round::<D>(context, job, known)
}

fn round<D: Destination>(context: &Context, job: Job, known: Vec<Entry>) -> Result<Step> {
    let settings: Map<String, Value> =
        serde_json::from_str(&context.settings).map_err(|e| Error::fatal("settings", e.to_string()))?;
    let cx = Cx::new(D::read(&settings)?, context, known.clone());
    let mut acting = D::act(&cx, &job.action, job.events)
        .ok_or_else(|| Error::fatal("unknown_action", format!("there is no action '{}'", job.action)))?;
    let polled = acting.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()));
    drop(acting);
    let tape = cx.into_tape();
    if tape.diverged {
        return Err(broken(
            "the replay asked for another request than the first run did; the code depends on more than its inputs",
        ));
    }
    match polled {
        Poll::Ready(outcomes) => Ok(outcomes?.into()),
        Poll::Pending if tape.asked.is_empty() => Err(broken("the action awaits something that is no request")),
        Poll::Pending => {
            let asked: Vec<u64> = tape.asked.iter().map(fingerprint).collect();
            let state = journal::encode(&known, &asked);
            Ok(Step::Call(Calls { requests: tape.asked, state, replay: true }))
        }
    }
}

fn broken(message: &str) -> Error {
    Error::fatal("connector", message)
}

/// Has a panic's message reach the log before the trap.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| crate::log::error(&panic.to_string())));
}
