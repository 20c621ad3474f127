//! What SQLite's planner is told of the tables. It counts nothing by itself, and without figures takes a tenant for
//! ten rows: it would then read a tenant's whole timeline where an index leads to the one row. PostgreSQL counts.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// A million rows a table, a hundred thousand a tenant, ten for each further column, one where an index is unique.
/// Roughly right is enough, and the same everywhere: a plan must not change with what happens to lie in a table.
const FIGURES: &str = r#"
INSERT INTO sqlite_stat1 (tbl, idx, stat)
SELECT t.name,
       CASE WHEN i.origin = 'pk' AND t.wr THEN t.name ELSE i.name END,
       '1000000' || (
           SELECT group_concat(CASE
               WHEN i."unique" AND c.seqno = (SELECT max(seqno) FROM pragma_index_info(i.name)) THEN ' 1'
               WHEN c.seqno = 0 AND c.name = 'tenant_id' THEN ' 100000'
               ELSE ' 10' END, '')
           FROM pragma_index_info(i.name) c)
FROM pragma_table_list t JOIN pragma_index_list(t.name) i
WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite\_%' ESCAPE '\'"#;

/// Writes the figures down; connections made after this heed them, and so does this one.
pub(crate) async fn inform<C: ConnectionTrait>(tx: &C) -> Result<(), DbErr> {
    if tx.get_database_backend() != DbBackend::Sqlite {
        return Ok(());
    }
    // The first makes the table of figures where there is none; the last makes this connection read it.
    for statement in ["ANALYZE tenants", "DELETE FROM sqlite_stat1", FIGURES, "ANALYZE sqlite_schema"] {
        tx.execute_unprepared(statement).await?;
    }
    Ok(())
}
