//! The command line: one module per noun, tables, progress, diagnostics.
