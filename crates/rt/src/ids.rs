//! Random numbers and new uids.

/// Fills an array from the system's generator.
///
/// # Panics
/// When the system has no random numbers: nothing that needs a key may go on then.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[allow(clippy::expect_used)]
    getrandom::fill(&mut bytes).expect("the system gives random numbers");
    bytes
}

/// A number in `0.0..1.0`.
#[allow(clippy::cast_precision_loss)] // 53 bits fit exactly
pub fn random_unit() -> f64 {
    (u64::from_le_bytes(random_bytes()) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A new uid: UUIDv7 of now.
pub fn uid() -> base::Uid {
    let ms = u64::try_from(crate::clock::wall().as_millisecond()).unwrap_or(0);
    base::Uid::from_parts(ms, &random_bytes())
}
