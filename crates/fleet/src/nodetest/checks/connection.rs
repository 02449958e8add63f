//! A command can be run.

use crate::nodetest::{
    outcome::Found,
    probe::{Answer, Probe},
};

pub struct Connection;

impl Probe for Connection {
    fn script(&self) -> String {
        "echo connected".into()
    }

    fn judge(&self, answer: &Answer<'_>) -> Found {
        if answer.code == 0 && answer.text.trim() == "connected" { Found::Well } else { answer.failed() }
    }
}
