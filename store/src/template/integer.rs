//! Whole numbers as bytes: varints in the head, planes of equal bytes in the streams.

use std::io;

use super::bad;

/// LEB128.
pub(super) fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Small magnitudes become small numbers.
pub(super) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

pub(super) fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

/// How many bytes hold `most`.
pub(super) fn width(most: u64) -> usize {
    (64 - most.leading_zeros() as usize).div_ceil(8)
}

/// The bytes of plane `plane` of these numbers.
pub(super) fn plane(numbers: &[u64], plane: usize, out: &mut Vec<u8>) {
    out.extend(numbers.iter().map(|number| (number >> (8 * plane)) as u8));
}

/// Order-0 entropy of what planes of these numbers would take, bytes, roughly.
pub(super) fn planes_cost(numbers: &[u64], width: usize) -> usize {
    let mut bits = 0.0;
    for plane in 0..width {
        let mut counts = [0_u32; 256];
        numbers.iter().for_each(|number| counts[(number >> (8 * plane)) as usize & 0xff] += 1);
        bits += entropy_bits(&counts, numbers.len());
    }
    (bits / 8.0) as usize + width * 24
}

fn entropy_bits(counts: &[u32; 256], len: usize) -> f64 {
    let whole = len as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) * (whole / f64::from(*count)).log2())
        .sum()
}

/// Reads the head of a block from the front; every length is checked against what is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn byte(&mut self) -> io::Result<u8> {
        let (byte, rest) = self.0.split_first().ok_or_else(|| bad("short head"))?;
        self.0 = rest;
        Ok(*byte)
    }

    pub(super) fn varint(&mut self) -> io::Result<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(bad("endless number"))
    }

    /// A count of things of which there may be `most`.
    pub(super) fn count(&mut self, most: usize) -> io::Result<usize> {
        let count = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        if count > most { Err(bad("impossible count")) } else { Ok(count) }
    }

    pub(super) fn bytes(&mut self) -> io::Result<&'a [u8]> {
        let len = self.count(self.0.len())?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or_else(|| bad("short head"))?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn signed(&mut self) -> io::Result<i64> {
        Ok(unzigzag(self.varint()?))
    }
}
