//! Results as JUnit XML, as CI systems read it (the schema of Jenkins' xUnit plugin).

use std::{fmt::Write as _, time::Duration};

/// One `testsuite`.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// What was done.
    pub cases: Vec<Case>,
}

/// One `testcase`.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What was tested.
    pub name: String,
    /// On what: a node, say.
    pub class: String,
    /// How long it took.
    pub duration: Duration,
    /// How it went.
    pub result: CaseResult,
    /// What it printed.
    pub output: String,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseResult {
    /// Well.
    Passed,
    /// Not well: one line, and all there is to say.
    Failed(String, String),
    /// Not tested, or not to be counted: why.
    Skipped(String),
}

/// The whole file.
pub fn document(name: &str, suites: &[Suite]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let all = || suites.iter().flat_map(|s| &s.cases);
    let _ = writeln!(xml, "<testsuites{}{}>", attribute("name", name), counts(all()));
    for suite in suites {
        let _ =
            writeln!(xml, "  <testsuite{}{}>", attribute("name", &suite.name), counts(suite.cases.iter()));
        suite.cases.iter().for_each(|case| case.write(&mut xml));
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

impl Case {
    fn write(&self, xml: &mut String) {
        let class = attribute("classname", &self.class);
        let time = attribute("time", &seconds(self.duration));
        let _ = write!(xml, "    <testcase{}{class}{time}", attribute("name", &self.name));
        let inside = match &self.result {
            CaseResult::Passed => String::new(),
            CaseResult::Failed(message, text) => {
                format!("<failure{}>{}</failure>", attribute("message", message), escaped(text))
            }
            CaseResult::Skipped(reason) => format!("<skipped{}/>", attribute("message", reason)),
        };
        let output = match self.output.as_str() {
            "" => String::new(),
            text => format!("<system-out>{}</system-out>", escaped(text)),
        };
        let _ = match inside.len() + output.len() {
            0 => writeln!(xml, "/>"),
            _ => writeln!(xml, ">{inside}{output}</testcase>"),
        };
    }
}

fn counts<'a>(cases: impl Iterator<Item = &'a Case>) -> String {
    let (mut tests, mut failures, mut skipped, mut time) = (0, 0, 0, Duration::ZERO);
    for case in cases {
        tests += 1;
        time += case.duration;
        match case.result {
            CaseResult::Passed => {}
            CaseResult::Failed(..) => failures += 1,
            CaseResult::Skipped(_) => skipped += 1,
        }
    }
    let time = seconds(time);
    format!(r#" tests="{tests}" failures="{failures}" errors="0" skipped="{skipped}" time="{time}""#)
}

fn seconds(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64())
}

fn attribute(name: &str, value: &str) -> String {
    format!(" {name}=\"{}\"", escaped(value).replace('\n', "&#10;").replace('\t', "&#9;"))
}

/// Text without what XML cannot hold (XML 1.0, 2.2): control characters become the replacement character.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => {}
            '\n' | '\t' => out.push(c),
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_break_the_file() {
        let case = |name: &str, result, output: &str| Case {
            name: name.into(),
            class: "web1".into(),
            duration: Duration::from_millis(1500),
            result,
            output: output.into(),
        };
        let failed = CaseResult::Failed("one\n\"two\"".into(), "<a> & \u{1b}[31mred\r\n]]>".into());
        let suite = Suite {
            name: "web1".into(),
            cases: vec![
                case("connection", CaseResult::Passed, ""),
                case("files", failed, "said <this>"),
                case("disk", CaseResult::Skipped("no df".into()), ""),
            ],
        };
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
            <testsuites name=\"hostler test\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"4.500\">\n  \
            <testsuite name=\"web1\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"4.500\">\n    \
            <testcase name=\"connection\" classname=\"web1\" time=\"1.500\"/>\n    \
            <testcase name=\"files\" classname=\"web1\" time=\"1.500\">\
            <failure message=\"one&#10;&quot;two&quot;\">&lt;a&gt; &amp; \u{fffd}[31mred\n]]&gt;</failure>\
            <system-out>said &lt;this&gt;</system-out></testcase>\n    \
            <testcase name=\"disk\" classname=\"web1\" time=\"1.500\"><skipped message=\"no df\"/></testcase>\n  \
            </testsuite>\n</testsuites>\n";
        assert_eq!(document("hostler test", &[suite]), expected);
    }
}
