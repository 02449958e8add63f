//! Which ports something listens at, as the node itself sees it: for nodes that nobody can dial.

use crate::nodetest::{
    outcome::Found,
    ports::judge,
    probe::{Answer, Probe},
    wanted::Both,
};
use std::collections::BTreeSet;

pub struct Listening(pub Both<u16>);

impl Probe for Listening {
    fn script(&self) -> String {
        "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null; true".into()
    }

    fn judge(&self, answer: &Answer<'_>) -> Found {
        if answer.text.trim().is_empty() {
            return Found::Unclear("the node has no address to dial, and no /proc/net/tcp".into());
        }
        let listening: BTreeSet<u16> = answer.text.lines().filter_map(listener).collect();
        judge(&self.0, |port| listening.contains(&port))
    }
}

/// The port of a line of `/proc/net/tcp` whose state is LISTEN (`0A`, proc(5)), unless it is for the node alone.
fn listener(line: &str) -> Option<u16> {
    let mut words = line.split_whitespace().skip(1);
    let (address, port) = words.next()?.rsplit_once(':')?;
    let state = words.nth(1)?;
    let loopback =
        address.ends_with("7F") && address.len() == 8 || address == "00000000000000000000000001000000";
    if state == "0A" && !loopback { u16::from_str_radix(port, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_found() {
        let text = "  sl  local_address rem_address   st tx_queue\n   \
             0: 00000000:0016 00000000:0000 0A 00000000\n   \
             1: 0100007F:1F90 00000000:0000 0A 00000000\n   \
             2: 0200140A:0050 0100140A:C350 01 00000000\n   \
             3: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 0000\n   \
             4: 00000000000000000000000001000000:0277 00000000000000000000000000000000:0000 0A 0000\n";
        let both = Both { there: [22, 443, 80].into(), not_there: [8080, 631, 22].into() };
        let wrong = ["port 80 is closed", "port 22 is open"];
        let found = Listening(both).judge(&Answer { code: 0, text });
        assert_eq!(found, Found::Wrong(wrong.map(Into::into).into()));
    }
}
