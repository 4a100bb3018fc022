//! The `marscope` command: sample, train and measure from a terminal.
//! Everything it can do is in [`marscope::cli`]; `marscope help` lists it.

// Training and sampling allocate and free large tensors all the time. The system's allocator would return them to the
// kernel and request them again each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Environment variable: the allocator returns free memory after this many milliseconds; -1 is never.
#[cfg(all(unix, feature = "train"))]
const GIVE_BACK: &str = "MIMALLOC_PURGE_DELAY";

/// Restarts the program with an allocator that keeps free memory. A training step frees all its memory and allocates as
/// much again. If the memory is returned in between, the kernel clears it page by page, which takes a tenth of a step. The
/// allocator reads its settings before `main`, so the variable must be set when the program starts.
#[cfg(all(unix, feature = "train"))]
fn keep_memory() {
    use std::os::unix::process::CommandExt;

    let training = std::env::args_os().nth(1).is_some_and(|command| command == "train");
    if !training || std::env::var_os(GIVE_BACK).is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        // Returns only if that fails; then training is slower.
        let _ = std::process::Command::new(program).args(std::env::args_os().skip(1)).env(GIVE_BACK, "-1").exec();
    }
}

fn main() -> std::process::ExitCode {
    #[cfg(all(unix, feature = "train"))]
    keep_memory();
    marscope::cli::main()
}
