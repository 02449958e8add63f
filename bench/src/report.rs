//! The report: rows of a Markdown table on standard output, all else on standard error.

/// One figure.
#[derive(Clone, Debug, Default)]
pub struct Row {
    figure: String,
    measured: String,
    target: String,
    met: Option<bool>,
    beside: String,
    ratio: Option<f64>,
}

impl Row {
    /// A figure and what was measured.
    pub fn new(figure: impl Into<String>, measured: impl Into<String>) -> Self {
        Row { figure: figure.into(), measured: measured.into(), ..Row::default() }
    }

    /// What it should be, and whether it is.
    #[must_use]
    pub fn target(mut self, target: impl Into<String>, met: bool) -> Self {
        (self.target, self.met) = (target.into(), Some(met));
        self
    }

    /// The peer or the floor that was measured in the same run.
    #[must_use]
    pub fn beside(mut self, what: impl Into<String>, ratio: Option<f64>) -> Self {
        (self.beside, self.ratio) = (what.into(), ratio);
        self
    }

    /// Prints it.
    pub fn print(&self) {
        let met = self.met.map_or("", |met| if met { "yes" } else { "**no**" });
        let ratio = self.ratio.map(|r| format!("{r:.2}")).unwrap_or_default();
        let Row { figure, measured, target, beside, .. } = self;
        println!("| {figure} | {measured} | {target} | {met} | {beside} | {ratio} |");
    }
}

/// Tells how it goes.
pub fn note(text: impl AsRef<str>) {
    eprintln!("  {}", text.as_ref());
}
