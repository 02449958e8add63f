//! How a content travels to the shell.

use base64::{Engine, engine::general_purpose::STANDARD};
use ssh::quote;

/// The length of lines of base64.
const LINE: usize = 1 << 12;

/// A call of a function that takes a content as `fill` of `shell.sh` does, and what follows it on its line.
pub fn given(call: &str, content: &[u8], rest: &str) -> String {
    let text = content.strip_suffix(b"\n").filter(|text| !text.contains(&0));
    if let Some(text) = text.and_then(|text| std::str::from_utf8(text).ok()) {
        return format!("{call} {}{rest}", quote(text));
    }
    let encoded = STANDARD.encode(content);
    let lines: Vec<_> = encoded.as_bytes().chunks(LINE).map(String::from_utf8_lossy).collect();
    // The delimiter has a character that base64 has not.
    format!("{call} <<'-'{rest}\n{}\n-", lines.join("\n"))
}
