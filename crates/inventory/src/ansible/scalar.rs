//! What a plain YAML scalar means to Ansible: the types of YAML 1.1 as PyYAML resolves them, so that `no` is false,
//! `0644` is 420 and `1:30` is 90.

use super::data::Data;
use std::fmt::Write;

/// The data that a plain scalar stands for. What is of no other type is a text.
pub(super) fn resolve(text: &str) -> Data {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Data::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Data::Bool(false),
        _ => {}
    }
    let starts = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.');
    if !text.starts_with(starts) {
        return Data::Text(text.to_owned());
    }
    None.or_else(|| float(text))
        .or_else(|| integer(text))
        .or_else(|| timestamp(text))
        .unwrap_or_else(|| Data::Text(text.to_owned()))
}

/// An integer: binary, octal with a leading 0, decimal, hexadecimal or to the base of 60.
pub(super) fn integer(text: &str) -> Option<Data> {
    let (negative, body) = signed(text);
    let digits = body.replace('_', "");
    let of_base = |digits: &str, base: u32| {
        let fits = !digits.is_empty() && digits.chars().all(|c| c.is_digit(base));
        fits.then(|| i128::from_str_radix(digits, base).ok())
    };
    let value = if let Some(digits) = digits.strip_prefix("0b") {
        of_base(digits, 2)?
    } else if let Some(digits) = digits.strip_prefix("0x") {
        of_base(digits, 16)?
    } else if body == "0" {
        Some(0)
    } else if body.starts_with('0') {
        of_base(&digits, 8)?
    } else if body.starts_with('_') {
        return None;
    } else if body.contains(':') {
        sexagesimal(body, false).map(|whole| Some(whole.0))?
    } else {
        of_base(&digits, 10)?
    };
    Some(Data::integer(value.map(|v| if negative { -v } else { v }), text))
}

/// A number with a point, or to the base of 60 with one, or one of `.inf` and `.nan`.
pub(super) fn float(text: &str) -> Option<Data> {
    let (negative, body) = signed(text);
    let apply = |value: f64| Some(Data::float(if negative { -value } else { value }, text));
    if matches!(body, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Data::Text(text.to_owned()));
    }
    if body.contains(':') {
        let (whole, fraction) = sexagesimal(body, true)?;
        #[allow(clippy::cast_precision_loss)] // as Python does
        return apply(whole as f64 + fraction);
    }
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(at) => (&body[..at], Some(&body[at + 1..])),
        None => (body, None),
    };
    // The sign of an exponent is not optional, so `1.5e3` is a text.
    if let Some(exponent) = exponent {
        let digits = exponent.strip_prefix(['+', '-'])?;
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
    }
    let (whole, fraction) = mantissa.split_once('.')?;
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let starts = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
    let fits = if whole.is_empty() { body.len() == text.len() && starts(fraction) } else { starts(whole) };
    if !fits || !digits(whole) || !digits(fraction) {
        return None;
    }
    apply(body.replace('_', "").parse().ok()?)
}

/// Minutes and seconds, degrees and minutes: `190:20:30`, and the part behind the point.
fn sexagesimal(body: &str, with_point: bool) -> Option<(i128, f64)> {
    let (whole, fraction) = match (body.split_once('.'), with_point) {
        (Some(parts), true) => parts,
        (None, false) => (body, ""),
        _ => return None,
    };
    if !fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        return None;
    }
    let mut parts = whole.split(':');
    let first = parts.next()?;
    let leads = |c: char| c.is_ascii_digit() && (with_point || c != '0');
    if !first.starts_with(leads) || !first.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        return None;
    }
    let mut value: i128 = first.replace('_', "").parse().ok()?;
    for part in parts {
        let fits = matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
        value = value.checked_mul(60)?.checked_add(part.parse().ok().filter(|_| fits)?)?;
    }
    let fraction = format!("0.{}", fraction.replace('_', ""));
    Some((value, fraction.parse().ok()?))
}

fn signed(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// A date or a moment, spelled as Python spells it in JSON (ISO 8601).
pub(super) fn timestamp(text: &str) -> Option<Data> {
    let (date, rest) = match text.find(['T', 't', ' ', '\t']) {
        Some(at) => (&text[..at], Some(text[at + 1..].trim_start_matches([' ', '\t']))),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let long = |part: &str| rest.is_none() && part.len() != 2;
    if parts.next().is_some() || year.len() != 4 || long(month) || long(day) {
        return None;
    }
    let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
    let real = (1..=12).contains(&month) && (1..=days(year, month)).contains(&day) && year > 0;
    let mut out = real.then(|| format!("{year:04}-{month:02}-{day:02}"))?;
    if let Some(rest) = rest {
        moment(rest, &mut out)?;
    }
    Some(Data::Text(out))
}

/// The time of day and the zone.
fn moment(text: &str, out: &mut String) -> Option<()> {
    let end = text.find([' ', '\t', 'Z', '+', '-']).unwrap_or(text.len());
    let (time, zone) = (&text[..end], text[end..].trim_start_matches([' ', '\t']));
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || minute.len() != 2 || second.len() != 2 {
        return None;
    }
    let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
    if hour > 23 || minute > 59 || second > 59 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    write!(out, "T{hour:02}:{minute:02}:{second:02}").ok()?;
    let micros = format!("{fraction:0<6.6}");
    if micros.bytes().any(|b| b != b'0') {
        write!(out, ".{micros}").ok()?;
    }
    match zone.strip_prefix(['+', '-']) {
        None if zone.is_empty() => {}
        None => out.push_str((zone == "Z").then_some("+00:00")?),
        Some(offset) => {
            let (hours, minutes) = offset.split_once(':').unwrap_or((offset, "00"));
            let (hours, minutes) = (number(hours, 2)?, number(minutes, 2).filter(|_| minutes.len() == 2)?);
            let sign = if zone.starts_with('-') && (hours, minutes) != (0, 0) { '-' } else { '+' };
            if hours > 23 || minutes > 59 {
                return None;
            }
            write!(out, "{sign}{hours:02}:{minutes:02}").ok()?;
        }
    }
    Some(())
}

/// Up to `most` digits.
fn number(text: &str, most: usize) -> Option<u32> {
    let fits = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok())?
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn scalars_have_the_types_of_yaml_1_1() {
        for (text, value) in [
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("y", json!("y")),
            ("~", Value::Null),
            ("0644", json!(420)),
            ("0o644", json!("0o644")),
            ("08", json!("08")),
            ("0x1F", json!(31)),
            ("-0b11", json!(-3)),
            ("1_000", json!(1000)),
            ("_1", json!("_1")),
            ("1:30", json!(90)),
            ("-190:20:30", json!(-685_230)),
            ("1:60", json!("1:60")),
            ("0:30", json!("0:30")),
            ("0:30.5", json!(30.5)),
            ("1.", json!(1.0)),
            (".5", json!(0.5)),
            ("-.5", json!("-.5")),
            ("1.5e3", json!("1.5e3")),
            ("1.5e+3", json!(1500.0)),
            ("1e3", json!("1e3")),
            ("1.2.3", json!("1.2.3")),
            ("-", json!("-")),
            ("+12", json!(12)),
            ("2001-12-14", json!("2001-12-14")),
            ("2001-1-2", json!("2001-1-2")),
            ("2001-1-2 3:04:05", json!("2001-01-02T03:04:05")),
            ("2001-12-14t21:59:43.10-05:00", json!("2001-12-14T21:59:43.100000-05:00")),
            ("2001-12-14 21:59:43 Z", json!("2001-12-14T21:59:43+00:00")),
            ("10.0.0.1", json!("10.0.0.1")),
        ] {
            assert_eq!(Value::from(resolve(text)), value, "{text}");
        }
    }
}
