//! A pickle machine with the opcodes that checkpoints need: a stack of values, marks in it, and a memo of values.
//! The opcodes are those of protocol 2, with their names from Python's `pickletools`.

use std::collections::HashMap;

use super::{Dtype, Global, Id, Object, PickleError, Storage, Tensor};

/// Most dimensions of a tensor: more than any real one has.
const MOST_DIMENSIONS: usize = 16;

/// The state of parsing.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    /// The byte to read next.
    next: usize,
    /// The current opcode.
    at: usize,
    objects: Vec<Object>,
    stack: Vec<Id>,
    /// Stack heights at which a MARK lies.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// At the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, next: 0, at: 0, objects: vec![], stack: vec![], marks: vec![], memo: HashMap::new() }
    }

    /// All objects made so far.
    pub fn into_objects(self) -> Vec<Object> {
        self.objects
    }

    /// Executes one opcode. Returns the root object when the pickle stops.
    pub fn step(&mut self) -> Result<Option<Id>, PickleError> {
        self.at = self.next;
        let [code] = self.take()?;
        match code {
            // PROTO
            0x80 => {
                let [protocol] = self.take()?;
                if protocol != 2 {
                    return Err(PickleError::Protocol { protocol });
                }
            }
            // MARK
            b'(' => self.marks.push(self.stack.len()),
            // NONE, NEWTRUE, NEWFALSE
            b'N' => self.push(Object::Constant(None)),
            0x88 => self.push(Object::Constant(Some(true))),
            0x89 => self.push(Object::Constant(Some(false))),
            // BININT1, BININT2, BININT, LONG1, BINFLOAT, BINUNICODE
            b'K' => {
                let [value] = self.take()?;
                self.push(Object::Int(value.into()));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.take()?);
                self.push(Object::Int(value.into()));
            }
            b'J' => {
                let value = i32::from_le_bytes(self.take()?);
                self.push(Object::Int(value.into()));
            }
            0x8a => self.long()?,
            b'G' => {
                let value = f64::from_be_bytes(self.take()?);
                self.push(Object::Float(value));
            }
            b'X' => {
                let length = u32::from_le_bytes(self.take()?);
                let text = self.text(length as usize)?;
                self.push(Object::Text(text.into()));
            }
            // EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE
            b')' => self.push(Object::Tuple(vec![])),
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(code - 0x84))?;
                self.push(Object::Tuple(items));
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push(Object::Tuple(items));
            }
            // EMPTY_LIST, APPEND, APPENDS
            b']' => self.push(Object::List(vec![])),
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.append(&items)?;
            }
            // EMPTY_DICT, SETITEM, SETITEMS
            b'}' => self.push(Object::Dict(vec![])),
            b's' => {
                let pair = self.pop_many(2)?;
                self.set_items(&pair)?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set_items(&items)?;
            }
            // BINPUT, LONG_BINPUT, BINGET, LONG_BINGET
            b'q' => {
                let [index] = self.take()?;
                self.remember(index.into())?;
            }
            b'r' => {
                let index = u32::from_le_bytes(self.take()?);
                self.remember(index)?;
            }
            b'h' => {
                let [index] = self.take()?;
                self.recall(index.into())?;
            }
            b'j' => {
                let index = u32::from_le_bytes(self.take()?);
                self.recall(index)?;
            }
            // GLOBAL, BINPERSID, REDUCE, NEWOBJ, BUILD
            b'c' => self.global()?,
            b'Q' => self.storage()?,
            b'R' => self.reduce()?,
            0x81 => self.new_object()?,
            b'b' => self.build()?,
            // STOP
            b'.' => return self.pop().map(Some),
            _ => return Err(PickleError::Opcode { at: self.at, code }),
        }
        Ok(None)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let taken = self.bytes[self.next..].first_chunk().ok_or(PickleError::Truncated { at: self.bytes.len() })?;
        self.next += N;
        Ok(*taken)
    }

    fn text(&mut self, length: usize) -> Result<&'a str, PickleError> {
        let rest = &self.bytes[self.next..];
        let taken = rest.get(..length).ok_or(PickleError::Truncated { at: self.bytes.len() })?;
        self.next += length;
        str::from_utf8(taken).map_err(|_| PickleError::Utf8 { at: self.at })
    }

    /// Text up to the next line feed, which is skipped.
    fn line(&mut self) -> Result<&'a str, PickleError> {
        let length = self.bytes[self.next..].iter().position(|&byte| byte == b'\n');
        let line = self.text(length.ok_or(PickleError::Truncated { at: self.bytes.len() })?)?;
        self.next += 1;
        Ok(line)
    }

    fn misuse<T>(&self, what: impl Into<String>) -> Result<T, PickleError> {
        Err(PickleError::Misuse { at: self.at, what: what.into() })
    }

    fn push(&mut self, object: Object) {
        self.stack.push(self.objects.len());
        self.objects.push(object);
    }

    /// Only the values above the last mark are available to an instruction.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id, PickleError> {
        if self.stack.len() <= self.floor() {
            return Err(PickleError::Underflow { at: self.at });
        }
        self.stack.pop().ok_or(PickleError::Underflow { at: self.at })
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, PickleError> {
        if self.stack.len() < self.floor() + count {
            return Err(PickleError::Underflow { at: self.at });
        }
        Ok(self.stack.split_off(self.stack.len() - count))
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        let mark = self.marks.pop().ok_or(PickleError::Underflow { at: self.at })?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&mut self) -> Result<Id, PickleError> {
        let top = self.pop()?;
        self.stack.push(top);
        Ok(top)
    }

    fn remember(&mut self, index: u32) -> Result<(), PickleError> {
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<(), PickleError> {
        let id = *self.memo.get(&index).ok_or(PickleError::Memo { at: self.at, index })?;
        self.stack.push(id);
        Ok(())
    }

    /// LONG1: a count of bytes, then a little-endian two's complement number.
    fn long(&mut self) -> Result<(), PickleError> {
        let [length] = self.take()?;
        if length > 8 {
            return self.misuse(format!("an integer of {length} bytes; at most 8 can be read"));
        }
        let mut value = 0;
        for place in 0..u32::from(length) {
            let [byte] = self.take()?;
            value |= i64::from(byte) << (8 * place);
        }
        if (1..8).contains(&length) {
            // The sign is in the highest bit read: shift it to the top and back.
            let unused = 64 - 8 * u32::from(length);
            value = value << unused >> unused;
        }
        self.push(Object::Int(value));
        Ok(())
    }

    fn append(&mut self, items: &[Id]) -> Result<(), PickleError> {
        let top = self.top()?;
        let Object::List(list) = &mut self.objects[top] else {
            return self.misuse("APPEND to what is no list");
        };
        list.extend_from_slice(items);
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<(), PickleError> {
        let top = self.top()?;
        let Object::Dict(dict) = &mut self.objects[top] else {
            return self.misuse("SETITEM on what is no dict");
        };
        let (pairs, []) = items.as_chunks() else {
            return self.misuse("SETITEMS with a key that has no value");
        };
        dict.extend(pairs.iter().map(|&[key, value]| (key, value)));
        Ok(())
    }

    fn global(&mut self) -> Result<(), PickleError> {
        let (module, name) = (self.line()?, self.line()?);
        let known = match (module, name) {
            ("torch._utils", "_rebuild_tensor_v2") => Some(Global::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Global::RebuildParameter),
            ("collections", "OrderedDict") => Some(Global::OrderedDict),
            ("argparse", "Namespace") => Some(Global::Namespace),
            ("torch", storage) => dtype(storage).map(Global::Storage),
            _ => None,
        };
        let Some(global) = known else {
            let name = format!("{module}.{name}").chars().take(100).collect();
            return Err(PickleError::Global { at: self.at, name });
        };
        self.push(Object::Global(global));
        Ok(())
    }

    /// BINPERSID: torch refers to a storage by `("storage", type, key, device, count)`.
    fn storage(&mut self) -> Result<(), PickleError> {
        let id = self.pop()?;
        let parts = self.tuple(id);
        if let [kind, class, key, _, count] = *parts
            && let (Object::Text(kind), Object::Global(class)) = (&self.objects[kind], &self.objects[class])
            && let (Object::Text(key), &Object::Int(count)) = (&self.objects[key], &self.objects[count])
            && let ("storage", Global::Storage(dtype)) = (&**kind, class)
        {
            let storage = Storage { dtype: *dtype, key: key.clone(), count };
            self.push(Object::Storage(storage));
            return Ok(());
        }
        self.misuse("BINPERSID on what is no reference to a storage")
    }

    fn reduce(&mut self) -> Result<(), PickleError> {
        let arguments = self.pop()?;
        let function = self.pop()?;
        let Object::Global(global) = self.objects[function] else {
            return self.misuse("REDUCE of what is no function");
        };
        match (global, self.tuple(arguments)) {
            (Global::OrderedDict, []) => self.push(Object::Dict(vec![])),
            (Global::RebuildParameter, &[tensor, ..]) if matches!(self.objects[tensor], Object::Tensor(_)) => {
                self.stack.push(tensor);
            }
            // `requires_grad` and the hooks matter only for training.
            (Global::RebuildTensor, &[storage, offset, shape, stride, ..]) => {
                let tensor = match (&self.objects[storage], &self.objects[offset], self.ints(shape), self.ints(stride))
                {
                    (Object::Storage(storage), &Object::Int(offset), Some(shape), Some(stride)) => {
                        Tensor { storage: storage.clone(), offset, shape, stride }
                    }
                    _ => {
                        return self.misuse(
                            "_rebuild_tensor_v2 without storage, offset, and a shape and stride of a few integers",
                        );
                    }
                };
                self.push(Object::Tensor(Box::new(tensor)));
            }
            _ => return self.misuse(format!("REDUCE of {global:?} with arguments that it does not take")),
        }
        Ok(())
    }

    fn new_object(&mut self) -> Result<(), PickleError> {
        let arguments = self.pop()?;
        let class = self.pop()?;
        match (&self.objects[class], &self.objects[arguments]) {
            (Object::Global(Global::Namespace), Object::Tuple(arguments)) if arguments.is_empty() => {
                self.push(Object::Namespace);
                Ok(())
            }
            _ => self.misuse("NEWOBJ of what is no argparse.Namespace"),
        }
    }

    /// BUILD sets an object's attributes: of a namespace, or `_metadata` of a state dict. They are not used.
    fn build(&mut self) -> Result<(), PickleError> {
        self.pop()?;
        let top = self.top()?;
        match self.objects[top] {
            Object::Namespace | Object::Dict(_) => Ok(()),
            _ => self.misuse("BUILD on what is neither an argparse.Namespace nor an OrderedDict"),
        }
    }

    /// The items of the tuple `id`; none when it is no tuple.
    fn tuple(&self, id: Id) -> &[Id] {
        if let Object::Tuple(items) = &self.objects[id] { items } else { &[] }
    }

    /// The numbers of the tuple `id`, when it is one of a few integers only.
    fn ints(&self, id: Id) -> Option<Vec<i64>> {
        let Object::Tuple(items) = &self.objects[id] else { return None };
        if items.len() > MOST_DIMENSIONS {
            return None;
        }
        let int = |&item: &Id| if let Object::Int(value) = self.objects[item] { Some(value) } else { None };
        items.iter().map(int).collect()
    }
}

/// The type of the storage class `torch.NAME`.
fn dtype(name: &str) -> Option<Dtype> {
    const OTHERS: [&str; 8] = [
        "LongStorage",
        "IntStorage",
        "ShortStorage",
        "CharStorage",
        "ByteStorage",
        "BoolStorage",
        "ComplexFloatStorage",
        "ComplexDoubleStorage",
    ];
    match name {
        "HalfStorage" => Some(Dtype::F16),
        "BFloat16Storage" => Some(Dtype::Bf16),
        "FloatStorage" => Some(Dtype::F32),
        "DoubleStorage" => Some(Dtype::F64),
        _ => OTHERS.into_iter().find(|&other| other == name).map(Dtype::Other),
    }
}
