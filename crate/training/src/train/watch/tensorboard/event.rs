//! The messages in TensorBoard's event files that a training run needs.
//! Field numbers are those of TensorFlow's `event.proto` and `summary.proto`.

use prost::{Enumeration, Message, Oneof};

/// One record of an event file.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    /// Step of the training.
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// The record's content.
    #[prost(oneof = "What", tags = "3, 5, 7")]
    pub what: Option<What>,
}

/// A record's content.
#[derive(Clone, PartialEq, Oneof)]
pub enum What {
    /// The first record of a file: its format.
    #[prost(string, tag = "3")]
    FileVersion(String),
    /// Numbers and images of a step.
    #[prost(message, tag = "5")]
    Summary(Summary),
    /// That training began or went on.
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

/// Numbers and images of a step.
#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    /// Each of them.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Value>,
}

/// A number or an image.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    /// Name; the part before the first `/` is its group.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// The value.
    #[prost(oneof = "Shown", tags = "2, 4")]
    pub shown: Option<Shown>,
}

/// A number or an image.
#[derive(Clone, PartialEq, Oneof)]
pub enum Shown {
    /// A point of a curve.
    #[prost(float, tag = "2")]
    Number(f32),
    /// A picture.
    #[prost(message, tag = "4")]
    Image(Image),
}

/// A picture.
#[derive(Clone, PartialEq, Message)]
pub struct Image {
    /// In pixels.
    #[prost(int32, tag = "1")]
    pub height: i32,
    /// In pixels.
    #[prost(int32, tag = "2")]
    pub width: i32,
    /// Channels: 1 (grey) or 3 (red, green, blue).
    #[prost(int32, tag = "3")]
    pub colorspace: i32,
    /// A PNG file.
    #[prost(bytes = "vec", tag = "4")]
    pub encoded_image_string: Vec<u8>,
}

/// That training began or went on.
#[derive(Clone, PartialEq, Message)]
pub struct SessionLog {
    /// Which of the two.
    #[prost(enumeration = "SessionStatus", tag = "1")]
    pub status: i32,
}

/// State of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum SessionStatus {
    /// Unspecified.
    Unspecified = 0,
    /// Earlier records of this step and later steps are void.
    Start = 1,
}
