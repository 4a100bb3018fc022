//! Cached latents against the autoencoder itself, on the repository's images.
#![cfg(feature = "cli")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::{Tensor, TensorData};
use common::{burn_device, parity_dirs};
use marscope_core::checkpoint::{Precision, read_safetensors};
use marscope_core::random::Philox;
use marscope_core::tokenizer::KlConfig;
use marscope_training::autoencoder::Kl;
use marscope_training::data::{
    DataError, EncodeError, EncodeOptions, ImageSet, Index, Latents, Layout, OpenOptions, Progress, Split, encode,
    open, open_images,
};
use safetensors::{Dtype, SafeTensors};

/// Small, for speed: latents of 4 x 4 x 4.
const SIDE: usize = 8;
/// Numbers of a latent's moments.
const EACH: usize = 2 * 4 * 4 * 4;

fn images() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/fashion-mnist")
}

fn kl() -> Kl {
    let folder = &parity_dirs("kl-")[0];
    let config = KlConfig::parse(&fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
    let checkpoint = read_safetensors(&fs::read(folder.join("model.safetensors")).unwrap()).unwrap();
    Kl::load(&config, &checkpoint, &burn_device()).unwrap()
}

fn options() -> EncodeOptions {
    EncodeOptions {
        source: "images".into(),
        split: Split::Train,
        kl: "tiny".into(),
        flips: true,
        precision: Precision::F16,
        per_shard: 150,
        batch: 40,
        max_bad: 0,
        scale: None,
    }
}

fn run(
    from: &Path,
    out: &Path,
    options: &EncodeOptions,
    stop: &AtomicBool,
    progress: impl FnMut(Progress),
) -> Result<Option<Index>, EncodeError> {
    let data = open_images(from, Split::Train, Some(SIDE)).unwrap();
    encode(&kl(), &burn_device(), &data, out, options, stop, progress)
}

fn cache(out: &Path, options: &EncodeOptions) -> Index {
    run(&images(), out, options, &AtomicBool::new(false), |_| ()).unwrap().expect("nobody stopped it")
}

/// Every file of a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())).collect()
}

#[test]
fn what_is_cached_is_what_the_autoencoder_gives() {
    let folder = tempfile::tempdir().unwrap();
    let index = cache(folder.path(), &EncodeOptions { precision: Precision::F32, ..options() });
    assert_eq!((index.count, index.classes.len(), index.unreadable.len()), (500, 10, 0));
    assert_eq!(index.shards.iter().map(|shard| shard.rows).collect::<Vec<_>>(), [150, 150, 150, 50]);
    assert_eq!(Index::read(folder.path()).unwrap(), index);

    let set = ImageSet::read_scaled(&images(), Split::Train, Some(SIDE)).unwrap();
    let kl = kl();
    for image in [0, 149, 150, 377, 499] {
        let bytes = fs::read(folder.path().join(&index.shards[image / 150].file)).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let (labels, moments) = (file.tensor("labels").unwrap(), file.tensor("moments").unwrap());
        let rows = index.shards[image / 150].rows;
        assert_eq!((moments.dtype(), moments.shape()), (Dtype::F32, &[rows, 2, 8, 4, 4][..]));
        let label = i64::from_le_bytes(labels.data()[image % 150 * 8..][..8].try_into().unwrap());
        assert_eq!(label, i64::from(set.labels[image]));

        let found: Vec<f32> =
            bytemuck::pod_collect_to_vec(&moments.data()[image % 150 * 2 * EACH * 4..][..2 * EACH * 4]);
        for (view, found) in found.chunks_exact(EACH).enumerate() {
            let pixel = |at: usize| {
                let (y, x) = (at / SIDE % SIDE, at % SIDE);
                let x = if view == 1 { SIDE - 1 - x } else { x };
                f32::from(set.image(image)[y * SIDE + x]) / 127.5 - 1.0
            };
            // Grey in each of three channels.
            let pixels: Vec<f32> = (0..3 * SIDE * SIDE).map(pixel).collect();
            let tensor = Tensor::from_data(TensorData::new(pixels, [1, 3, SIDE, SIDE]), &burn_device());
            let posterior = kl.encode(tensor);
            let expected =
                [posterior.mean, posterior.logvar].map(|half| half.into_data().try_into_vec::<f32>().unwrap());
            for (found, expected) in found.iter().zip(expected.concat()) {
                assert!((found - expected).abs() < 1e-4, "image {image}, view {view}: {found} and {expected}");
            }
        }
    }
}

#[test]
fn resumed_is_the_same_as_uninterrupted() {
    let (whole, resumed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    cache(whole.path(), &options());

    let stop = AtomicBool::new(false);
    let stopped = run(&images(), resumed.path(), &options(), &stop, |progress| {
        stop.store(progress.images >= 200, Ordering::Relaxed);
    });
    assert_eq!(stopped.unwrap(), None);
    assert_eq!(files(resumed.path()).into_keys().collect::<Vec<_>>(), ["latents-00000.safetensors"]);
    let unfinished = Latents::open(resumed.path(), 1).unwrap_err();
    assert!(matches!(unfinished, DataError::Unfinished(_)), "{unfinished:?}");

    // What a kill leaves behind.
    fs::write(resumed.path().join("latents-00001.safetensors.partial"), "half").unwrap();
    let mut found = 0;
    run(&images(), resumed.path(), &options(), &AtomicBool::new(false), |progress| found = progress.resumed).unwrap();
    assert_eq!(found, 150);
    assert_eq!(files(resumed.path()), files(whole.path()));
}

#[test]
fn the_measured_scale_makes_samples_of_unit_deviation() {
    let folder = tempfile::tempdir().unwrap();
    let index = cache(folder.path(), &options());
    assert_eq!(index.scale.to_bits(), index.measured_scale.to_bits());
    let options = OpenOptions { split: Split::Train, side: None, patch: 1, flip: true };
    let opened = open(folder.path(), &options).unwrap();
    assert_eq!((opened.layout, opened.latent_scale), (Layout::Latents, Some(index.scale as f32)));

    let philox = Philox::new(9);
    let samples: Vec<f64> = (0..2 * opened.dataset.len())
        .flat_map(|at| opened.dataset.example(at % 500, &mut philox.stream(0, at as u32)).unwrap().tokens)
        .map(f64::from)
        .collect();
    let mean = samples.iter().sum::<f64>() / samples.len() as f64;
    let variance = samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / samples.len() as f64;
    // 64,000 samples: the deviation is known to about 0.3%.
    assert!((variance.sqrt() - 1.0).abs() < 0.01, "{}", variance.sqrt());
}

#[test]
fn half_precision_rounds_and_another_scale_is_noted() {
    let (half, single) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let few = |precision| EncodeOptions { precision, per_shard: 500, scale: Some(0.25), ..options() };
    let index = cache(half.path(), &few(Precision::F16));
    let exact = cache(single.path(), &few(Precision::F32));
    assert_eq!((index.scale, exact.scale), (0.25, 0.25));
    assert!((index.measured_scale / exact.measured_scale - 1.0).abs() < 1e-3);
    let example = |folder: &Path| {
        let opened = Latents::open(folder, 2).unwrap();
        marscope_training::data::Dataset::example(&opened, 3, &mut Philox::new(1).stream(0, 0)).unwrap()
    };
    let (found, expected) = (example(half.path()), example(single.path()));
    assert_eq!(found.label, expected.label);
    assert!(found.tokens.iter().zip(&expected.tokens).all(|(a, b)| (a - b).abs() < 1e-2 * b.abs().max(1.0)));
    assert_ne!(found.tokens, expected.tokens);
}

#[test]
fn a_cache_of_other_settings_and_sides_that_do_not_fit_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let small = tempfile::tempdir().unwrap();
    write_folder(small.path());
    let go = |options: &EncodeOptions| run(small.path(), folder.path(), options, &AtomicBool::new(false), |_| ());
    let bearing = EncodeOptions { max_bad: 1, ..options() };
    go(&bearing).unwrap();
    let error = go(&EncodeOptions { kl: "other".into(), ..bearing.clone() }).unwrap_err().to_string();
    assert!(error.contains("of another autoencoder"), "{error}");
    assert!(matches!(go(&EncodeOptions { flips: false, ..bearing }), Err(EncodeError::Other { .. })));

    let data = open_images(small.path(), Split::Train, Some(15)).unwrap();
    let odd = encode(&kl(), &burn_device(), &data, folder.path(), &options(), &AtomicBool::new(false), |_| ());
    assert!(odd.unwrap_err().to_string().contains("--side that 2 divides"));
}

/// Two classes of two images, of which one is cut short.
fn write_folder(root: &Path) {
    for (class, name) in [("cat", "0.png"), ("cat", "1.jpg"), ("dog", "0.jpg"), ("dog", "1.png")] {
        fs::create_dir_all(root.join(class)).unwrap();
        let picture = image::RgbImage::from_fn(24, 20, |x, y| image::Rgb([(x * 9) as u8, (y * 11) as u8, 80]));
        picture.save(root.join(class).join(name)).unwrap();
    }
    let cut = root.join("dog/0.jpg");
    let whole = fs::read(&cut).unwrap();
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
}

#[test]
fn unreadable_images_are_left_out_and_named_up_to_a_limit() {
    let (from, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_folder(from.path());
    let go = |options: &EncodeOptions| run(from.path(), out.path(), options, &AtomicBool::new(false), |_| ());
    let error = go(&options()).unwrap_err().to_string();
    assert!(error.contains("1 images cannot be read, and --max-bad allows 0") && error.contains("0.jpg"), "{error}");
    assert!(files(out.path()).is_empty());

    let index = go(&EncodeOptions { max_bad: 1, ..options() }).unwrap().unwrap();
    assert_eq!((index.count, &index.classes[..]), (3, &["cat".to_owned(), "dog".to_owned()][..]));
    assert_eq!(index.unreadable[0].path, from.path().join("dog/0.jpg"));
    let latents = Latents::open(out.path(), 1).unwrap();
    let label = |index| {
        marscope_training::data::Dataset::example(&latents, index, &mut Philox::new(1).stream(0, 0)).unwrap().label
    };
    assert_eq!([0, 1, 2].map(label), [0, 0, 1]);
}
