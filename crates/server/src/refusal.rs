//! How a start is refused: one line that names cause and remedy, and exit status 1.
//! Nothing is refused once the screen is printed.
//! Used by the main thread and by the cores while they are made.

/// Prints one line on standard error and ends the process as a start that failed.
pub fn refuse(line: &str) -> ! {
    commands::log::line(format_args!("{line}"));
    std::process::exit(1);
}

/// What to say when io_uring cannot be used.
pub fn no_ring(cause: &str) -> String {
    format!(
        "io_uring is not available ({cause}): needs Linux 6.1 or newer, kernel.io_uring_disabled = 0, \
         a container profile that allows io_uring, and `ulimit -l` of at least 512 KiB"
    )
}
