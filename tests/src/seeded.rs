//! Random choices that can be made again.

/// Numbers from a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// With the seed of `HOSTLER_TEST_SEED`, else a new one. Says which.
    pub fn new(test: &str) -> Self {
        let given = crate::from_environment("HOSTLER_TEST_SEED").and_then(|s| s.to_str()?.parse().ok());
        let seed = given.unwrap_or_else(|| u64::from_le_bytes(rt::ids::random_bytes()));
        #[allow(clippy::disallowed_macros)] // whoever wants the same choices again reads it
        {
            println!("{test}: HOSTLER_TEST_SEED={seed}");
        }
        Seeded(seed)
    }

    /// The next number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }
}
