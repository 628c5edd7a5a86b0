//! Asking for memory before it is needed, so that cache misses overlap with other work.
//!
//! A simulated week touches tables of many megabytes at places that follow from random keys; each of them would otherwise
//! be waited for in turn. The one place of the simulator that needs `unsafe`: the intrinsic takes a raw pointer.
#![allow(unsafe_code)]

/// How many bytes come at once.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Asks for the `index`-th element, if there is one. It changes nothing but what the processor has at hand; where the
/// architecture has no such instruction in stable Rust it does nothing.
#[inline(always)]
pub(crate) fn prefetch<T>(slice: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(place) = slice.get(index) {
        let first: *const i8 = std::ptr::from_ref(place).cast();
        for line in 0..size_of::<T>().div_ceil(LINE) {
            ask_for(first.wrapping_add(line * LINE));
        }
        // What does not divide a line may begin in the middle of one, and end in one more.
        if !LINE.is_multiple_of(size_of::<T>().max(1)) {
            ask_for(first.wrapping_add(size_of::<T>().saturating_sub(1)));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (slice, index);
}

/// Asks for the line in which an address lies.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn ask_for(address: *const i8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch is a hint that neither reads nor writes as far as the program can tell, and faults on no address;
    // this one is of an element that is there. SSE, which has it, is part of every x86-64.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address) };
}
