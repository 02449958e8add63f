//! Sizes.

use serde::{Deserialize, Deserializer, Serialize, de};
use std::{fmt, str::FromStr};

/// Bytes in one MiB.
pub const MIB: u64 = 1 << 20;

/// A number of bytes. JSON carries it as an integer; people may write `512MiB`, `4GiB`, `1.5GiB`, `10GB` as well, in
/// YAML, JSON and flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

const UNITS: [(&str, u64); 13] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("K", 1 << 10),
    ("M", 1 << 20),
    ("G", 1 << 30),
    ("T", 1 << 40),
    ("B", 1),
];

impl ByteSize {
    /// A size in MiB.
    pub const fn mib(n: u64) -> Self {
        ByteSize(n * MIB)
    }

    /// A size in GiB.
    pub const fn gib(n: u64) -> Self {
        ByteSize(n * 1024 * MIB)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ByteSize {
    #[allow(clippy::cast_precision_loss)] // shown with one decimal
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match UNITS[..4].iter().rev().find(|(_, size)| self.0 >= *size) {
            None => format!("{} B", self.0),
            Some((unit, size)) if self.0.is_multiple_of(*size) => format!("{} {unit}", self.0 / size),
            Some((unit, size)) => format!("{:.1} {unit}", self.0 as f64 / *size as f64),
        };
        f.pad(&text)
    }
}

impl FromStr for ByteSize {
    type Err = crate::Error;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            crate::Error::new(crate::Code::Invalid, format!("'{s}' is not a size"))
                .hint("write a number of bytes, or a number with KiB, MiB, GiB or TiB, e.g. 512MiB")
        };
        let text = s.trim();
        let (number, factor) = UNITS
            .iter()
            .find_map(|(unit, size)| text.strip_suffix(unit).map(|n| (n.trim_end(), *size)))
            .unwrap_or((text, 1));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
            return Err(wrong());
        }
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let mut total = whole.checked_mul(factor).ok_or_else(wrong)?;
        if !fraction.is_empty() {
            let n: u128 = fraction.parse().map_err(|_| wrong())?;
            let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| wrong())?);
            let part = u64::try_from(n * u128::from(factor) / scale).map_err(|_| wrong())?;
            total = total.checked_add(part).ok_or_else(wrong)?;
        }
        Ok(ByteSize(total))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ByteSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes or a size such as 4GiB")
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(n))
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<ByteSize, E> {
                u64::try_from(n).map(ByteSize).map_err(|_| E::custom(format!("a size cannot be {n}")))
            }
            fn visit_str<E: de::Error>(self, s: &str) -> Result<ByteSize, E> {
                s.parse().map_err(E::custom)
            }
        }
        d.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_machines_write_sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("512MiB", 512 << 20),
            ("4 GiB", 4 << 30),
            ("1.5GiB", 3 << 29),
            ("10GB", 10_000_000_000),
        ] {
            assert_eq!(text.parse::<ByteSize>().unwrap().bytes(), bytes, "{text}");
        }
        for text in ["", "-1", "4 XiB", "1e3", "99999999999999999999", "20000000TiB", ".5GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        assert_eq!(ByteSize::gib(4).to_string(), "4 GiB");
        assert_eq!(serde_json::from_str::<ByteSize>("\"2MiB\"").unwrap(), ByteSize::mib(2));
        assert!(serde_json::from_str::<ByteSize>("-2").is_err());
    }
}
