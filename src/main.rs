//! The `pinyon` binary: arguments and start.
//! What it runs is the crate `server`; which options there are is said by `commands::config`.
//! Exit status 1 when the start is refused, with one line that says why.

use commands::config::{Arguments, arguments, printed_usage};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: memory::heap::CountingAlloc = memory::heap::CountingAlloc;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments(&words, &|path| {
        std::fs::read(path).map_err(|error| error.to_string())
    }) {
        Ok(Arguments::Version) => {
            println!("pinyon {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Ok(Arguments::Help) => {
            print!("{}", printed_usage());
            Ok(())
        }
        Ok(Arguments::Start {
            config,
            config_file,
        }) => server::run(*config, config_file),
        Err(line) => Err(line),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            eprintln!("pinyon: {line}");
            ExitCode::FAILURE
        }
    }
}
