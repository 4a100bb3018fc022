//! The `marscope` command: sample, train and measure from a terminal.
//! Everything it can do is in [`marscope::cli`]; `marscope help` lists it.

// Training and sampling allocate and free large tensors all the time, which the system's allocator gives back to the
// kernel and asks for again each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    marscope::cli::main()
}
