//! Checkpoints of `PyTorch`: an official one against the same tensors in safetensors, views and types by hand, and
//! damaged or malicious files.

mod common;

use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::LazyLock;

use common::{parity_dirs, relative_error};
use marscope_core::checkpoint::{Checkpoint, CheckpointError, HostTensor, read_safetensors};
use marscope_training::checkpoint::{PickleError, Weights, WeightsError, read_pth, read_weights};
use proptest::prelude::*;
use proptest::sample::Index;
use zip::write::SimpleFileOptions;

fn read(dir: &Path, name: &str) -> Vec<u8> {
    let path = dir.join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn tensors(dir: &Path, name: &str) -> Checkpoint {
    read_safetensors(&read(dir, name)).unwrap_or_else(|error| panic!("{name} in {}: {error}", dir.display()))
}

/// An archive as `torch.save` writes it, with these records.
fn archive(records: &[(&str, &[u8])]) -> Vec<u8> {
    archive_by(zip::CompressionMethod::Stored, records)
}

fn archive_by(method: zip::CompressionMethod, records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(vec![]));
    for (name, content) in records {
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(format!("archive/{name}"), options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The bytes of pickled values, put together by hand.
mod pickled {
    pub fn file(root: &[u8]) -> Vec<u8> {
        [b"\x80\x02", root, b"."].concat()
    }

    pub fn global(module: &str, name: &str) -> Vec<u8> {
        format!("c{module}\n{name}\n").into_bytes()
    }

    pub fn text(text: &str) -> Vec<u8> {
        [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
    }

    /// LONG1, which takes any size.
    pub fn int(value: i64) -> Vec<u8> {
        [b"\x8a\x08", &value.to_le_bytes()[..]].concat()
    }

    pub fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
        [b"(", &items.concat()[..], b"t"].concat()
    }

    pub fn ints(values: &[i64]) -> Vec<u8> {
        tuple(&values.iter().map(|&value| int(value)).collect::<Vec<_>>())
    }

    pub fn ordered_dict() -> Vec<u8> {
        [&global("collections", "OrderedDict")[..], b")R"].concat()
    }

    pub fn dict(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let pairs: Vec<u8> = pairs.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
        [b"}(", &pairs[..], b"u"].concat()
    }

    pub fn storage(class: &str, key: &str, count: i64) -> Vec<u8> {
        let parts = [text("storage"), global("torch", class), text(key), text("cpu"), int(count)];
        [&tuple(&parts)[..], b"Q"].concat()
    }

    pub fn tensor(storage: Vec<u8>, offset: i64, shape: &[i64], stride: &[i64]) -> Vec<u8> {
        let arguments = [storage, int(offset), ints(shape), ints(stride), b"\x89".to_vec(), ordered_dict()];
        [global("torch._utils", "_rebuild_tensor_v2"), tuple(&arguments), b"R".to_vec()].concat()
    }
}
use pickled::{dict, file, global, int, ordered_dict, storage, tensor, text, tuple};

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A checkpoint with `tensors` as its model, over a storage `0` with the numbers 0 to 11.
fn model(tensors: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let numbers: Vec<f32> = (0..12u8).map(f32::from).collect();
    archive(&[("data.pkl", &file(&dict(&[("model", dict(tensors))]))), ("data/0", &f32s(&numbers))])
}

/// Why a checkpoint with this pickle is refused.
fn refusal(pickle: &[u8]) -> String {
    read_pth(&archive(&[("data.pkl", pickle)]), Weights::Raw).unwrap_err().to_string()
}

/// Why a checkpoint whose only tensor is this view of twelve f32 numbers is refused.
fn view_refusal(offset: i64, shape: &[i64], stride: &[i64]) -> String {
    let view = tensor(storage("FloatStorage", "0", 12), offset, shape, stride);
    read_pth(&model(&[("view", view)]), Weights::Raw).unwrap_err().to_string()
}

#[test]
fn the_moving_average_is_that_of_the_safetensors_file() {
    for dir in parity_dirs("mar-") {
        let found = read_pth(&read(&dir, "checkpoint.pth"), Weights::Ema).unwrap();
        assert!(found == tensors(&dir, "model.safetensors"), "{}: model_ema differs", dir.display());
    }
}

#[test]
fn the_raw_weights_are_those_after_the_recorded_step() {
    for dir in parity_dirs("mar-") {
        let found = read_pth(&read(&dir, "checkpoint.pth"), Weights::Raw).unwrap();
        let recorded = tensors(&dir, "train_step.safetensors");
        let stepped = |name: &str| recorded.get(&format!("adamw.{name}")).unwrap();
        let count = recorded.tensors.keys().filter(|name| name.starts_with("adamw.")).count();
        assert_eq!(found.tensors.len(), count, "{}", dir.display());
        for (name, tensor) in &found.tensors {
            assert_eq!(tensor.shape, stepped(name).shape, "{}: {name}", dir.display());
            let expected: Vec<f64> = stepped(name).data.iter().map(|&value| value.into()).collect();
            let error = relative_error(&tensor.data, &expected);
            assert!(error <= 1e-6, "{}: {name} is off by {error:.1e}", dir.display());
        }
    }
}

#[test]
fn the_start_of_a_file_tells_its_kind() {
    let dir = &parity_dirs("mar-")[0];
    let pth = read_weights(&read(dir, "checkpoint.pth"), Weights::Ema).unwrap();
    let safetensors = read_weights(&read(dir, "model.safetensors"), Weights::Ema).unwrap();
    assert!(pth == safetensors);
    assert!(matches!(
        read_weights(b"neither", Weights::Raw),
        Err(WeightsError::Checkpoint(CheckpointError::Safetensors(_)))
    ));
    let old = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    assert!(matches!(read_weights(old, Weights::Raw), Err(WeightsError::OldPth)));
}

#[test]
fn views_of_one_storage_are_read_by_stride_and_offset() {
    let view = |offset, shape: &[i64], stride: &[i64]| tensor(storage("FloatStorage", "0", 12), offset, shape, stride);
    let parameter = [
        global("torch._utils", "_rebuild_parameter"),
        tuple(&[view(8, &[4], &[1]), b"\x88".to_vec(), ordered_dict()]),
        b"R".to_vec(),
    ];
    let read = read_pth(
        &model(&[
            ("whole", view(0, &[3, 4], &[4, 1])),
            ("transposed", view(0, &[4, 3], &[1, 4])),
            ("columns", view(1, &[3, 2], &[4, 2])),
            ("repeated", view(5, &[2, 2], &[0, 1])),
            ("scalar", view(11, &[], &[])),
            ("empty", view(0, &[0, 4], &[4, 1])),
            ("parameter", parameter.concat()),
        ]),
        Weights::Raw,
    )
    .unwrap();
    let expect = |name: &str, shape: &[usize], data: &[u8]| {
        let data = data.iter().map(|&value| f32::from(value)).collect();
        assert_eq!(read.get(name).unwrap(), &HostTensor { shape: shape.to_vec(), data }, "{name}");
    };
    expect("whole", &[3, 4], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect("transposed", &[4, 3], &[0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
    expect("columns", &[3, 2], &[1, 3, 5, 7, 9, 11]);
    expect("repeated", &[2, 2], &[5, 6, 5, 6]);
    expect("scalar", &[], &[11]);
    expect("empty", &[0, 4], &[]);
    expect("parameter", &[4], &[8, 9, 10, 11]);
}

#[test]
fn every_float_type_is_widened() {
    let one = |class: &str, key: &str| tensor(storage(class, key, 2), 0, &[2], &[1]);
    let root = dict(&[
        ("half", one("HalfStorage", "h")),
        ("bfloat16", one("BFloat16Storage", "b")),
        ("double", one("DoubleStorage", "d")),
        ("norm.num_batches_tracked", one("LongStorage", "l")),
    ]);
    let records: [(&str, &[u8]); 5] = [
        ("data.pkl", &file(&root)),
        ("byteorder", b"little"),
        ("data/h", &[0x00, 0x3e, 0x00, 0xc0]),
        ("data/b", &[0xc0, 0x3f, 0x00, 0xc0]),
        ("data/d", &[1.5f64.to_le_bytes(), (-2f64).to_le_bytes()].concat()),
    ];
    // A bare state dict; the counter, an integer, is left out and its storage never looked for.
    let found = read_pth(&archive(&records), Weights::Raw).unwrap();
    assert_eq!(found.tensors.keys().collect::<Vec<_>>(), ["bfloat16", "double", "half"]);
    assert!(found.tensors.values().all(|tensor| tensor.data == [1.5, -2.0]));
}

#[test]
fn a_parameter_of_integers_is_refused() {
    let root = dict(&[("model", dict(&[("ids", tensor(storage("LongStorage", "0", 1), 0, &[1], &[1]))]))]);
    let bytes = archive(&[("data.pkl", &file(&root)), ("data/0", &[0; 8])]);
    let error = read_pth(&bytes, Weights::Raw).unwrap_err().to_string();
    assert!(error.contains("'ids' is stored as LongStorage"), "{error}");
}

#[test]
fn state_dicts_come_as_pytorch_writes_them() {
    // OrderedDict(), its items, then BUILD with `_metadata`, under latent diffusion's key.
    let items = [text("w"), tensor(storage("FloatStorage", "0", 1), 0, &[1], &[1])].concat();
    let metadata = dict(&[("_metadata", ordered_dict())]);
    let state = [&ordered_dict()[..], b"(", &items, b"u", &metadata, b"b"].concat();
    let root = dict(&[("epoch", int(-3)), ("state_dict", state)]);
    let bytes = archive(&[("data.pkl", &file(&root)), ("data/0", &f32s(&[7.0]))]);
    assert_eq!(read_pth(&bytes, Weights::Raw).unwrap().get("w").unwrap().data, [7.0]);
    let error = read_pth(&bytes, Weights::Ema).unwrap_err().to_string();
    assert!(error.contains("no 'model_ema'; it has 'epoch', 'state_dict'"), "{error}");
}

#[test]
fn big_endian_numbers_are_refused() {
    let bytes = archive(&[("data.pkl", &file(&dict(&[]))), ("byteorder", b"big")]);
    let error = read_pth(&bytes, Weights::Raw).unwrap_err().to_string();
    assert!(error.contains("byteorder") && error.contains("little"), "{error}");
}

#[test]
fn harmful_pickles_are_refused_by_name() {
    let command = tuple(&[text("echo harm")]);
    let system = [global("os", "system"), command.clone(), b"R".to_vec()].concat();
    assert!(refusal(&file(&system)).contains("'os.system'"));
    let eval = [global("builtins", "eval"), command.clone(), b"R".to_vec()].concat();
    assert!(refusal(&file(&eval)).contains("'builtins.eval'"));
    // Modules of torch are refused like others.
    assert!(refusal(&file(&global("torch.hub", "load"))).contains("'torch.hub.load'"));
    assert!(refusal(&file(&global("torch", "load"))).contains("'torch.load'"));
    // The names that are known can only be used as torch.save uses them.
    let called = [global("torch", "FloatStorage"), command.clone(), b"R".to_vec()].concat();
    assert!(refusal(&file(&called)).contains("REDUCE"));
    let made = [global("collections", "OrderedDict"), b")\x81".to_vec()].concat();
    assert!(refusal(&file(&made)).contains("NEWOBJ"));
    let attributes = dict(&[("__class__", int(1))]);
    let built = [global("argparse", "Namespace"), attributes.clone(), b"b".to_vec()].concat();
    assert!(refusal(&file(&built)).contains("BUILD"));
    let built = [&storage("FloatStorage", "0", 1)[..], &attributes, b"b"].concat();
    assert!(refusal(&file(&built)).contains("BUILD"));
    // INST, OBJ, STACK_GLOBAL, EXT1 and the text-based persistent id.
    for code in [b'i', b'o', 0x93, 0x82, b'P'] {
        assert!(refusal(&file(&[code])).contains(&format!("opcode {code:#04x}")));
    }
}

#[test]
fn malformed_pickles_are_refused_by_what_is_wrong() {
    assert!(refusal(b"\x80\x02").contains("cut short"));
    assert!(refusal(b"").contains("cut short"));
    assert!(refusal(b"\x80\x05.").contains("protocol 5"));
    for underflow in [&b"."[..], b"R", b"b", b"\x87", b"u", b"t", b"K\x01(.", b"K\x01(\x85", b"q\x00"] {
        assert!(refusal(&file(underflow)).contains("stack is empty"), "{underflow:?}");
    }
    assert!(refusal(&file(b"h\x07")).contains("memo 7"));
    assert!(refusal(&file(b"j\xff\xff\xff\xff")).contains("memo 4294967295"));
    assert!(refusal(&file(b"X\xff\xff\xff\xffabc")).contains("cut short"));
    assert!(refusal(&file(b"X\x01\x00\x00\x00\xff")).contains("UTF-8"));
    assert!(refusal(&file(b"\x8a\xff")).contains("255 bytes"));
    assert!(refusal(&file(b"K\x01K\x02a")).contains("APPEND"));
    assert!(refusal(&file(b"K\x01K\x02K\x03s")).contains("SETITEM"));
    assert!(refusal(&file(b"}(K\x01u")).contains("no value"));
    assert!(refusal(&file(b"K\x01Q")).contains("BINPERSID"));
    assert!(refusal(&file(b"cnever ends")).contains("cut short"));
    let long = vec![b'N'; 5 << 20];
    assert!(refusal(&long).contains("5242880 bytes"));
    // Nothing that was saved, under any of the keys.
    assert!(refusal(&file(b"N")).contains("no 'model'; it has no names at all"));
}

#[test]
fn nesting_and_circles_end() {
    let nested = [vec![b']'; 1 << 20], vec![b'a'; (1 << 20) - 1]].concat();
    assert!(refusal(&file(&nested)).contains("no 'model'"));
    // A dict that is its own model: d = {}; d["model"] = d.
    let circle = [b"}q\x00", &text("model")[..], b"h\x00s"].concat();
    assert!(refusal(&file(&circle)).contains("no 'model'"));
}

#[test]
fn views_beyond_their_storage_are_refused() {
    assert!(view_refusal(0, &[13], &[1]).contains("reaches number 12 of a storage of 12"));
    assert!(view_refusal(12, &[], &[]).contains("reaches number 12"));
    assert!(view_refusal(0, &[3, 4], &[5, 1]).contains("reaches number 13"));
    assert!(view_refusal(-1, &[1], &[1]).contains("offset -1"));
    assert!(view_refusal(0, &[-1], &[1]).contains("shape [-1]"));
    assert!(view_refusal(3, &[2], &[-1]).contains("strides [-1]"));
    assert!(view_refusal(0, &[2], &[]).contains("strides []"));
    assert!(view_refusal(0, &[i64::MAX, i64::MAX], &[0, 0]).contains("too large"));
    assert!(view_refusal(0, &[3], &[i64::MAX]).contains("too large"));
    assert!(view_refusal(i64::MAX, &[2], &[1]).contains("too large"));
    assert!(view_refusal(0, &[1; 17], &[1; 17]).contains("a few integers"));
    // Stride 0 may repeat one number, but not use more memory than the file has.
    assert!(view_refusal(0, &[1 << 40], &[0]).contains("more numbers than the file has bytes"));
}

#[test]
fn storages_that_are_not_as_announced_are_refused() {
    let announced = |class: &str, key: &str, count: i64| {
        let view = tensor(storage(class, key, count), 0, &[1], &[1]);
        read_pth(&model(&[("w", view)]), Weights::Raw).unwrap_err().to_string()
    };
    assert!(announced("FloatStorage", "0", 13).contains("data/0 in the checkpoint: has 48 bytes"));
    assert!(announced("FloatStorage", "0", i64::MAX).contains("has 48 bytes"));
    assert!(announced("DoubleStorage", "0", 12).contains("not 12 numbers of 8 bytes"));
    assert!(announced("FloatStorage", "1", 12).contains("data/1"));
    assert!(announced("FloatStorage", "../data.pkl", 12).contains("data/../data.pkl"));
}

#[test]
fn archives_that_are_not_of_torch_save_are_refused() {
    let error = read_pth(&archive(&[("readme.txt", b"hello")]), Weights::Raw).unwrap_err().to_string();
    assert!(error.contains("torch.save did not write this"), "{error}");
    assert!(matches!(read_pth(b"PK\x03\x04", Weights::Raw), Err(WeightsError::Zip(_))));
    let compressed = archive_by(zip::CompressionMethod::DEFLATE, &[("data.pkl", &file(&dict(&[])))]);
    let error = read_pth(&compressed, Weights::Raw).unwrap_err().to_string();
    assert!(error.contains("is compressed"), "{error}");
    let good = model(&[("w", tensor(storage("FloatStorage", "0", 12), 0, &[12], &[1]))]);
    // A number changed in its storage no longer matches the record's checksum.
    let mut damaged = good.clone();
    let at = damaged.windows(4).position(|bytes| bytes == 11f32.to_le_bytes()).unwrap();
    damaged[at] ^= 1;
    let error = read_pth(&damaged, Weights::Raw).unwrap_err().to_string();
    assert!(error.contains("data/0"), "{error}");
    read_pth(&good, Weights::Raw).unwrap();
}

#[test]
fn pickle_errors_are_told_apart() {
    let error = read_pth(&archive(&[("data.pkl", &file(b"h\x07"))]), Weights::Raw).unwrap_err();
    assert!(matches!(error, WeightsError::Pickle(PickleError::Memo { at: 2, index: 7 })), "{error}");
}

/// Two tensors, a namespace and nested settings: every opcode that official checkpoints hold.
fn specimen() -> Vec<u8> {
    let view = |shape: &[i64], stride: &[i64]| tensor(storage("FloatStorage", "0", 12), 0, shape, stride);
    let remembered = [view(&[4, 3], &[1, 4]), b"q\x01r\x00\x01\x00\x00".to_vec()].concat();
    let weights = dict(&[("a", view(&[3, 4], &[4, 1])), ("b", remembered)]);
    let list = b"](K\x01M\x02\x00J\x03\x00\x00\x00Nh\x01j\x00\x01\x00\x00eN\x85aK\x01K\x02\x86a".to_vec();
    let rate = b"G\x3f\xf0\x00\x00\x00\x00\x00\x00".to_vec();
    let namespace = [&global("argparse", "Namespace")[..], b")\x81", &dict(&[("lr", rate)]), b"b"].concat();
    file(&dict(&[("model", weights), ("list", list), ("args", namespace)]))
}

#[test]
fn the_specimen_is_sound() {
    let bytes = archive(&[("data.pkl", &specimen()), ("data/0", &f32s(&[0.5; 12]))]);
    assert_eq!(read_pth(&bytes, Weights::Raw).unwrap().tensors.keys().collect::<Vec<_>>(), ["a", "b"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The checksum is made anew, so that the damage reaches the parser.
    #[test]
    fn no_damage_to_a_pickle_panics(
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6),
        keep in 0.5f64..1.5,
    ) {
        let mut pickle = specimen();
        for (place, value) in changes {
            let place = place.index(pickle.len());
            pickle[place] = value;
        }
        pickle.truncate((pickle.len() as f64 * keep) as usize);
        let bytes = archive(&[("data.pkl", &pickle), ("data/0", &f32s(&[0.5; 12]))]);
        for weights in [Weights::Raw, Weights::Ema] {
            let _ = read_pth(&bytes, weights);
        }
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = read_weights(&bytes, Weights::Raw);
        let _ = read_pth(&archive(&[("data.pkl", &bytes)]), Weights::Raw);
    }

    #[test]
    fn no_damage_to_an_archive_panics(place: Index, value: u8, keep in 0.5f64..1.5) {
        let mut bytes = archive(&[("data.pkl", &specimen()), ("data/0", &f32s(&[0.5; 12]))]);
        let place = place.index(bytes.len());
        bytes[place] = value;
        bytes.truncate((bytes.len() as f64 * keep) as usize);
        let _ = read_weights(&bytes, Weights::Raw);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_damage_to_an_official_checkpoint_panics(
        place: Index,
        value: u8,
        cut in prop::option::of(any::<Index>()),
    ) {

        static OFFICIAL: LazyLock<Vec<u8>> = LazyLock::new(|| read(&parity_dirs("mar-")[0], "checkpoint.pth"));
        let mut bytes = OFFICIAL.clone();
        let place = place.index(bytes.len());
        bytes[place] = value;
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = read_weights(&bytes, Weights::Ema);
    }
}
