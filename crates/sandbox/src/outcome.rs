//! How a run ended.

use std::fmt;
use std::time::Duration;

/// How a run ended. Everything but [`Kind::Ok`] names what ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A literal value came back.
    Ok,
    /// The policy refused the program, or the call, before it ran.
    Rejected,
    /// A Python exception left the program.
    Exception,
    /// The result is not a literal value.
    NotLiteral,
    /// The two images disagree, or calls depend on their order (`check` only).
    Nondeterministic,
    /// Fuel ran out.
    Fuel,
    /// The watchdog ended it.
    Timeout,
    /// It asked for more memory than allowed.
    Memory,
    /// It printed or returned more than allowed.
    Output,
    /// WebAssembly trapped, for example because its stack ran out.
    Crash,
}

impl Kind {
    /// The name used on the command line, in JSON and in Python.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Rejected => "rejected",
            Self::Exception => "exception",
            Self::NotLiteral => "not_literal",
            Self::Nondeterministic => "nondeterministic",
            Self::Fuel => "fuel",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Output => "output",
            Self::Crash => "crash",
        }
    }

    /// Whether a limit, not the program, decided the end.
    pub fn is_limit(self) -> bool {
        matches!(self, Self::Fuel | Self::Timeout | Self::Memory | Self::Output | Self::Crash)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One run: a program, one call.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub kind: Kind,
    /// Canonical literal of the result ([`Value::parse`](crate::Value::parse) reads it back); `None` unless [`Kind::Ok`].
    pub value: Option<String>,
    /// `TypeName: message` of an exception; what was refused, or used and limit, for the rest.
    pub error: Option<String>,
    /// What was printed, up to the end of the run.
    pub stdout: String,
    /// Fuel used by compiling the program and by this call.
    pub fuel: u64,
    /// The same in time.
    pub wall: Duration,
    /// Most memory that the instance had so far.
    pub memory_bytes: usize,
}

impl Outcome {
    pub(crate) fn refused(error: String) -> Self {
        Self {
            kind: Kind::Rejected,
            value: None,
            error: Some(error),
            stdout: String::new(),
            fuel: 0,
            wall: Duration::ZERO,
            memory_bytes: 0,
        }
    }

    /// Whether a value came back.
    pub fn is_ok(&self) -> bool {
        self.kind == Kind::Ok
    }
}
