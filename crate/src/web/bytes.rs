//! A file in the page's memory, read in ranges: the module never holds a second copy of it.
//! What is read is copied into the module's memory.

use std::borrow::Cow;
use std::ops::Range;

use js_sys::Uint8Array;
use marscope_core::checkpoint::ByteSource;

/// The bytes of a file.
pub struct PageBytes(pub Uint8Array);

impl ByteSource for PageBytes {
    fn size(&self) -> u64 {
        u64::from(self.0.length())
    }

    fn read(&self, range: Range<u64>) -> std::io::Result<Cow<'_, [u8]>> {
        Ok(self.0.subarray(range.start as u32, range.end as u32).to_vec().into())
    }
}
