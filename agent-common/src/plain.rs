//! Types whose bytes may cross the border between kernel and user space as they are.

/// A type without padding, of which any bytes are a value.
///
/// # Safety
/// `#[repr(C)]` or a primitive, no implicit padding, no `bool`, no enum, no reference.
pub unsafe trait Plain: Copy + 'static {}

macro_rules! primitive {
    ($($name:ty),*) => { $(
        // SAFETY: an integer has neither padding nor invalid values.
        unsafe impl Plain for $name {}
    )* };
}

primitive!(u8, u16, u32, u64, i8, i16, i32, i64);

// SAFETY: an array has no padding between elements, and each is plain.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// Marks a struct as plain: asserts its size, and that its fields leave no gap.
#[macro_export]
macro_rules! plain {
    ($name:ty, $size:expr, { $($field:ident : $kind:ty),* $(,)? }) => {
        const _: () = {
            assert!(core::mem::size_of::<$name>() == $size, "the size is part of the format");
            assert!(0 $(+ core::mem::size_of::<$kind>())* == $size, "padding must be a field");
        };
        impl $name {
            /// Size and field offsets, folded: what object and loader compare.
            pub const LAYOUT: u64 = $crate::plain::fold(&[
                core::mem::size_of::<$name>() as u64,
                $(core::mem::offset_of!($name, $field) as u64, core::mem::size_of::<$kind>() as u64),*
            ]);
        }
        // SAFETY: repr(C) fields of plain types that fill the whole size (asserted above).
        unsafe impl $crate::plain::Plain for $name where $($kind: $crate::plain::Plain),* {}
    };
}

/// FNV-1a over numbers, at compile time.
pub const fn fold(numbers: &[u64]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut index = 0;
    while index < numbers.len() {
        hash = (hash ^ numbers[index]).wrapping_mul(0x0000_0100_0000_01b3);
        index += 1;
    }
    hash
}
