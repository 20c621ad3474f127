//! What each database's own error codes mean to us.

use std::borrow::Cow;

use sea_orm::sqlx::{self, error::DatabaseError};
use sea_orm::{DbErr, RuntimeErr};

use crate::error::StoreError;

/// The kinds of failure that callers act on differently.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// Gone, full, busy, too slow: later is right.
    Unavailable,
    /// A constraint does not hold.
    Constraint,
    /// The database cannot hold this value.
    Data,
    /// The files are damaged.
    Damaged,
    /// Rights or schema are not as they have to be.
    Setup,
    /// Anything else: our own fault.
    Ours,
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        let fault = classify(&error);
        match fault {
            Fault::Unavailable => Self::Unavailable { reason: reason(&error), source: Some(Box::new(error)) },
            Fault::Constraint => constraint(&error),
            Fault::Data => Self::Poison { message_id: None, reason: reason(&error) },
            Fault::Damaged => Self::corrupt("the database", reason(&error)),
            Fault::Setup => Self::Setup(format!("the database refuses the hub's user: {error}")),
            Fault::Ours => Self::Refused(Box::new(error)),
        }
    }
}

/// In a batch there is no field to blame: a constraint that does not hold is a row that cannot be stored.
pub(crate) fn in_batch(error: StoreError) -> StoreError {
    match error {
        StoreError::Conflict { field, message } => {
            StoreError::Poison { message_id: None, reason: format!("{field}: {message}") }
        }
        other => other,
    }
}

fn classify(error: &DbErr) -> Fault {
    match error {
        DbErr::ConnectionAcquire(_) => Fault::Unavailable,
        DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause)) => classify_sqlx(cause),
        DbErr::Conn(_) => Fault::Unavailable,
        _ => Fault::Ours,
    }
}

fn classify_sqlx(error: &sqlx::Error) -> Fault {
    match error {
        sqlx::Error::Database(cause) => classify_code(cause.as_ref()),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => Fault::Unavailable,
        sqlx::Error::Encode(_) => Fault::Data,
        sqlx::Error::Configuration(_) | sqlx::Error::InvalidArgument(_) => Fault::Setup,
        _ => Fault::Ours,
    }
}

fn classify_code(cause: &dyn DatabaseError) -> Fault {
    let code = cause.code().unwrap_or(Cow::Borrowed(""));
    if cause.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        return code.parse::<i32>().map_or(Fault::Ours, |code| sqlite(code, cause.message()));
    }
    postgres(&code)
}

/// SQLite's extended result codes; the low byte is the primary one.
fn sqlite(code: i32, message: &str) -> Fault {
    match code & 0xff {
        // BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL
        5..=10 | 13..=15 => Fault::Unavailable,
        11 | 26 => Fault::Damaged,
        18 | 20 => Fault::Data,
        // A strict table refuses a value of another type as a constraint (CONSTRAINT_DATATYPE).
        19 if code >> 8 == 12 => Fault::Data,
        19 => Fault::Constraint,
        1 if message.contains("JSON") => Fault::Data,
        _ => Fault::Ours,
    }
}

/// SQLSTATE: the first two characters are the class.
fn postgres(code: &str) -> Fault {
    match (code.get(..2).unwrap_or(""), code) {
        // A lock or statement that took too long, a deadlock, a standby, a server that starts or stops.
        (_, "55P03" | "57014" | "25006" | "XX000") | ("08" | "40" | "53" | "57" | "58", _) => Fault::Unavailable,
        (_, "3D000" | "28000" | "28P01" | "42501" | "42P01") => Fault::Setup,
        ("XX", _) => Fault::Damaged,
        ("23", _) => Fault::Constraint,
        ("22" | "54", _) => Fault::Data,
        _ => Fault::Ours,
    }
}

/// Which of our constraints it was, and the field of the caller's that broke it.
fn constraint(error: &DbErr) -> StoreError {
    let text = match error {
        DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause)) => {
            match cause.as_ref() {
                sqlx::Error::Database(cause) => cause.constraint().unwrap_or_else(|| cause.message()).to_owned(),
                _ => String::new(),
            }
        }
        _ => String::new(),
    };
    let (field, message) = if text.contains("tenants_slug") || text.contains("tenants.slug") {
        ("slug", "is taken by another tenant")
    } else if text.contains("destinations_name") || text.contains("destinations.name") {
        ("name", "is taken by another destination")
    } else if text.to_ascii_lowercase().contains("foreign key") || text.ends_with("fkey") {
        ("id", "names something that is not there, or is still used")
    } else {
        ("id", "is there already")
    };
    StoreError::conflict(field, message)
}

/// What went wrong, without the values that the database may quote.
fn reason(error: &DbErr) -> String {
    let code = match error {
        DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause)) => match cause.as_ref() {
            sqlx::Error::Database(cause) => cause.code().map(|code| format!("code {code}")),
            sqlx::Error::Io(cause) => Some(cause.to_string()),
            sqlx::Error::PoolTimedOut => Some("no free connection in time".to_owned()),
            sqlx::Error::PoolClosed => Some("the store is closed".to_owned()),
            _ => None,
        },
        DbErr::ConnectionAcquire(cause) => Some(cause.to_string()),
        _ => None,
    };
    code.unwrap_or_else(|| "no code".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_leads_to_the_answer_that_callers_act_on() {
        // BUSY_SNAPSHOT, IOERR_WRITE, FULL, CANTOPEN
        for code in [517, 778, 13, 14] {
            assert_eq!(sqlite(code, ""), Fault::Unavailable, "{code}");
        }
        assert_eq!(sqlite(2067, ""), Fault::Constraint);
        assert_eq!(sqlite(3091, ""), Fault::Data);
        assert_eq!(sqlite(267, ""), Fault::Damaged);
        assert_eq!(sqlite(1, "malformed JSON"), Fault::Data);
        assert_eq!(sqlite(1, "no such table: x"), Fault::Ours);
        for code in ["08006", "53100", "53300", "57P01", "57P03", "40001", "40P01", "55P03", "57014"] {
            assert_eq!(postgres(code), Fault::Unavailable, "{code}");
        }
        assert_eq!(postgres("23505"), Fault::Constraint);
        assert_eq!(postgres("22P05"), Fault::Data);
        assert_eq!(postgres("42501"), Fault::Setup);
        assert_eq!(postgres("42601"), Fault::Ours);
        assert_eq!(postgres("XX001"), Fault::Damaged);
    }
}
