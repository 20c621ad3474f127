//! From what a connector and its destination said to exactly one outcome an event.

use std::collections::HashSet;

use rialto_engine::{Failure, FailureKind, HELD, JobEvent};
use rialto_model::delivery::{Outcome, Verdict};

use crate::{
    bindings::{self, HttpRequest},
    round::Answer,
    scrub::Scrubber,
    verdict,
};

/// The longest message, in characters.
const MESSAGE: usize = 1_000;
/// The longest code, in bytes.
const CODE: usize = 64;
/// What the codes of the host's own faults begin with.
const FAULT: &str = "plugin_";
/// The code of an event of which one request was held back behind another one of its own.
const NOT_SENT: &str = "not_sent";
/// How much of a reply's body people are shown, in bytes.
const EXCERPT: usize = 300;

/// The outcomes of a job's events, as they become known.
pub(crate) struct Outcomes<'a> {
    known: Vec<Option<Outcome>>,
    scrubber: &'a Scrubber,
}

impl<'a> Outcomes<'a> {
    pub(crate) fn new(events: usize, scrubber: &'a Scrubber) -> Self {
        Self { known: vec![None; events], scrubber }
    }

    /// Takes what the connector says of events.
    pub(crate) fn take(&mut self, said: Vec<bindings::Outcome>) -> Result<(), Failure> {
        for bindings::Outcome { event, verdict, code, message, retry_after_ms, ext: _ } in said {
            let place = self.known.get_mut(event as usize);
            let place =
                place.ok_or_else(|| nonsense(format!("an outcome for event {event}, which is not in the job")))?;
            if place.is_some() {
                return Err(nonsense(format!("two outcomes for event {event}")));
            }
            let (code, message) = (guest_code(&code), sound_message(self.scrubber, &message));
            *place = Some(Outcome { verdict: verdict.into(), code, message, retry_after_ms });
        }
        Ok(())
    }

    /// Judges the events that last requests carried by what came back; of several, the worst counts.
    pub(crate) fn judge(&mut self, carried: &[Vec<u32>], answers: &[Answer]) {
        for (events, answer) in carried.iter().zip(answers) {
            let outcome = self.of(answer);
            for event in events {
                let Some(place) = self.known.get_mut(*event as usize) else { continue };
                let worse = |old: &Outcome| verdict::badness(outcome.verdict) > verdict::badness(old.verdict);
                if place.as_ref().is_none_or(worse) {
                    *place = Some(outcome.clone());
                }
            }
        }
    }

    fn of(&self, answer: &Answer) -> Outcome {
        let (code, message) = match &answer.reply {
            Ok(response) if answer.verdict == Verdict::Delivered => {
                (format!("http_{}", response.status), String::new())
            }
            Ok(response) => {
                let excerpt = String::from_utf8_lossy(&response.body[..response.body.len().min(EXCERPT)]).into_owned();
                let colon = if excerpt.is_empty() { "" } else { ": " };
                let message = format!("the destination answered {}{colon}{excerpt}", response.status);
                (format!("http_{}", response.status), message)
            }
            Err(error) => (error.code.clone(), error.message.clone()),
        };
        let message = sound_message(self.scrubber, &message);
        Outcome { verdict: answer.verdict, code, message, retry_after_ms: answer.retry_after_ms }
    }

    /// One outcome an event; one that nobody spoke of is tried again. What is held back counts no attempt, so only an
    /// event behind another one of its person may be: else nothing would ever come of either.
    pub(crate) fn all(self, events: &[JobEvent]) -> Vec<Outcome> {
        let silent = || Outcome {
            verdict: Verdict::Retry,
            code: "no_outcome".into(),
            message: "the connector did not say what became of this event".into(),
            retry_after_ms: None,
        };
        let mut persons = HashSet::new();
        let outcomes = self.known.into_iter().map(|outcome| outcome.unwrap_or_else(silent)).zip(events);
        let outcomes = outcomes.map(|(mut outcome, event)| {
            if persons.insert(event.order_key) && outcome.code == HELD {
                outcome.code = NOT_SENT.into();
            }
            outcome
        });
        outcomes.collect()
    }
}

/// Which events each request carries.
pub(crate) fn carried(requests: &[HttpRequest]) -> Vec<Vec<u32>> {
    requests.iter().map(|request| request.events.clone()).collect()
}

fn nonsense(what: String) -> Failure {
    Failure { kind: FailureKind::Plugin, code: "plugin_outcome".into(), message: format!("the connector gave {what}") }
}

/// A connector's code so that it can stand in a metric or a filter, and is none of those that the host alone gives: by
/// them the engine counts no attempt, or finds the connector at fault.
pub(crate) fn guest_code(code: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c.to_ascii_lowercase() } else { '_' };
    let code: String = code.chars().take(CODE).map(plain).collect();
    match code.as_str() {
        "" => "none".to_owned(),
        own if own == HELD || own.starts_with(FAULT) => format!("guest_{own}"),
        _ => code,
    }
}

/// A message without secrets and control characters, of bounded length.
pub(crate) fn sound_message(scrubber: &Scrubber, message: &str) -> String {
    // Before it is cut: half a secret at the end would not be recognised.
    let scrubbed = scrubber.text(message);
    scrubbed.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MESSAGE).collect()
}
