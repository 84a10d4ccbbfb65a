//! The program: everything is in the library.

fn main() {
    one_heap();
    std::process::exit(nsscript::cli::main());
}

/// One heap for all threads, which grows by a megabyte at a time. glibc gives each thread a heap of its own that grows page
/// by page, with a system call for each (`grow_heap`, malloc/arena.c): a script runs on such a thread, and the others hardly
/// allocate.
fn one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt(3) takes plain numbers, and no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TOP_PAD, 1 << 20);
    }
}
