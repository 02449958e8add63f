use super::*;
use proptest::prelude::*;

fn hiding(values: &[impl AsRef<str>]) -> Redactor {
    let secrets: Vec<Secret> = values.iter().map(|v| Secret::new(v.as_ref())).collect();
    Redactor::new(&secrets).unwrap()
}

/// Sends a text in pieces that end at these places.
fn stream(redactor: &Redactor, text: &str, cuts: &[usize]) -> String {
    let mut cuts: Vec<usize> = cuts.iter().map(|c| c % (text.len() + 1)).collect();
    cuts.sort_unstable();
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    let mut at = 0;
    for cut in cuts.into_iter().chain([text.len()]) {
        out.extend_from_slice(&stream.push(&text.as_bytes()[at..cut]));
        at = cut;
    }
    out.extend(stream.finish());
    String::from_utf8(out).unwrap()
}

/// What must come out: each run of bytes that belong to an occurrence of a form is one mask.
fn plainly(values: &[String], text: &str) -> String {
    let mut hidden = vec![false; text.len()];
    for form in values.iter().flat_map(|v| forms(v)) {
        for at in (0..text.len()).filter(|at| text.as_bytes()[*at..].starts_with(form.as_bytes())) {
            hidden[at..at + form.len()].fill(true);
        }
    }
    let mut out = String::new();
    for (i, c) in text.char_indices() {
        match (hidden[i], i > 0 && hidden[i - 1]) {
            (false, _) => out.push(c),
            (true, false) => out.push_str("********"),
            (true, true) => {}
        }
    }
    out
}

#[test]
fn a_value_split_over_reads_is_hidden() {
    let redactor = hiding(&["hunter2-long"]);
    for cut in 0..14 {
        assert_eq!(stream(&redactor, "xhunter2-longy", &[cut]), "x********y");
    }
    assert_eq!(stream(&redactor, "xhunter2-longy", &(0..14).collect::<Vec<_>>()), "x********y");
}

#[test]
fn each_line_of_a_key_is_hidden() {
    let redactor = hiding(&["first line\n  second line\n"]);
    assert_eq!(redactor.text("a second line b\r\n"), "a ******** b\r\n");
}

#[test]
fn what_only_begins_like_a_value_is_shown() {
    let redactor = hiding(&["abcdef"]);
    assert_eq!(redactor.text("xabc"), "xabc");
    assert_eq!(stream(&redactor, "abcabcdeabcdef", &[2, 5, 9]), "abcabcde********");
}

#[test]
fn overlapping_values_leave_nothing_of_either() {
    let redactor = hiding(&["abcdef", "defghi", "cd-long", "xabcdefy"]);
    assert_eq!(redactor.text("abcdefghi"), "********");
    assert_eq!(redactor.text("xabcdefz"), "x********z");
    assert_eq!(redactor.text("xabcdefy"), "********");
    let repeating = hiding(&["abab"]);
    assert_eq!(repeating.text("ababab-"), "********-");
}

#[test]
fn a_whole_value_is_shown_as_hidden_at_once() {
    let redactor = hiding(&["password", "password-of-root"]);
    let mut stream = redactor.stream();
    assert_eq!(&*stream.push(b"> password"), b"> ********");
    // The longer one came after all: it is hidden by the same mask.
    assert_eq!(&*stream.push(b"-of-root."), b".");
}

#[test]
fn harmless_chunks_are_not_copied() {
    let redactor = hiding(&["hunter2-long"]);
    let mut stream = redactor.stream();
    assert!(matches!(stream.push(b"nothing to hide\n"), Cow::Borrowed(b"nothing to hide\n")));
    // Only what may be a start is held back.
    assert!(matches!(stream.push(b"is it hunt"), Cow::Borrowed(b"is it ")));
    assert_eq!(&*stream.push(b"ing?"), b"hunting?");
    assert!(matches!(stream.push(b"no."), Cow::Borrowed(b"no.")));
    assert!(matches!(redactor.text("hunter1"), Cow::Borrowed("hunter1")));
    assert!(matches!(redactor.text("ends like hunter2"), Cow::Borrowed("ends like hunter2")));
    assert!(matches!(Redactor::default().stream().push(b"x"), Cow::Borrowed(b"x")));
}

#[test]
fn never_more_than_a_piece_is_held_back() {
    let value: String = (0..9000).map(|i| char::from(b'a' + u8::try_from(i * i % 26).unwrap())).collect();
    let redactor = hiding(&[&value]);
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    for byte in format!("<{value}>").bytes() {
        out.extend_from_slice(&stream.push(&[byte]));
        assert!(stream.held.len() < crate::forms::LONGEST);
    }
    out.extend(stream.finish());
    assert_eq!(out, b"<********>");
}

#[test]
fn errors_and_json_are_cleaned() {
    let redactor = hiding(&["s3cr\"et", "123456"]);
    let error = Error::invalid("/s3cr\"et", "no s3cr\"et").because("s3cr\\\"et").hint("use s3cr\"et");
    let clean = redactor.error(error);
    assert!(!format!("{clean:?}").contains("s3cr"), "{clean:?}");
    let value = serde_json::json!({"a s3cr\"et": ["s3cr\"et", 123_456, 12, null]});
    assert_eq!(redactor.json(value), serde_json::json!({"a ********": ["********", "********", 12, null]}));
}

proptest! {
    #[test]
    fn occurrences_are_hidden_and_nothing_else_is_changed(
        values in prop::collection::vec("[ab]{4,9}|[abc\n]{4,12}", 0..4),
        text in "[abc\n]{0,60}",
        cuts in prop::collection::vec(0..60_usize, 0..20),
    ) {
        let redactor = hiding(&values);
        let expected = plainly(&values, &text);
        prop_assert_eq!(&stream(&redactor, &text, &cuts), &expected);
        prop_assert_eq!(&redactor.text(&text), &expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))] // each is a hundred searches

    #[test]
    fn no_form_of_a_value_survives_any_split(
        value in "[ -)+-~äß\"\\\\/\n]{4,400}", before in "[ -)+-~]{0,9}", after in "[ -)+-~]{0,9}",
        cuts in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        prop_assume!(value.trim().len() >= 4);
        let redactor = hiding(&[&value]);
        for form in forms(&value) {
            let out = stream(&redactor, &format!("{before}{form}{after}"), &cuts);
            for form in forms(&value) {
                prop_assert!(!out.contains(&form), "{form} in {out}");
            }
        }
    }
}
