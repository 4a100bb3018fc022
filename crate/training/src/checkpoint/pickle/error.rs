//! Why a pickle is refused.
//! Every message names the byte, which helps to tell a damaged file from a malicious one.

/// Why a pickle is refused. `at` is the position of the opcode, in bytes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// It ends too early.
    #[error("it is cut short at byte {at}")]
    Truncated {
        /// Where.
        at: usize,
    },
    /// It is too long.
    #[error("it has {bytes} bytes; the names and shapes of a checkpoint take less than {most}")]
    Long {
        /// Its length.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// It uses another version of the format.
    #[error("it uses pickle protocol {protocol}; torch.save writes protocol 2 by default")]
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
    /// An instruction refers to a value that was never stored.
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
    /// A known instruction with the wrong kind of values.
    #[error("byte {at}: {what}")]
    Misuse {
        /// Where.
        at: usize,
        /// The instruction and the values.
        what: String,
    },
}
