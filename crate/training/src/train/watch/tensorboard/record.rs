//! The TFRecord format: each record between its length and its checksum.
//! Checksums are CRC-32C, rotated and offset ("masked"), because a CRC over data that holds CRCs would be weak.

/// `data` as one record: length (u64), masked checksum of the length (u32), data, masked checksum of the data (u32),
/// all little-endian.
pub fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length).to_le_bytes(), data, &masked_crc(data).to_le_bytes()].concat()
}

fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8)
}

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The records of a file, each checked.
    pub fn records(mut file: &[u8]) -> Vec<&[u8]> {
        let mut found = Vec::new();
        while let Some((length, rest)) = file.split_first_chunk::<8>() {
            let (crc, rest) = rest.split_first_chunk::<4>().unwrap();
            assert_eq!(u32::from_le_bytes(*crc), masked_crc(length));
            let (data, rest) = rest.split_at(u64::from_le_bytes(*length) as usize);
            let (crc, rest) = rest.split_first_chunk::<4>().unwrap();
            assert_eq!(u32::from_le_bytes(*crc), masked_crc(data));
            found.push(data);
            file = rest;
        }
        assert!(file.is_empty());
        found
    }

    /// RFC 3720, appendix B.4, and the check value of the CRC catalogue.
    #[test]
    fn the_checksum_is_crc_32c() {
        let ascending: Vec<u8> = (0..32).collect();
        let published: [(&[u8], u32); 4] = [
            (&[0; 32], 0x8A91_36AA),
            (&[0xFF; 32], 0x62A8_AB43),
            (&ascending, 0x46DD_794E),
            (b"123456789", 0xE306_9283),
        ];
        for (data, crc) in published {
            assert_eq!(crc32c::crc32c(data), crc);
        }
    }

    /// As `tensorboard.summary.writer.record_writer` writes it.
    #[test]
    fn a_record_has_the_bytes_of_the_reference() {
        assert_eq!(record(b"123456789"), b"\x09\0\0\0\0\0\0\x007\xf9q9123456789\xe5\xb0\x8a\xc7");
    }

    proptest! {
        /// As TensorFlow's `crc32c::Unmask` does.
        #[test]
        fn the_mask_can_be_undone(data: Vec<u8>) {
            let rotated = masked_crc(&data).wrapping_sub(0xA282_EAD8);
            prop_assert_eq!(rotated.rotate_left(15), crc32c::crc32c(&data));
        }

        #[test]
        fn records_come_back(parts: Vec<Vec<u8>>) {
            let file: Vec<u8> = parts.iter().flat_map(|part| record(part)).collect();
            prop_assert_eq!(records(&file), parts);
        }
    }
}
