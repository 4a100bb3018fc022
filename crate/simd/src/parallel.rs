//! Work on independent parts: on all cores where there are any (feature `rayon`), one after the other in a browser.
//! Section 4.2 of the paper measures speed; images, branches of the guidance and tokens are independent.

/// Runs `work` on every part.
pub fn each<T: Send>(parts: &mut [T], work: impl Fn(&mut T) + Sync + Send) {
    #[cfg(feature = "rayon")]
    if parts.len() > 1 {
        use rayon::iter::{IntoParallelRefMutIterator, ParallelIterator};
        return parts.par_iter_mut().for_each(work);
    }
    parts.iter_mut().for_each(work);
}

/// Parts that can run at once.
pub fn count() -> usize {
    #[cfg(feature = "rayon")]
    return rayon::current_num_threads();
    #[cfg(not(feature = "rayon"))]
    1
}
