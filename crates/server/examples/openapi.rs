//! Prints the description of the API: `cargo run -p server --example openapi > docs/openapi.json`.

#[allow(clippy::disallowed_macros)] // its output is what it is for
fn main() -> serde_json::Result<()> {
    println!("{}", serde_json::to_string_pretty(&server::openapi::document())?);
    Ok(())
}
