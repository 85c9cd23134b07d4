//! Runs a file of Python in the sandbox: `cargo run --release --example run -- FILE 'f(3)'`.

use std::process::ExitCode;

use tina_sandbox::{Limits, Policy, Sandbox};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let program = match arguments.next() {
        Some(file) => std::fs::read_to_string(file)?,
        None => "def f(n):\n    print('counting to', n)\n    return [i * i for i in range(n)]".to_owned(),
    };
    let call = arguments.next().unwrap_or_else(|| "f(5)".to_owned());
    let sandbox = Sandbox::new(Limits::default(), Policy::Standard, None)?;
    let outcome = sandbox.check(&program, &call)?;
    print!("{}", outcome.stdout);
    println!("{}: {}", outcome.kind, outcome.value.as_deref().or(outcome.error.as_deref()).unwrap_or_default());
    println!("{:.2} M fuel, {:.1} ms, {} MB", outcome.fuel as f64 / 1e6, outcome.wall.as_secs_f64() * 1e3, outcome.memory_bytes >> 20);
    Ok(outcome.is_ok())
}
