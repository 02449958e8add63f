//! The forms in which a secret value turns up in outputs.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use std::{collections::BTreeSet, fmt::Write};

/// Shorter values are not looked for: they would make output unreadable and hide nothing.
pub const SHORTEST: usize = 4;
/// Longer forms are looked for in pieces of this many bytes, so that no stream holds back more than one piece.
pub const LONGEST: usize = 256;
/// Where `base64` (76), and PEM and MIME tools (64) break lines.
const WRAPS: [usize; 2] = [64, 76];

/// All that must not be shown of one value: itself and each of its lines, as they are and escaped for JSON, a shell and
/// a URL, and the whole in base64. Nothing is shorter than [`SHORTEST`] or longer than [`LONGEST`].
pub fn forms(value: &str) -> BTreeSet<String> {
    let mut texts = Vec::new();
    for text in std::iter::once(value).chain(value.lines()).map(str::trim) {
        if text.len() >= SHORTEST {
            texts.extend(escapes(text));
            texts.push(text.to_owned());
        }
    }
    if value.trim().len() >= SHORTEST {
        // `echo` adds a line end before anything is encoded.
        let trimmed = value.trim();
        for whole in [trimmed.to_owned(), format!("{trimmed}\n"), value.to_owned()] {
            texts.extend(base64(whole.as_bytes()));
        }
    }
    texts.iter().filter(|t| t.len() >= SHORTEST).flat_map(|t| pieces(t)).collect()
}

/// A text as it stands in JSON, in the quotes of a shell, and in a URL.
fn escapes(text: &str) -> Vec<String> {
    let json = serde_json::to_string(text).unwrap_or_default();
    let json = json.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned();
    let mut forms = vec![
        ascii(&json),
        // Go's encoder, which thinks of HTML.
        json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"),
        json.replace('/', "\\/"),
        json,
        // `sh -x` shows arguments so: bash and BusyBox, dash.
        text.replace('\'', r"'\''"),
        text.replace('\'', r#"'"'"'"#),
    ];
    // RFC 3986 and Python's quote; JavaScript's encodeURIComponent; HTML forms.
    for (kept, space) in [("-._~", "%20"), ("-._~/", "%20"), ("-._~!*'()", "%20"), ("*-._", "+")] {
        let upper = percent(text, kept, space);
        forms.push(lower_hex(&upper));
        forms.push(upper);
    }
    forms
}

/// JSON without characters beyond ASCII, as Python's encoder writes it.
fn ascii(json: &str) -> String {
    let mut out = String::new();
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

fn percent(text: &str, kept: &str, space: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push_str(space),
            b if b.is_ascii_alphanumeric() || kept.as_bytes().contains(&b) => out.push(char::from(b)),
            b => {
                let _ = write!(out, "%{b:02X}");
            }
        }
    }
    out
}

/// The same with `%2f` for `%2F`.
fn lower_hex(encoded: &str) -> String {
    let mut after = 0;
    let lower = |c: char| {
        after = if c == '%' { 3_u8 } else { after.saturating_sub(1) };
        if after > 0 { c.to_ascii_lowercase() } else { c }
    };
    encoded.chars().map(lower).collect()
}

/// What is sure in the base64 of anything that contains these bytes: it depends on how many bytes stand before them.
/// Where none does and the end is theirs, the last character is sure as well.
fn base64(bytes: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        let alone = engine.encode(bytes);
        for width in WRAPS.into_iter().filter(|w| alone.len() > *w) {
            let lines = alone.as_bytes().chunks(width);
            forms.extend(lines.map(|line| String::from_utf8_lossy(line).into_owned()));
        }
        forms.push(alone);
        for before in 0..3 {
            let shifted = [&[0; 2][..before], bytes].concat();
            let encoded = engine.encode(&shifted);
            let sure = (before * 8).div_ceil(6)..shifted.len() * 8 / 6;
            forms.extend(encoded.get(sure).map(ToOwned::to_owned));
        }
    }
    forms
}

/// A long text as pieces that cover it.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > LONGEST {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(LONGEST));
        pieces.push(piece.to_owned());
        rest = after;
    }
    if pieces.is_empty() {
        return vec![rest.to_owned()];
    }
    // The last one reaches back, so that it is as telling as the others.
    pieces.push(text[text.ceil_char_boundary(text.len() - LONGEST)..].to_owned());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    fn has(value: &str, form: &str) {
        assert!(forms(value).contains(form), "{form} is not among {:#?}", forms(value));
    }

    #[test]
    fn escapes_of_the_usual_encoders() {
        has("a\"b\\c", r#"a\"b\\c"#);
        has("pä/ß&😀", r"p\u00e4/\u00df&\ud83d\ude00");
        has("pä/ß&😀", r"pä/ß\u0026😀");
        has("pä/ß", r"pä\/ß");
        has("a b/c+d", "a%20b%2Fc%2Bd");
        has("a b/c+d", "a%20b%2fc%2bd");
        has("a b/c+d", "a%20b/c%2Bd");
        has("a b/c+d", "a+b%2Fc%2Bd");
        has("it's (so)!", "it's%20(so)!");
        has("it's so", r"it'\''s so");
        has("line one\nline \"two\"\n", r#"line \"two\""#);
        has("line one\nline \"two\"\n", r#"line one\nline \"two\""#);
    }

    #[test]
    fn short_ones_have_no_forms() {
        assert!(forms("abc\n").is_empty());
        assert!(!forms("abcd").is_empty());
        // The lines of a longer value are looked for only where they are long enough themselves.
        assert!(!forms("ab\nabcde").contains("ab"));
    }

    proptest! {
        #[test]
        fn a_value_within_base64_is_covered_but_for_its_edges(
            before in prop::collection::vec(any::<u8>(), 0..9), value in "[a-z0-9]{6,40}",
            after in prop::collection::vec(any::<u8>(), 0..9),
        ) {
            let encoded = STANDARD.encode([&before, value.as_bytes(), &after].concat());
            let longest = forms(&value).iter().filter(|f| encoded.contains(f.as_str())).map(String::len).max();
            // At most a character at each end is left: it has bits of what stands beside.
            prop_assert!(longest.unwrap_or_default() + 2 >= value.len() * 8 / 6);
        }

        #[test]
        fn pieces_cover_the_text_and_none_is_longer_than_the_limit(text in "[a-zä😀]{0,400}") {
            let pieces = pieces(&text);
            prop_assert!(pieces.iter().all(|p| p.len() <= LONGEST && text.contains(p.as_str())));
            let whole: usize = pieces.iter().map(String::len).sum();
            prop_assert!(whole >= text.len());
            prop_assert!(text.starts_with(pieces[0].as_str()) && text.ends_with(pieces[pieces.len() - 1].as_str()));
        }
    }
}
