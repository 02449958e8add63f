//! Python's literals, which is how Ansible types the values of an INI inventory: `5` is a number, `'5'` and `005` are
//! texts, `80,443` is a list, and what Python cannot read as a literal is a text as it stands. The grammar is that of
//! <https://docs.python.org/3/reference/lexical_analysis.html>, the choice of nodes that of `ast.literal_eval`.

use super::data::{Data, Entry, Key, Map};
use base::{Code, Error, Result};

/// Brackets within brackets: as many as Python's own parser takes.
const DEPTH: usize = 200;

/// The data that a value of an INI file stands for.
pub(super) fn read(text: &str) -> Result<Data> {
    let mut parser = Parser { rest: text.trim_start_matches([' ', '\t']), depth: 0 };
    match parser.whole() {
        Some(literal) => literal.data(text),
        None => Ok(Data::Text(text.to_owned())),
    }
}

/// What Python would make of it.
#[derive(Debug)]
enum Literal {
    None,
    Bool(bool),
    Integer(Option<i128>, String),
    Float(f64, String),
    Complex,
    Text(String),
    Bytes(String),
    Tuple(Vec<Literal>),
    List(Vec<Literal>),
    Set(Vec<Literal>),
    Dict(Vec<(Literal, Literal)>),
}

impl Literal {
    fn data(self, whole: &str) -> Result<Data> {
        let all =
            |list: Vec<Literal>| -> Result<Vec<Data>> { list.into_iter().map(|l| l.data(whole)).collect() };
        Ok(match self {
            Literal::None => Data::Null,
            Literal::Bool(yes) => Data::Bool(yes),
            Literal::Integer(value, text) => Data::integer(value, &text),
            Literal::Float(value, text) => Data::float(value, &text),
            // JSON has no such number.
            Literal::Complex => Data::Text(whole.to_owned()),
            Literal::Text(text) | Literal::Bytes(text) => Data::Text(text),
            Literal::Tuple(list) | Literal::List(list) => Data::List(all(list)?),
            Literal::Set(list) => {
                if list.iter().any(|l| !l.is_hashable()) {
                    return Err(unhashable(whole));
                }
                Data::List(all(list)?)
            }
            Literal::Dict(pairs) => {
                let mut map = Map::new();
                for (key, value) in pairs {
                    let key = Some(key).filter(Literal::is_hashable).map(|k| k.data(whole)).transpose()?;
                    let key = key.and_then(Key::of).ok_or_else(|| unhashable(whole))?;
                    map.insert(key, Entry { line: 0, value: value.data(whole)? });
                }
                Data::Map(map)
            }
        })
    }

    fn is_hashable(&self) -> bool {
        match self {
            Literal::List(_) | Literal::Set(_) | Literal::Dict(_) => false,
            Literal::Tuple(list) => list.iter().all(Literal::is_hashable),
            _ => true,
        }
    }
}

fn unhashable(text: &str) -> Error {
    Error::new(
        Code::Invalid,
        format!("{text} is a Python set or dict that holds a list, set or dict as a key"),
    )
    .hint("put a template in quotes twice: \"'{{ name }}'\"")
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl Parser<'_> {
    /// One expression, or several that make a tuple, and nothing behind but a comment.
    fn whole(&mut self) -> Option<Literal> {
        let (mut list, is_tuple) = self.members()?;
        self.blank();
        if !self.rest.is_empty() && !self.rest.starts_with('#') {
            return None;
        }
        if is_tuple { Some(Literal::Tuple(list)) } else { list.pop() }
    }

    /// Expressions with commas between, and whether there was a comma. At least one.
    fn members(&mut self) -> Option<(Vec<Literal>, bool)> {
        let first = self.expression()?;
        self.members_after(first)
    }

    fn members_after(&mut self, first: Literal) -> Option<(Vec<Literal>, bool)> {
        let mut list = vec![first];
        let mut comma = false;
        while self.take(",") {
            comma = true;
            self.blank();
            if self.rest.is_empty() || self.rest.starts_with([')', ']', '}', '#']) {
                break;
            }
            list.push(self.expression()?);
        }
        Some((list, comma))
    }

    fn blank(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\u{c}']);
    }

    fn take(&mut self, token: &str) -> bool {
        self.blank();
        let found = self.rest.strip_prefix(token);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    /// A value, with its sign if it is a number; `1+2j` too.
    fn expression(&mut self) -> Option<Literal> {
        let left = self.signed()?;
        if self.take("+") || self.take("-") {
            let right = self.atom()?;
            let number = matches!(left, Literal::Integer(..) | Literal::Float(..) | Literal::Complex);
            return (number && matches!(right, Literal::Complex)).then_some(Literal::Complex);
        }
        Some(left)
    }

    fn signed(&mut self) -> Option<Literal> {
        let negative = self.take("-");
        if !negative && !self.take("+") {
            return self.atom();
        }
        match self.atom()? {
            Literal::Integer(value, text) => {
                let minus = if negative { "-" } else { "" };
                Some(Literal::Integer(value.map(|v| if negative { -v } else { v }), format!("{minus}{text}")))
            }
            Literal::Float(value, text) => Some(Literal::Float(if negative { -value } else { value }, text)),
            Literal::Complex => Some(Literal::Complex),
            _ => None,
        }
    }

    fn atom(&mut self) -> Option<Literal> {
        self.blank();
        let mut chars = self.rest.chars();
        match chars.next()? {
            '(' => self.bracketed(')', Self::parenthesis),
            '[' => self.bracketed(']', |p| Some(Literal::List(p.up_to("]")?))),
            '{' => self.bracketed('}', Self::braces),
            '0'..='9' => self.number(),
            '.' if chars.next().is_some_and(|c| c.is_ascii_digit()) => self.number(),
            _ => self.word(),
        }
    }

    fn bracketed(
        &mut self,
        close: char,
        inner: impl FnOnce(&mut Self) -> Option<Literal>,
    ) -> Option<Literal> {
        self.rest = &self.rest[1..];
        self.depth += 1;
        let literal = if self.depth > DEPTH { None } else { inner(self) };
        self.depth -= 1;
        self.blank();
        self.rest = self.rest.strip_prefix(close)?;
        literal
    }

    /// The members before a closing bracket, perhaps none.
    fn up_to(&mut self, close: &str) -> Option<Vec<Literal>> {
        self.blank();
        if self.rest.starts_with(close) { Some(Vec::new()) } else { self.members().map(|(list, _)| list) }
    }

    fn parenthesis(&mut self) -> Option<Literal> {
        self.blank();
        if self.rest.starts_with(')') {
            return Some(Literal::Tuple(Vec::new()));
        }
        let (mut list, comma) = self.members()?;
        if comma { Some(Literal::Tuple(list)) } else { list.pop() }
    }

    fn braces(&mut self) -> Option<Literal> {
        self.blank();
        if self.rest.starts_with('}') {
            return Some(Literal::Dict(Vec::new()));
        }
        let first = self.expression()?;
        if !self.take(":") {
            return Some(Literal::Set(self.members_after(first)?.0));
        }
        let mut pairs = vec![(first, self.expression()?)];
        while self.take(",") {
            self.blank();
            if self.rest.starts_with('}') {
                break;
            }
            let key = self.expression()?;
            if !self.take(":") {
                return None;
            }
            pairs.push((key, self.expression()?));
        }
        Some(Literal::Dict(pairs))
    }

    fn number(&mut self) -> Option<Literal> {
        let end = number_end(self.rest);
        let (text, rest) = self.rest.split_at(end);
        if rest.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.') {
            return None;
        }
        self.rest = rest;
        number(text)
    }

    /// A name that is a literal, or a text with or without letters before its quote.
    fn word(&mut self) -> Option<Literal> {
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if rest.starts_with(['\'', '"']) {
            return self.texts();
        }
        self.rest = rest;
        match word {
            "None" => Some(Literal::None),
            "True" => Some(Literal::Bool(true)),
            "False" => Some(Literal::Bool(false)),
            "set" => (self.take("(") && self.take(")")).then(|| Literal::Set(Vec::new())),
            _ => None,
        }
    }

    /// Texts that stand beside each other are one.
    fn texts(&mut self) -> Option<Literal> {
        let (mut whole, is_bytes) = self.text()?;
        loop {
            self.blank();
            let end = self.rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(self.rest.len());
            if !self.rest[end..].starts_with(['\'', '"']) {
                break;
            }
            let (more, same) = self.text()?;
            if same != is_bytes {
                return None;
            }
            whole.push_str(&more);
        }
        Some(if is_bytes { Literal::Bytes(whole) } else { Literal::Text(whole) })
    }

    fn text(&mut self) -> Option<(String, bool)> {
        let at = self.rest.find(['\'', '"'])?;
        let (raw, bytes) = match self.rest[..at].to_ascii_lowercase().as_str() {
            "" | "u" => (false, false),
            "r" => (true, false),
            "b" => (false, true),
            "br" | "rb" => (true, true),
            _ => return None,
        };
        let body = &self.rest[at..];
        let single = &body[..1];
        let quote = if body.starts_with(&single.repeat(3)) { single.repeat(3) } else { single.to_owned() };
        let mut rest = &body[quote.len()..];
        let mut out = String::new();
        loop {
            if let Some(after) = rest.strip_prefix(quote.as_str()) {
                self.rest = after;
                return (!bytes || out.is_ascii()).then_some((out, bytes));
            }
            let c = rest.chars().next()?;
            rest = &rest[c.len_utf8()..];
            if c != '\\' {
                out.push(c);
                continue;
            }
            let escaped = rest.chars().next()?;
            if raw {
                out.extend(['\\', escaped]);
                rest = &rest[escaped.len_utf8()..];
            } else {
                rest = escape(rest, escaped, bytes, &mut out)?;
            }
        }
    }
}

/// Reads what follows a backslash, and gives what follows that.
fn escape<'a>(rest: &'a str, first: char, bytes: bool, out: &mut String) -> Option<&'a str> {
    let simple = match first {
        '\\' | '\'' | '"' => Some(first),
        'a' => Some('\u{7}'),
        'b' => Some('\u{8}'),
        'f' => Some('\u{c}'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\u{b}'),
        _ => None,
    };
    let digits = match first {
        'x' => Some(2),
        'u' if !bytes => Some(4),
        'U' if !bytes => Some(8),
        // Names of characters: Python has a book of them, we have not.
        'N' if !bytes => return None,
        _ => None,
    };
    if let Some(c) = simple {
        out.push(c);
    } else if let Some(count) = digits {
        let hex = rest.get(1..=count).filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))?;
        out.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?);
        return Some(&rest[1 + count..]);
    } else if first.is_digit(8) {
        let count = rest.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
        out.push(char::from_u32(u32::from_str_radix(&rest[..count], 8).ok()?)?);
        return Some(&rest[count..]);
    } else {
        out.extend(['\\', first]);
    }
    Some(&rest[first.len_utf8()..])
}

/// Where a number ends: letters and digits, points, and a sign after the `e` of an exponent.
fn number_end(text: &str) -> usize {
    let is_hex = text.len() > 1 && matches!(text.as_bytes()[1], b'x' | b'X');
    let mut before = b' ';
    for (at, b) in text.bytes().enumerate() {
        let sign = matches!(b, b'+' | b'-') && matches!(before, b'e' | b'E') && !is_hex;
        if !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.') || sign) {
            return at;
        }
        before = b;
    }
    text.len()
}

fn number(text: &str) -> Option<Literal> {
    let lower = text.to_ascii_lowercase();
    for (prefix, base) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = lower.strip_prefix(prefix) {
            let digits = digits_of(digits.strip_prefix('_').unwrap_or(digits), base)?;
            return Some(Literal::Integer(i128::from_str_radix(&digits, base).ok(), text.to_owned()));
        }
    }
    if let Some(real) = lower.strip_suffix('j') {
        return (digits_of(real, 10).is_some() || float(real).is_some()).then_some(Literal::Complex);
    }
    if let Some(value) = float(&lower) {
        return Some(Literal::Float(value, text.to_owned()));
    }
    let digits = digits_of(&lower, 10)?;
    let leading_zero = digits.starts_with('0') && digits.bytes().any(|b| b != b'0');
    (!leading_zero).then(|| Literal::Integer(digits.parse().ok(), text.to_owned()))
}

/// Digits with single underscores between them, without these.
fn digits_of(text: &str, base: u32) -> Option<String> {
    let well = text.split('_').all(|part| !part.is_empty() && part.chars().all(|c| c.is_digit(base)));
    well.then(|| text.replace('_', ""))
}

/// A number with a point or an exponent.
fn float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let point = mantissa.split_once('.');
    let (whole, fraction) = point.unwrap_or((mantissa, ""));
    let part = |digits: &str| if digits.is_empty() { Some(String::new()) } else { digits_of(digits, 10) };
    let (whole, fraction) = (part(whole)?, part(fraction)?);
    if (point.is_none() && exponent.is_none()) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let exponent = match exponent {
        None => "0".to_owned(),
        Some(exponent) => {
            let digits = digits_of(exponent.trim_start_matches(['+', '-']), 10)?;
            if exponent.starts_with('-') { format!("-{digits}") } else { digits }
        }
    };
    format!("{whole}.{fraction}e{exponent}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn values_have_the_types_of_python() {
        for (text, value) in [
            ("", json!("")),
            ("5", json!(5)),
            ("  5 # comment", json!(5)),
            ("-5", json!(-5)),
            ("--5", json!("--5")),
            ("005", json!("005")),
            ("00", json!(0)),
            ("1_000", json!(1000)),
            ("1__0", json!("1__0")),
            ("0x1f", json!(31)),
            ("0b_11", json!(3)),
            ("1.", json!(1.0)),
            (".5e1", json!(5.0)),
            ("09.5", json!(9.5)),
            ("1e3", json!(1000.0)),
            ("10.0.0.1", json!("10.0.0.1")),
            ("1a", json!("1a")),
            ("1+2j", json!("1+2j")),
            ("1+2", json!("1+2")),
            ("true", json!("true")),
            ("True", json!(true)),
            ("None", Value::Null),
            ("'5'", json!("5")),
            ("\"a\" 'b'", json!("ab")),
            ("'a' b'b'", json!("'a' b'b'")),
            (r"'a\tb\x41\u00e9\101\d'", json!("a\tbAéA\\d")),
            (r"r'a\tb'", json!("a\\tb")),
            ("b'abc'", json!("abc")),
            ("f'x'", json!("f'x'")),
            ("'''it's'''", json!("it's")),
            ("'open", json!("'open")),
            ("80,443", json!([80, 443])),
            ("a,b", json!("a,b")),
            ("(1)", json!(1)),
            ("(1,)", json!([1])),
            ("()", json!([])),
            ("[1, 'a', [True]]", json!([1, "a", [true]])),
            ("{'a': 1, 2: None,}", json!({"a": 1, "2": null})),
            ("{1, 2}", json!([1, 2])),
            ("{}", json!({})),
            ("set()", json!([])),
            ("{{ name }}", json!("{{ name }}")),
            ("[1, # open", json!("[1, # open")),
            ("{**{}}", json!("{**{}}")),
        ] {
            assert_eq!(Value::from(read(text).unwrap()), value, "{text}");
        }
    }

    #[test]
    fn what_python_refuses_to_hash_is_an_error() {
        for text in ["{{}}", "{{ 'a' }}", "{[]: 1}", "{(1, []): 2}"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!(Value::from(read(&"[".repeat(5000)).unwrap()), json!("[".repeat(5000)));
    }
}
