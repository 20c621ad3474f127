//! What became of it: the merged person with the origin of each trait, deliveries by tenant, an answer to "why?",
//! and the curl lines to go on with. Whatever is not as the story promises is gathered and told at the end.

use serde_json::Value;

use crate::Trouble;
use crate::hub::text;
use crate::paint::{cyan, dim, heading, table};
use crate::story::{Desk, Told};

/// Prints the report.
///
/// # Errors
/// [`Trouble::Missing`] with everything that is not as promised; others when the hub does not answer.
pub async fn print(told: &Told) -> Result<(), Trouble> {
    let mut missing = Vec::new();
    if let Some(desk) = told.desks.first() {
        person(desk, true, &mut missing).await?;
    }
    for desk in told.desks.iter().skip(1) {
        person(desk, false, &mut missing).await?;
    }
    deliveries(told, &mut missing).await?;
    if let Some(desk) = told.desks.first() {
        why(desk, &mut missing).await?;
        go_on(desk);
    }
    if missing.is_empty() { Ok(()) } else { Err(Trouble::Missing(missing)) }
}

/// The customer with two devices.
async fn person(desk: &Desk, shown: bool, missing: &mut Vec<String>) -> Result<(), Trouble> {
    let email = desk.shop.email().to_lowercase();
    let person = desk.api.get(&format!("/api/v1/profiles/by/email/{}", email.replace('@', "%40"))).await?;
    let merges = desk.api.get(&format!("/api/v1/profiles/{}/merges", text(&person, "/id"))).await?;
    let mut needs = |there: bool, what: &str| {
        if !there {
            missing.push(format!("{}: {what}", desk.shop.name));
        }
    };
    let held: Vec<(&str, &str)> = list(&person, "/identifiers")
        .map(|identifier| (text(identifier, "/kind"), text(identifier, "/value")))
        .collect();
    for wanted in [("anonymous_id", "phone-7f3a"), ("anonymous_id", "laptop-c41e"), ("user_id", "customer-1")] {
        needs(held.contains(&wanted), &format!("the person is not known by {} {}", wanted.0, wanted.1));
    }
    needs(list(&merges, "/items").count() == 1, "the two devices were not merged into one person");
    for (name, source) in [("city", "Web shop"), ("app_version", "App")] {
        let from = text(&person, &format!("/traits/{name}/source_id"));
        needs(desk.sources.get(from).is_some_and(|name| name == source), &format!("{name} did not come from {source}"));
    }
    if shown {
        show_person(desk, &person, &merges, &held);
    }
    Ok(())
}

fn show_person(desk: &Desk, person: &Value, merges: &Value, held: &[(&str, &str)]) {
    heading(&format!("Two devices, one person ({})", desk.shop.name));
    println!("  {}  {}, {} events", text(person, "/id"), text(person, "/plane"), person["events"]);
    for merge in list(merges, "/items") {
        let by: Vec<&str> = list(merge, "/by").map(|identifier| text(identifier, "/kind")).collect();
        let (taken, event) = (text(merge, "/absorbed_id"), text(merge, "/message_id"));
        println!("  {}", dim(format!("took in {taken} at event {event}, found by {}", by.join(" and "))));
    }
    println!();
    let mut rows = vec![vec!["known by".to_owned(), String::new()]];
    rows.extend(held.iter().map(|(kind, value)| vec![(*kind).to_owned(), (*value).to_owned()]));
    table(&rows);
    println!();
    let mut rows = vec![["trait", "value", "from", "event", "at"].map(str::to_owned).to_vec()];
    for (name, held) in person["traits"].as_object().into_iter().flatten() {
        let source = desk.sources.get(text(held, "/source_id")).map_or("?", String::as_str);
        let at = text(held, "/at").get(11..19).unwrap_or_default().to_owned();
        rows.push(vec![
            name.clone(),
            held["value"].to_string(),
            source.to_owned(),
            text(held, "/message_id").to_owned(),
            at,
        ]);
    }
    table(&rows);
}

/// What was sent, what came out, and how each lane stands.
async fn deliveries(told: &Told, missing: &mut Vec<String>) -> Result<(), Trouble> {
    heading("Deliveries by tenant");
    let head = ["tenant", "sent", "repeats dropped", "wanted", "delivered", "waiting", "dead"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for desk in &told.desks {
        let slug = desk.shop.slug;
        let (mut wanted, mut came, mut dropped) = (0_usize, 0_usize, 0_usize);
        for call in &desk.calls {
            let id = text(&call.body, "/messageId");
            let count = told.arrived.count(slug, id);
            if desk.shop.wants(call) {
                wanted += 1;
                came += count.min(1);
                if count == 0 {
                    missing.push(not_delivered(desk, id).await);
                }
            } else if count > 0 {
                missing.push(format!("{}: {id} was delivered though the route leaves it out", desk.shop.name));
            }
            dropped += usize::from(desk.repeated.contains(id) && count <= 1);
        }
        let lanes = desk.api.get("/api/v1/lanes").await?;
        let lane = list(&lanes, "/items").find(|lane| text(lane, "/destination_id") == desk.destination_id);
        let number = |name: &str| lane.map_or_else(|| "?".to_owned(), |lane| lane[name].to_string());
        let counts = [desk.calls.len(), dropped, wanted, came].map(|count| count.to_string());
        let row = [desk.shop.name.to_owned()].into_iter().chain(counts).chain([number("parked"), number("dead")]);
        rows.push(row.collect());
        check_repeats(desk, missing).await?;
    }
    table(&rows);
    let events: usize = told.arrived.events.values().sum();
    let took = told.took.as_secs_f64();
    println!("  {}", dim(format!("{events} events in {} signed requests, {took:.1} s in all", told.arrived.requests)));
    Ok(())
}

async fn not_delivered(desk: &Desk, id: &str) -> String {
    let why = desk.api.get(&format!("/api/v1/events/{id}/explain")).await;
    let why = why.map_or_else(|error| error.to_string(), |explained| text(&explained, "/said").to_owned());
    format!("{}: {id} did not arrive: {why}", desk.shop.name)
}

/// The hub must have seen that the repeats were repeats.
async fn check_repeats(desk: &Desk, missing: &mut Vec<String>) -> Result<(), Trouble> {
    for id in &desk.repeated {
        let explained = desk.api.get(&format!("/api/v1/events/{id}/explain")).await?;
        if list(&explained, "/duplicates").count() != 1 {
            missing.push(format!("{}: the second {id} was not seen to be a duplicate", desk.shop.name));
        }
    }
    Ok(())
}

/// One event that did not go out, and why not, in the hub's own words.
async fn why(desk: &Desk, missing: &mut Vec<String>) -> Result<(), Trouble> {
    let Some(call) = desk.calls.iter().find(|call| !desk.shop.wants(call)) else { return Ok(()) };
    let id = text(&call.body, "/messageId");
    let explained = desk.api.get(&format!("/api/v1/events/{id}/explain")).await?;
    heading(&format!("Why did {id} not reach the desk?"));
    for step in list(&explained, "/steps") {
        println!("  {:<14}{}", dim(text(step, "/step")), text(step, "/said"));
    }
    for fate in list(&explained, "/destinations") {
        println!("  {:<14}{}", text(fate, "/destination"), text(fate, "/said"));
        if text(fate, "/status") != "not_taken" {
            missing.push(format!("{}: explain does not say that {id} was left out", desk.shop.name));
        }
    }
    if list(&explained, "/destinations").count() != 1 {
        missing.push(format!("{}: explain does not name the one destination of {id}", desk.shop.name));
    }
    Ok(())
}

/// The lines to type next.
fn go_on(desk: &Desk) {
    let url = desk.api.url();
    let (key, write) = (&desk.api_key, &desk.web_key);
    heading("Go on from here");
    let lines = [
        ("Watch what happens, live", format!("curl -N -H 'Authorization: Bearer {key}' {url}/api/v1/live")),
        (
            "Send an order; the receiver shows it",
            format!(
                "curl -u {write}: -H 'Content-Type: application/json' {url}/v1/track -d '{{\"userId\": \"customer-1\", \
                 \"event\": \"Order Completed\", \"messageId\": \"mine-1\", \"properties\": {{\"total\": 99}}}}'"
            ),
        ),
        ("Ask what became of it", format!("curl -H 'Authorization: Bearer {key}' {url}/api/v1/events/mine-1/explain")),
        (
            "See whom it belongs to",
            format!("curl -H 'Authorization: Bearer {key}' {url}/api/v1/profiles/by/user_id/customer-1"),
        ),
        ("Read what else there is", format!("curl {url}/openapi.json")),
    ];
    for (what, line) in lines {
        println!("  {}\n    {}", dim(what), cyan(line));
    }
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}
