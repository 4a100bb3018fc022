use super::*;

fn checkpoint() -> Checkpoint {
    let tensor = |shape: &[usize], data: &[f32]| HostTensor { shape: shape.to_vec(), data: data.to_vec() };
    let tensors = [("a", tensor(&[2, 2], &[1.0, -0.5, 0.25, 3.0])), ("b", tensor(&[3], &[0.1, 2.0, -7.5]))];
    Checkpoint { tensors: tensors.map(|(name, tensor)| (name.to_owned(), tensor)).into() }
}

/// A file of one tensor `x` of `dtype`, `[numbers]`.
fn file(dtype: &str, numbers: usize, bytes: &[u8]) -> Vec<u8> {
    let end = bytes.len();
    let header = format!(r#"{{"x":{{"dtype":"{dtype}","shape":[{numbers}],"data_offsets":[0,{end}]}}}}"#);
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), bytes].concat()
}

#[test]
fn a_view_has_the_stored_type_and_no_copy() {
    let bytes = write_safetensors(&checkpoint(), Precision::F16).unwrap();
    let file = Safetensors::new(bytes.as_slice()).unwrap();
    let view = file.tensor("a").unwrap();
    assert_eq!(view.info, TensorInfo { name: "a", dtype: Dtype::F16, shape: &[2, 2] });
    assert!(matches!(view.bytes, std::borrow::Cow::Borrowed(_)));
    assert_eq!(view.to_f32(), [1.0, -0.5, 0.25, 3.0]);
    let mut row = [0.0; 2];
    view.copy_to(2, &mut row);
    assert_eq!(row.to_vec(), [0.25, 3.0]);
}

#[test]
fn every_float_type_is_widened() {
    let values = [1.5f32, -0.25, 96.0];
    let bytes = |one: fn(f32) -> Vec<u8>| values.iter().flat_map(|&value| one(value)).collect::<Vec<u8>>();
    for (dtype, bytes) in [
        ("F32", bytes(|v| v.to_le_bytes().to_vec())),
        ("F16", bytes(|v| half::f16::from_f32(v).to_le_bytes().to_vec())),
        ("BF16", bytes(|v| half::bf16::from_f32(v).to_le_bytes().to_vec())),
        ("F64", bytes(|v| f64::from(v).to_le_bytes().to_vec())),
    ] {
        assert_eq!(read_safetensors(&file(dtype, 3, &bytes)).unwrap().tensors["x"].data, values, "{dtype}");
    }
    let error = read_safetensors(&file("I32", 1, &[0; 4])).unwrap_err();
    assert_eq!(error.to_string(), "tensor 'x' is stored as I32; marscope reads f32, f16, bf16 and f64");
}

#[test]
fn a_checkpoint_is_its_own_source() {
    let checkpoint = checkpoint();
    assert_eq!(Checkpoint::read(&checkpoint).unwrap(), checkpoint);
    assert_eq!(checkpoint.tensor("b").unwrap().to_f32(), checkpoint.tensors["b"].data);
    assert!(matches!(checkpoint.tensor("c"), Err(CheckpointError::Missing { .. })));
}

#[test]
fn a_file_on_disk_is_read_in_parts() {
    let path = std::env::temp_dir().join(format!("marscope-checkpoint-{}.safetensors", std::process::id()));
    std::fs::write(&path, write_safetensors(&checkpoint(), Precision::F32).unwrap()).unwrap();
    let file = Safetensors::open(&path).unwrap();
    let read = Checkpoint::read(&file);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(read.unwrap(), checkpoint());
    assert!(matches!(Safetensors::open(&path), Err(CheckpointError::Read(_))));
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let bytes = write_safetensors(&checkpoint(), Precision::F32).unwrap();
    for end in 0..bytes.len() {
        let cut = Safetensors::new(&bytes[..end]).err();
        assert!(matches!(cut, Some(CheckpointError::Safetensors(_))), "cut at {end}: {cut:?}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(matches!(Safetensors::new(longer.as_slice()), Err(CheckpointError::Safetensors(_))));
}

#[test]
fn a_number_that_is_not_finite_is_named() {
    let view_of = |values: &[f32]| {
        let data = values.to_vec();
        Checkpoint { tensors: [("x".to_owned(), HostTensor { shape: vec![values.len()], data })].into() }
    };
    let error = |values: &[f32], shape: &[usize]| view_of(values).tensor("x").unwrap().expect(shape).unwrap_err();
    let found = error(&[1.0, f32::INFINITY, f32::NAN], &[3]);
    assert!(matches!(found, CheckpointError::NotFinite { at: 1, value: f32::INFINITY, .. }), "{found}");
    let found = error(&[1.0], &[2]);
    assert_eq!(found.to_string(), "tensor 'x' has shape [1], but the configuration asks for [2]");
}
