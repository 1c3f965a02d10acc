//! The allocator: the system's, which can be told to count.
//!
//! A reallocation counts as an allocation of its new size. While nothing is counted, all that is added to an
//! allocation, or to freeing one, is one load and one branch, the same for every client.

#![expect(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Allocations since counting was switched on.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Allocations {
    pub(crate) number: u64,
    pub(crate) bytes: u64,
}

pub(crate) fn start_counting() {
    COUNTING.store(true, Ordering::Relaxed);
}

pub(crate) fn counted() -> Allocations {
    Allocations { number: NUMBER.load(Ordering::Relaxed), bytes: BYTES.load(Ordering::Relaxed) }
}

/// Bytes allocated and not freed since counting was switched on; below zero if more was freed that is older.
pub(crate) fn live() -> i64 {
    BYTES.load(Ordering::Relaxed).wrapping_sub(FREED.load(Ordering::Relaxed)).cast_signed()
}

/// Hands free pages back to the system, so that what stays resident is what is used.
pub(crate) fn trim() {
    // SAFETY: may be called at any time, from any thread.
    unsafe { libc::malloc_trim(0) };
}

struct Counting;

impl Counting {
    #[inline]
    fn note(size: usize) {
        if COUNTING.load(Ordering::Relaxed) {
            NUMBER.fetch_add(1, Ordering::Relaxed);
            BYTES.fetch_add(size as u64, Ordering::Relaxed);
        }
    }

    #[inline]
    fn note_freed(size: usize) {
        if COUNTING.load(Ordering::Relaxed) {
            FREED.fetch_add(size as u64, Ordering::Relaxed);
        }
    }
}

// SAFETY: every call goes to the system's allocator unchanged; counting neither allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::note(layout.size());
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::note(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        Self::note(new_size);
        Self::note_freed(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::note_freed(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static COUNTING: AtomicBool = AtomicBool::new(false);
static NUMBER: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static FREED: AtomicU64 = AtomicU64::new(0);
