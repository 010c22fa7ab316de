//! Numbers in as few bytes as they need: seven bits a byte, the lowest first, with the eighth set on all but the last.

pub(super) fn write(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Takes a number from the front; `None` where there is none.
#[inline]
pub(super) fn read(from: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = from.split_first()?;
    if first < 0x80 {
        *from = rest;
        return Some(first.into());
    }
    read_long(from)
}

fn read_long(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for (place, &byte) in from.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * place;
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte < 0x80 {
            *from = &from[place + 1..];
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(numbers in prop::collection::vec(prop_oneof![0_u64..300, any::<u64>()], 0..50)) {
            let mut bytes = Vec::new();
            for &number in &numbers {
                write(number, &mut bytes);
            }
            let mut from = bytes.as_slice();
            for number in numbers {
                prop_assert_eq!(read(&mut from), Some(number));
            }
            prop_assert_eq!(read(&mut from), None);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let mut from = bytes.as_slice();
            while read(&mut from).is_some() {}
            prop_assert!(from.is_empty() || read(&mut from).is_none());
        }
    }
}
