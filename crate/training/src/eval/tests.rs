//! `evaluate` with an untrained network, on images with known results.

use std::sync::Arc;

use burn::tensor::Device;

use super::baseline::first_of_each;
use super::classifier::{Classifier, ClassifierShape};
use super::inception_score::InceptionScore;
use super::neighbours::Neighbours;
use super::parts::{PartsFigures, PartsNetwork, Questions};
use super::precision_recall::PrecisionRecall;
use super::*;
use crate::model::Mar;
use marscope_core::config::WeightsConfig;

/// 8x8 images of four tokens, three classes.
pub(super) fn pipeline() -> Pipeline {
    let json = r#"{
        "version": 1, "name": "tiny", "classes": ["dot", "line", "ring"], "tokenizer": "pixel", "clip_denoised": true,
        "defaults": { "cfg": 2.0, "iterations": 3, "steps": 5, "temperature": 0.9 },
        "model": {
            "img_size": 8, "vae_stride": 1, "patch_size": 4, "vae_embed_dim": 1,
            "encoder_embed_dim": 16, "encoder_depth": 1, "encoder_num_heads": 2,
            "decoder_embed_dim": 16, "decoder_depth": 1, "decoder_num_heads": 2,
            "class_num": 3, "buffer_size": 2, "diffloss_d": 1, "diffloss_w": 16, "num_sampling_steps": "5"
        }
    }"#;
    let config = WeightsConfig::parse(json).unwrap();
    let network = Mar::init(&config.model, 1, &Device::flex());
    Pipeline::new(config, Arc::new(network))
}

fn classifier(classes: usize) -> Classifier {
    Classifier::init(ClassifierShape { channels: 1, side: 8, classes }, 2, &Device::flex())
}

fn options(pipeline: &Pipeline, count: usize) -> EvalOptions {
    EvalOptions { count, ..EvalOptions::of(pipeline) }
}

#[test]
fn options_start_from_the_weights_own() {
    let pipeline = pipeline();
    let EvalOptions { settings, count, seed, precision_recall, neighbours } = EvalOptions::of(&pipeline);
    assert_eq!((settings.iterations, settings.steps), (3, 5.into()));
    assert_eq!((settings.cfg, settings.temperature, count, seed), (2.0, 0.9, 1_000, 1));
    assert!(neighbours && !precision_recall);
}

#[test]
fn an_image_depends_on_its_seed_and_class_alone() {
    let pipeline = pipeline();
    let few = generate(&pipeline, &options(&pipeline, 9)).unwrap().images;
    assert_eq!(few.labels, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
    // More than one batch of 100: the same images come first, and the last ones have the next seeds.
    let many = generate(&pipeline, &options(&pipeline, 102)).unwrap().images;
    assert_eq!(many.pixels[..few.pixels.len()], few.pixels);
    let last = generate(&pipeline, &EvalOptions { seed: 100, ..options(&pipeline, 3) }).unwrap().images;
    assert_eq!(many.pixels[99 * 64..], last.pixels);
}

#[test]
fn images_measured_against_themselves() {
    let pipeline = pipeline();
    let options = options(&pipeline, 30);
    let images = generate(&pipeline, &options).unwrap().images;
    // The test set equals the images that will be generated; the training set is far from it, except for one image.
    let mut train = ImageSet { pixels: vec![0; 60 * 64], labels: images.labels.repeat(2), ..images };
    train.pixels[..64].copy_from_slice(images.image(7));
    let real = Real { data: Some(EvalData { train, test: images.clone() }), reference: None };
    let classifier = classifier(3);
    let report = evaluate(&pipeline, &classifier, &real, &options).unwrap();

    assert!(report.frechet.abs() < 1e-6 && report.frechet_floor.unwrap() > 1e-3, "{report:?}");
    let classified = report.classified.unwrap();
    assert!((classified - classifier.accuracy(&images)).abs() < 1e-12);
    assert!((classified - report.classifier_accuracy.unwrap()).abs() < 1e-12);
    let shares = report.classes.iter().map(|class| class.generated);
    assert!((shares.sum::<f64>() / 3.0 - classified).abs() < 1e-12);
    let near = report.neighbours.unwrap();
    assert!((near.generated_median - near.test_median).abs() < 1e-12);
    assert!((near.nearer_share - 1.0 / 30.0).abs() < 1e-12, "{near:?}");
    assert!(report.images_per_second.unwrap() > 0.0);
    assert_eq!((report.seam_ratio, report.parts), (report.real_seam_ratio, None));
    let ratio = report.frechet / report.frechet_floor.unwrap();
    assert!((report.frechet_ratio.unwrap() - ratio).abs() < 1e-12);
}

#[test]
fn copies_of_training_images_are_noticed() {
    let pipeline = pipeline();
    let options = options(&pipeline, 12);
    let train = generate(&pipeline, &options).unwrap().images;
    let test = ImageSet { pixels: train.pixels.iter().map(|byte| 255 - byte).collect(), ..train.clone() };
    let real = Real { data: Some(EvalData { train, test }), reference: None };
    let near = evaluate(&pipeline, &classifier(3), &real, &options).unwrap().neighbours.unwrap();
    assert!(near.generated_median.abs() < 1e-12);
    assert!((near.nearer_share - 1.0).abs() < 1e-12);
    assert!(near.test_median > 1.0);
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_generated() {
    let pipeline = pipeline();
    let options = options(&pipeline, 6);
    let images = generate(&pipeline, &options).unwrap().images;
    let data = EvalData { train: images.clone(), test: images.clone() };
    let refused = |classifier: &Classifier, data: &EvalData, options: &EvalOptions| {
        let real = Real { data: Some(data.clone()), reference: None };
        evaluate(&pipeline, classifier, &real, options).unwrap_err().to_string()
    };
    assert!(refused(&classifier(4), &data, &options).contains("classifier is for"));
    let mut test = images.clone();
    test.labels[3] = 9;
    let mislabelled = EvalData { test, ..data.clone() };
    assert!(refused(&classifier(3), &mislabelled, &options).contains("test data holds label 9"));
    let smaller = ImageSet { side: 4, ..images };
    let resized = EvalData { train: smaller, ..data.clone() };
    assert!(refused(&classifier(3), &resized, &options).contains("training data is for"));
    let few = EvalOptions { count: 2, ..options.clone() };
    assert!(refused(&classifier(3), &data, &few).contains("at least 3"));
    let mut endless = options;
    endless.settings.iterations = 5;
    assert!(refused(&classifier(3), &data, &endless).contains("give 1 to 4"));
}

#[test]
fn the_first_of_each_class_are_taken() {
    let labels = vec![0, 0, 0, 1, 2, 1, 0, 1];
    let pixels = (0..8).collect();
    let images = ImageSet { pixels, labels, channels: 1, side: 1 };
    let taken = first_of_each(&images, 3, 5);
    assert_eq!((taken.labels, taken.pixels), (vec![0, 0, 1, 2, 1], vec![0, 1, 3, 4, 5]));
    assert_eq!(first_of_each(&images, 3, 100), images);
}

#[test]
fn a_report_reads_as_a_table_and_as_json() {
    let pipeline = pipeline();
    let report = Report {
        weights: "tiny".into(),
        options: options(&pipeline, 30),
        features: "classifier".into(),
        reference: "test set".into(),
        classified: Some(0.9),
        classifier_accuracy: Some(0.925),
        classes: vec![ClassShares { name: "dot".into(), generated: 1.0, real: 0.875 }],
        frechet: 12.5,
        frechet_floor: Some(1.25),
        frechet_ratio: Some(10.0),
        spatial_frechet: None,
        spatial_frechet_floor: None,
        inception_score: None,
        real_inception_score: None,
        precision_recall: None,
        real_precision_recall: None,
        seam_ratio: Some(1.5),
        real_seam_ratio: Some(1.0625),
        parts: Some(PartsFigures {
            coverage: 0.875,
            real_coverage: 0.98,
            distance: 0.25,
            real_distance: 0.125,
            certainty: 0.72,
            real_certainty: 0.8,
        }),
        neighbours: Some(Neighbours {
            generated_median: 5.5,
            test_median: 6.0,
            test_first_percentile: 2.0,
            nearer_share: 0.02,
        }),
        seconds: Some(4.0),
        images_per_second: Some(7.5),
    };
    let expected = "\
tiny: 30 images from seed 1; cfg 2 (linear), 3 iterations, 5 diffusion steps, temperature 0.9

                                              generated       real
classified as the class asked for                90.0 %     92.5 %
Frechet distance to the test set                 12.500      1.250
  over that of as many real images               10.000      1.000
coverage: values of parts that occur             87.5 %     98.0 %
distance of the parts' frequencies                0.250      0.125
certainty about the parts                         0.720      0.800
  over that of real images                        0.900      1.000
step across token borders over step inside        1.500      1.062
nearest training image, median distance           5.500      6.000
nearer than the nearest 1 % of test images        2.0 %      1.0 %

classified as the class asked for, by class
  dot                                           100.0 %     87.5 %

4.0 s, 7.50 images/s";
    assert_eq!(report.to_string(), expected);
    round_trip(&report, r#""frechetFloor":1.25"#);

    let field = Report {
        features: "inception".into(),
        reference: "reference".into(),
        classified: None,
        classifier_accuracy: None,
        classes: Vec::new(),
        frechet_floor: None,
        frechet_ratio: None,
        spatial_frechet: Some(20.0),
        inception_score: Some(InceptionScore { mean: 150.5, deviation: 2.25 }),
        real_inception_score: Some(InceptionScore { mean: 230.0, deviation: 0.0 }),
        precision_recall: Some(PrecisionRecall { precision: 0.8, recall: 0.625 }),
        real_precision_recall: Some(PrecisionRecall { precision: 0.75, recall: 0.5 }),
        seam_ratio: None,
        parts: None,
        neighbours: None,
        seconds: None,
        images_per_second: None,
        ..report
    };
    let expected = "\
tiny: 30 images

                                              generated       real
FID to the reference                             12.500          -
sFID to the reference                            20.000          -
Inception Score                                 150.500    230.000
  its deviation over splits of 5,000              2.250      0.000
precision                                         0.800      0.750
recall                                            0.625      0.500
";
    assert_eq!(field.to_string(), expected);
    round_trip(&field, r#""recall":0.625"#);
}

fn round_trip(report: &Report, part: &str) {
    let json = serde_json::to_string(report).unwrap();
    assert!(json.contains(part), "{json}");
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), *report);
}

/// The results are the same whether the reference is a folder of images or a file of statistics and images.
#[test]
fn a_reference_from_a_file_is_as_good_as_one_from_a_folder() {
    let pipeline = pipeline();
    let options = EvalOptions { precision_recall: true, ..options(&pipeline, 30) };
    let images = generate(&pipeline, &EvalOptions { seed: 500, ..options.clone() }).unwrap().images;
    let classifier = classifier(3);
    let data = EvalData { train: images.clone(), test: images.clone() };
    let with_data = Real { data: Some(data), reference: None };
    let baseline = Baseline::measure_real(&pipeline.config, &classifier, &with_data, &options).unwrap();
    let generated = generate(&pipeline, &options).unwrap();
    let expected = baseline.compare(&generated).unwrap();
    let precision = expected.precision_recall.unwrap().precision;
    assert!(precision > 0.0 && precision <= 1.0, "{precision}");

    let statistics = baseline.reference().clone();
    let file = ReferenceBatch { statistics: Some(statistics.clone()), images: Some(images) };
    let with_file = Real { data: None, reference: Some(file) };
    let baseline = Baseline::measure_real(&pipeline.config, &classifier, &with_file, &options).unwrap();
    let found = baseline.compare(&generated).unwrap();
    assert_eq!((found.frechet, found.precision_recall), (expected.frechet, expected.precision_recall));
    assert_eq!((found.classified, found.classifier_accuracy, found.frechet_floor), (expected.classified, None, None));

    let refused =
        |real: &Real, options: &EvalOptions| evaluate(&pipeline, &classifier, real, options).unwrap_err().to_string();
    let alone = ReferenceBatch { statistics: Some(statistics), images: None };
    assert!(refused(&Real { data: None, reference: Some(alone) }, &options).contains("statistics alone"));
    assert!(refused(&Real::default(), &options).contains("no real images"));
    let three = EvalOptions { count: 3, ..options.clone() };
    assert!(refused(&with_file, &three).contains("there are 3 of one"));
}

/// Pictures of 16 x 16 pixels, so that the parts network takes them; what it finds does not matter here, only that it is the same
/// for the same pictures.
#[test]
fn parts_are_measured_beside_those_of_as_many_real_images() {
    let mut config = pipeline().config;
    (config.model.img_size, config.model.patch_size) = (16, 8);
    let value = r#"{"value":"x","share":0.5,"counts":true}"#;
    let question =
        |class| format!(r#"{{"class":{class},"part":"p","accuracy":1,"rare":0,"values":[{value},{value},{value}]}}"#);
    let questions: Vec<String> = (0..3).map(question).collect();
    let json =
        format!(r#"{{"channels":1,"side":16,"classes":["dot","line","ring"],"questions":[{}]}}"#, questions.join(","));
    let network = PartsNetwork::init(Questions::parse(&json).unwrap(), 5, &Device::flex());
    let noise = |seed: u64| {
        let mut stream = marscope_core::random::Philox::new(seed).stream(0, 0);
        let pixels = (0..60 * 256).map(|_| stream.below(256) as u8).collect();
        ImageSet { pixels, labels: (0..60).map(|i| i % 3).collect(), channels: 1, side: 16 }
    };
    let (train, test) = (noise(1), noise(2));
    let real = Real { data: Some(EvalData { train: train.clone(), test: test.clone() }), reference: None };
    let options = EvalOptions { count: 60, neighbours: false, ..EvalOptions::of(&pipeline()) };
    let baseline = Baseline::measure_real(&config, &network, &real, &options).unwrap().with_parts(&network).unwrap();
    let report = |images| baseline.compare(&Generated { images, seconds: None }).unwrap();
    let same = report(test);
    let parts = same.parts.unwrap();
    assert!((parts.coverage - 1.0).abs() < 1e-12 && parts.distance.abs() < 1e-12, "{parts:?}");
    assert!((parts.certainty_ratio() - 1.0).abs() < 1e-12 && parts.real_distance > 0.0);
    // Training images have the place of generated ones: that is the floor.
    let floor = report(train);
    let parts = floor.parts.unwrap();
    assert_eq!((parts.coverage, parts.distance), (parts.real_coverage, parts.real_distance));
    assert!((floor.frechet_ratio.unwrap() - 1.0).abs() < 1e-9, "{floor:?}");
    assert_eq!((floor.neighbours, floor.seconds, &*floor.features), (None, None, "parts"));
    assert!(floor.seam_ratio.is_some() && floor.real_seam_ratio == same.seam_ratio);
}
