//! Format-preserving masking of text: each letter becomes one of its alphabet, each digit a digit, all else stays, and different texts of
//! one shape stay different.

use super::cycle::{Keyed, SIZE_MAX};
use super::letters::{Slot, slot};

/// Buffers that one worker keeps from value to value.
#[derive(Debug, Default)]
pub struct Scratch {
    pub slots: Vec<Slot>,
    /// The next value.
    pub out: String,
    symbols: Vec<u32>,
    radix: Vec<u32>,
}

/// Which texts a result may be among; what was masked is one of them.
pub type Within<'w> = Option<&'w dyn Fn(&str) -> bool>;

/// The largest product of alphabets' sizes that is one digit of the whole number.
const GROUP_MAX: u64 = 1 << 31;

impl Scratch {
    /// Takes the text to pieces.
    pub fn read(&mut self, text: &str, fold_accents: bool) {
        self.slots.clear();
        self.slots.extend(text.chars().map(|c| slot(c, fold_accents)));
    }

    /// The masked text of the slots, appended to `out`.
    pub fn write_masked(&mut self, keyed: &Keyed, within: Within<'_>) {
        let mut tweak = 0_u64;
        let mut size = Some(1_u128);
        self.symbols.clear();
        self.radix.clear();
        for slot in &self.slots {
            let Slot::Symbol { alphabet, index, .. } = slot else { continue };
            let radix = alphabet.size();
            tweak = (tweak ^ alphabet.id()).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
            size = size.and_then(|size| size.checked_mul(u128::from(radix))).filter(|size| *size <= SIZE_MAX);
            self.symbols.push(*index);
            self.radix.push(radix);
        }
        let start = self.out.len();
        match size {
            Some(size) => self.short(keyed, size, tweak, start, within),
            None => self.long(keyed, tweak, start, within),
        }
    }

    fn short(&mut self, keyed: &Keyed, size: u128, tweak: u64, start: usize, within: Within<'_>) {
        let value = joined(&self.symbols, &self.radix);
        let Scratch { slots, out, symbols, radix } = self;
        let mut written = |value| {
            split(value, symbols, radix);
            out.truncate(start);
            render(slots, symbols, out);
        };
        match within {
            None => written(keyed.next(value, size, tweak)),
            Some(within) => {
                let written = std::cell::RefCell::new((symbols, out));
                keyed.next_where(value, size, tweak, |value| {
                    let (symbols, out) = &mut *written.borrow_mut();
                    split(value, symbols, radix);
                    out.truncate(start);
                    render(slots, symbols, out);
                    within(&out[start..])
                });
                let (symbols, out) = written.into_inner();
                if size < 2 {
                    render(slots, symbols, out);
                }
            }
        }
    }

    fn long(&mut self, keyed: &Keyed, tweak: u64, start: usize, within: Within<'_>) {
        loop {
            keyed.permute(&mut self.symbols, &self.radix, tweak);
            self.out.truncate(start);
            render(&self.slots, &self.symbols, &mut self.out);
            if within.is_none_or(|within| within(&self.out[start..])) {
                return;
            }
        }
    }
}

/// Ends of runs of symbols that are multiplied out to one digit each, and that digit's size.
fn groups(radix: &[u32]) -> impl Iterator<Item = (std::ops::Range<usize>, u64)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let first = start;
        let mut size = 1_u64;
        while let Some(radix) = radix.get(start)
            && size * u64::from(*radix) <= GROUP_MAX
        {
            size *= u64::from(*radix);
            start += 1;
        }
        (start > first).then_some((first..start, size))
    })
}

/// The symbols as one number; the first is the least of it.
fn joined(symbols: &[u32], radix: &[u32]) -> u128 {
    let (mut value, mut unit) = (0, 1_u128);
    for (group, size) in groups(radix) {
        let of_group = group.rev().fold(0, |sum, at| sum * u64::from(radix[at]) + u64::from(symbols[at]));
        value += u128::from(of_group) * unit;
        unit = unit.saturating_mul(u128::from(size));
    }
    value
}

fn split(mut value: u128, symbols: &mut [u32], radix: &[u32]) {
    for (group, size) in groups(radix) {
        let mut of_group = match u64::try_from(value) {
            Ok(small) => {
                value = u128::from(small / size);
                small % size
            }
            Err(_) => {
                let of_group = (value % u128::from(size)) as u64;
                value /= u128::from(size);
                of_group
            }
        };
        for at in group {
            symbols[at] = (of_group % u64::from(radix[at])) as u32;
            of_group /= u64::from(radix[at]);
        }
    }
}

fn render(slots: &[Slot], symbols: &[u32], out: &mut String) {
    let mut symbols = symbols.iter();
    for slot in slots {
        match slot {
            Slot::Fixed(c) => out.push(*c),
            Slot::Symbol { alphabet, upper, .. } => {
                out.push(alphabet.letter(*symbols.next().expect("one for each slot of a symbol"), *upper));
            }
        }
    }
}
