//! All that differs between SQLite and PostgreSQL, but for how a connection is opened and what an error code means.
//!
//! Statements number their parameters `$1`, `$2`, …, which both understand; `$1` is always the tenant.

use sea_orm::DbBackend;

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// What a member of a bulk row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 32 hex digits.
    Id,
    /// A whole number.
    Int,
    /// True or false.
    Bool,
    /// Text; JSON too, which no database is to look into.
    Text,
}

impl Dialect {
    /// What sea-orm calls it.
    pub(crate) fn backend(self) -> DbBackend {
        match self {
            Self::Sqlite => DbBackend::Sqlite,
            Self::Postgres => DbBackend::Postgres,
        }
    }

    /// A table made of one parameter, a JSON array of objects: what stands after FROM. Its columns are then
    /// written as [`Dialect::member`] says.
    pub(crate) fn rows(self, parameter: &str, members: &[(&str, Kind)]) -> String {
        match self {
            Self::Sqlite => format!("json_each({parameter}) AS r"),
            Self::Postgres => {
                let columns: Vec<String> =
                    members.iter().map(|(name, kind)| format!("{name} {}", kind.postgres())).collect();
                format!("json_to_recordset({parameter}::json) AS r({})", columns.join(", "))
            }
        }
    }

    /// A column of such a table.
    pub(crate) fn member(self, name: &str, kind: Kind) -> String {
        match (self, kind) {
            (Self::Sqlite, Kind::Id) => format!("unhex(r.value->>'{name}')"),
            (Self::Sqlite, _) => format!("r.value->>'{name}'"),
            (Self::Postgres, _) => format!("r.{name}"),
        }
    }

    /// A sub-select of one parameter, a JSON array of plain values: what stands after IN, or after FROM with an
    /// alias; its column is `value`.
    pub(crate) fn list(self, parameter: &str, kind: Kind) -> String {
        match self {
            Self::Sqlite if kind == Kind::Id => format!("(SELECT unhex(value) AS value FROM json_each({parameter}))"),
            Self::Sqlite => format!("(SELECT value FROM json_each({parameter}))"),
            Self::Postgres => {
                format!("(SELECT value::{} AS value FROM json_array_elements_text({parameter}::json))", kind.postgres())
            }
        }
    }

    /// `INSERT … SELECT` of a JSON array of objects; the tenant is `$1`, the array `$2`. What follows the last
    /// column (`ON CONFLICT …`) is the caller's.
    pub(crate) fn insert(self, table: &str, members: &[(&str, Kind)]) -> String {
        let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
        let columns: Vec<String> = members.iter().map(|(name, kind)| self.member(name, *kind)).collect();
        // "WHERE true" keeps SQLite from reading ON CONFLICT as a join's ON.
        format!(
            "INSERT INTO {table} (tenant_id, {}) SELECT $1, {} FROM {} WHERE true",
            names.join(", "),
            columns.join(", "),
            self.rows("$2", members)
        )
    }

    /// Ends a SELECT of rows that others must not change before this transaction ends. SQLite has one writer.
    pub(crate) fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }
}

impl Kind {
    fn postgres(self) -> &'static str {
        match self {
            Self::Id => "uuid",
            Self::Int => "bigint",
            Self::Bool => "boolean",
            Self::Text => "text",
        }
    }
}
