//! Asks for memory before it is needed.

/// Starts to bring the cache line that holds `value`'s first byte near; does nothing where the architecture has no stable way to say so.
#[inline]
pub fn prefetch<T>(value: &T) {
    prefetch_at(value);
}

/// The same of an address, at which there need not be anything.
#[inline]
pub fn prefetch_at<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of every x86-64, and a prefetch of any address is harmless.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
