//! Makes the C library's allocator give memory back.
//!
//! glibc maps a large block by itself, and unmaps it as soon as it is freed: that is what keeps planning within its
//! memory, as blocks of rows come and go. But with each one that is freed, glibc takes larger and larger ones, up to
//! 32 MiB, from a heap instead, where they leave gaps that other blocks pin. With `--memory 128MB`, ten million rows of
//! four million values took 224 MB so, and take 72 MB with a fixed limit, in the same time.

#![expect(unsafe_code, reason = "there is no other way to tell the allocator of a process that is running")]

/// Bytes from which on a block is mapped by itself: what glibc starts with.
const MAPPED_FROM: libc::c_int = 128 << 10;

/// Keeps the limit from which on blocks are mapped where it is. Of no consequence elsewhere than with glibc.
pub(super) fn map_large_blocks() {
    // SAFETY: `mallopt` may be called at any time, from any thread, with any numbers. It changes how the allocator finds
    // memory from now on, not what it has handed out. It says 0 if it refuses: then nothing has changed.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM) };
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = 1 << 20;
    const BLOCKS: usize = 64;

    #[test]
    fn what_is_freed_is_given_back_whatever_lies_above_it() {
        map_large_blocks();
        // This raises the limit, if it isn't fixed.
        drop(vec![1_u8; 16 * BLOCK]);
        let mut blocks: Vec<Vec<u8>> = (0..BLOCKS).map(|_| vec![1; BLOCK]).collect();
        let before = resident();
        let last = blocks.pop();
        drop(blocks);
        // Other tests may take memory in the meantime, but hardly that much.
        assert!(resident() + BLOCKS * BLOCK / 2 < before);
        drop(last);
    }

    /// Bytes of this process that are in memory.
    fn resident() -> usize {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }
}
