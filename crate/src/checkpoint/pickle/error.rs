//! Why a pickle is refused.
//! Every message names the byte, so that a damaged file can be told from one that means harm.

/// Why a pickle is refused. `at` is the byte that the opcode in question stands at.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// It stops before its end.
    #[error("it is cut short at byte {at}")]
    Truncated {
        /// Where.
        at: usize,
    },
    /// It is too long to be one.
    #[error("it has {bytes} bytes; the names and shapes of a checkpoint take less than {most}")]
    Long {
        /// Its length.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// It is written in another version of the format.
    #[error("it is of pickle protocol {protocol}; torch.save writes protocol 2 unless told otherwise")]
    Protocol {
        /// Its version.
        protocol: u8,
    },
    /// An instruction that no plain checkpoint needs.
    #[error("byte {at} is the opcode {code:#04x}, which no plain checkpoint needs")]
    Opcode {
        /// Where.
        at: usize,
        /// The opcode.
        code: u8,
    },
    /// A function or class that no plain checkpoint needs.
    #[error("byte {at} refers to '{name}', which no plain checkpoint needs")]
    Global {
        /// Where.
        at: usize,
        /// Module and name.
        name: String,
    },
    /// An instruction takes more values than there are.
    #[error("the stack is empty at byte {at}")]
    Underflow {
        /// Where.
        at: usize,
    },
    /// An instruction refers to a value that was never remembered.
    #[error("byte {at} asks for memo {index}, which was never set")]
    Memo {
        /// Where.
        at: usize,
        /// The memo's number.
        index: u32,
    },
    /// Text that is not UTF-8.
    #[error("the text at byte {at} is not UTF-8")]
    Utf8 {
        /// Where.
        at: usize,
    },
    /// A known instruction on values that it does not fit.
    #[error("byte {at}: {what}")]
    Misuse {
        /// Where.
        at: usize,
        /// Which instruction on what.
        what: String,
    },
}
