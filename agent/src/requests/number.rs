//! Numbers as text, for attributes.

/// A number in decimals, without memory of its own.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    digits: [u8; 20],
    from: usize,
}

impl Number {
    /// Of this one.
    pub fn of(mut number: u64) -> Self {
        let mut this = Self { digits: [b'0'; 20], from: 20 };
        for (place, digit) in this.digits.iter_mut().enumerate().rev() {
            *digit = b'0' + (number % 10) as u8;
            this.from = place;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        this
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        self.digits.get(self.from..).and_then(|digits| str::from_utf8(digits).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::Number;

    #[test]
    fn numbers_are_written_as_they_are() {
        for number in [0, 7, 10, 65_535, u64::MAX] {
            assert_eq!(Number::of(number).as_str(), number.to_string());
        }
    }
}
