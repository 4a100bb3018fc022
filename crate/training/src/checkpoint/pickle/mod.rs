//! Reads the pickles that `torch.save` writes as plain data: parsed, never executed.
//! A pickle is a program. Only the opcodes and globals that plain checkpoints need are accepted; all others are errors.
//!
//! Objects live in one list and refer to each other by index. So shared and circular objects need no special care, and
//! nothing recurses, however deep a pickle nests.

mod error;
mod machine;

use std::rc::Rc;

pub use self::error::PickleError;
use self::machine::Machine;

/// Index of an object in its [`Pickle`].
pub(super) type Id = usize;

/// Longest accepted pickle, in bytes. Every object takes at least one byte of it, so this also limits the memory.
const MOST_BYTES: usize = 4 << 20;

/// An object of a pickle.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Object {
    /// `None`, true or false.
    Constant(Option<bool>),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// A dict or an `OrderedDict`, in the order of insertion.
    Dict(Vec<(Id, Id)>),
    Global(Global),
    /// An `argparse.Namespace`; its content is not used.
    Namespace,
    Storage(Storage),
    Tensor(Box<Tensor>),
}

/// A global name that a pickle may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    RebuildTensor,
    RebuildParameter,
    OrderedDict,
    Namespace,
    /// A type of storage.
    Storage(Dtype),
}

/// The number type of a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dtype {
    F16,
    Bf16,
    F32,
    F64,
    /// Any other type, by `PyTorch`'s name: allowed in a file, but not for a parameter.
    Other(&'static str),
}

/// A record of numbers beside the pickle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Storage {
    pub dtype: Dtype,
    /// Name of the record, under `data/`.
    pub key: Rc<str>,
    /// Numbers in it.
    pub count: i64,
}

/// A view of a storage, not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tensor {
    pub storage: Storage,
    pub offset: i64,
    pub shape: Vec<i64>,
    pub stride: Vec<i64>,
}

/// A parsed pickle.
#[derive(Debug)]
pub(super) struct Pickle {
    objects: Vec<Object>,
    /// The root object.
    pub root: Id,
}

impl Pickle {
    /// The object `id`, which comes from this pickle.
    pub fn get(&self, id: Id) -> &Object {
        &self.objects[id]
    }

    /// The pairs of the dict `id` whose keys are text; empty if it is not a dict.
    pub fn entries(&self, id: Id) -> impl Iterator<Item = (&str, Id)> {
        let pairs: &[(Id, Id)] = if let Object::Dict(pairs) = self.get(id) { pairs } else { &[] };
        pairs.iter().filter_map(|&(key, value)| match self.get(key) {
            Object::Text(key) => Some((&**key, value)),
            _ => None,
        })
    }

    /// The value at the text `key` of the dict `id`.
    pub fn find(&self, id: Id, key: &str) -> Option<Id> {
        self.entries(id).find(|&(found, _)| found == key).map(|(_, value)| value)
    }

    /// The value at the number `key` of the dict `id`.
    pub fn at(&self, id: Id, key: i64) -> Option<Id> {
        let pairs: &[(Id, Id)] = if let Object::Dict(pairs) = self.get(id) { pairs } else { &[] };
        pairs.iter().find(|&&(found, _)| *self.get(found) == Object::Int(key)).map(|&(_, value)| value)
    }
}

/// Parses a pickle of protocol 2.
///
/// # Errors
/// [`PickleError`] names the first part that plain checkpoints do not have.
pub(super) fn parse(bytes: &[u8]) -> Result<Pickle, PickleError> {
    if bytes.len() > MOST_BYTES {
        return Err(PickleError::Long { bytes: bytes.len(), most: MOST_BYTES });
    }
    let mut machine = Machine::new(bytes);
    loop {
        if let Some(root) = machine.step()? {
            return Ok(Pickle { objects: machine.into_objects(), root });
        }
    }
}
