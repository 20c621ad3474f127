//! One schema text for both databases: the words that differ stand in braces.

use sea_orm_migration::sea_orm::DbBackend;

/// A statement in the words of a database. SQLite tables are strict, so that a wrong type is an error there too.
pub(crate) fn spell(template: &str, backend: DbBackend) -> String {
    let words: [(&str, &str, &str); 8] = [
        ("{id}", "BLOB", "uuid"),
        ("{int}", "INTEGER", "bigint"),
        ("{bool}", "INTEGER", "boolean"),
        ("{bytes}", "BLOB", "bytea"),
        ("{text}", "TEXT", "text"),
        // Compared byte by byte: faster, and an index that no change of the system's locale can break.
        ("{key}", "TEXT", "text COLLATE \"C\""),
        ("{rows}", "STRICT", ""),
        // Rows small enough to lie in the primary key's own tree, which saves the second one.
        ("{clustered}", "STRICT, WITHOUT ROWID", ""),
    ];
    words.into_iter().fold(template.to_owned(), |sql, (word, sqlite, postgres)| {
        sql.replace(word, if backend == DbBackend::Sqlite { sqlite } else { postgres })
    })
}
