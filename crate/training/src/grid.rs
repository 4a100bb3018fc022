//! Images side by side in one picture, nearly square, without gaps.
//! `sample` and training runs write these.

use std::io::Cursor;
use std::path::Path;

use image::{ExtendedColorType, ImageFormat, ImageResult};

use marscope_core::tokenizer::to_byte;

/// Several images as one picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    pixels: Vec<u8>,
    width: usize,
    height: usize,
    channels: usize,
}

/// Why the images cannot become a picture.
#[derive(Debug, thiserror::Error)]
pub enum GridError {
    /// Neither grey nor colour.
    #[error("tokens of {0} channels cannot be drawn as a picture: write them with --latents")]
    Channels(usize),
    /// Nothing to show.
    #[error("a grid needs at least one image")]
    Empty,
}

impl Grid {
    /// `images`, each `[channels, side, side]` in `[-1, 1]`, row by row.
    ///
    /// # Errors
    /// As [`GridError`] says.
    pub fn new(images: &[Vec<f32>], channels: usize, side: usize) -> Result<Self, GridError> {
        if !matches!(channels, 1 | 3) {
            return Err(GridError::Channels(channels));
        }
        if images.is_empty() || side == 0 {
            return Err(GridError::Empty);
        }
        let columns = (images.len() as f64).sqrt().ceil() as usize;
        let (width, height) = (columns * side, images.len().div_ceil(columns) * side);
        let mut pixels = vec![0; width * height * channels];
        for (i, image) in images.iter().enumerate() {
            let (top, left) = (i / columns * side, i % columns * side);
            for (at, &value) in image.iter().enumerate() {
                let (channel, y, x) = (at / (side * side), at / side % side, at % side);
                pixels[((top + y) * width + left + x) * channels + channel] = to_byte(value);
            }
        }
        Ok(Self { pixels, width, height, channels })
    }

    /// Bytes, `[height, width, channels]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// In pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// In pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// 1 (grey) or 3 (red, green, blue).
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The picture as a PNG file's bytes.
    pub fn png(&self) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        let (width, height) = (self.width as u32, self.height as u32);
        image::write_buffer_with_format(&mut file, &self.pixels, width, height, self.colour(), ImageFormat::Png)
            .expect("memory takes every whole picture");
        file.into_inner()
    }

    /// Writes the picture in the format that the name of `path` ends with.
    ///
    /// # Errors
    /// When the name ends with no known format, or the file cannot be written.
    pub fn save(&self, path: &Path) -> ImageResult<()> {
        image::save_buffer(path, &self.pixels, self.width as u32, self.height as u32, self.colour())
    }

    fn colour(&self) -> ExtendedColorType {
        if self.channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three colour images of 2x2: two in the first row, one and nothing in the second.
    #[test]
    fn every_pixel_is_in_its_place() {
        let image = |i: u8| (0..12).map(|at| marscope_core::tokenizer::from_byte(100 * i + at)).collect::<Vec<_>>();
        let grid = Grid::new(&[image(0), image(1), image(2)], 3, 2).unwrap();
        assert_eq!((grid.width(), grid.height(), grid.channels()), (4, 4, 3));
        let row = |y: usize| &grid.pixels()[y * 12..(y + 1) * 12];
        assert_eq!(row(0), [0, 4, 8, 1, 5, 9, 100, 104, 108, 101, 105, 109]);
        assert_eq!(row(1), [2, 6, 10, 3, 7, 11, 102, 106, 110, 103, 107, 111]);
        assert_eq!(row(2), [200, 204, 208, 201, 205, 209, 0, 0, 0, 0, 0, 0]);

        let read = image::load_from_memory(&grid.png()).unwrap().to_rgb8();
        assert_eq!(read.as_raw(), grid.pixels());
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        assert!(matches!(Grid::new(&[vec![0.0; 16]], 16, 1), Err(GridError::Channels(16))));
        assert!(matches!(Grid::new(&[], 1, 28), Err(GridError::Empty)));
    }
}
