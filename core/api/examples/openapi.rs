//! Prints the OpenAPI document, as it lies in `openapi.json` at the root of the repository.

use std::io::Write;

fn main() -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{:#}", rialto_api::openapi())
}
