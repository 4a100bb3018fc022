//! The `marscope` command: sample, train and measure from a terminal.
//! Everything it can do is in [`marscope::cli`]; `marscope help` lists it.

// Training and sampling allocate and free large tensors all the time, which the system's allocator gives back to the
// kernel and asks for again each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What tells the allocator after how many milliseconds it gives free memory back; -1 is never.
#[cfg(all(unix, feature = "train"))]
const GIVE_BACK: &str = "MIMALLOC_PURGE_DELAY";

/// Begins anew with an allocator that keeps what is free. A step of training frees all its memory and takes as much again:
/// what is given back in between, the kernel clears page by page, which is a tenth of a step. The allocator reads its
/// settings before `main`, so that they have to be there when the program starts.
#[cfg(all(unix, feature = "train"))]
fn keep_memory() {
    use std::os::unix::process::CommandExt;

    let training = std::env::args_os().nth(1).is_some_and(|command| command == "train");
    if !training || std::env::var_os(GIVE_BACK).is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        // Returns only where that failed, and then training is just slower.
        let _ = std::process::Command::new(program).args(std::env::args_os().skip(1)).env(GIVE_BACK, "-1").exec();
    }
}

fn main() -> std::process::ExitCode {
    #[cfg(all(unix, feature = "train"))]
    keep_memory();
    marscope::cli::main()
}
