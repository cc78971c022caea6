//! Keyed permutations: each value of a domain becomes another one, and no two become the same.
//!
//! A Feistel network over the product of two halves, with cycle walking back into the domain (Black and Rogaway, "Ciphers with Arbitrary
//! Finite Domains"), and AES as its round function. FF1 is the same construction for one radix; it excludes domains below a million and
//! texts that mix letters and digits, which are most of what columns hold.

use aes::Aes128;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};

/// As FF1 has.
const ROUNDS: u8 = 10;

/// For texts too long to be a number: more than the four that make a strong permutation of random functions.
const LONG_ROUNDS: u8 = 6;

/// Domains up to this size are permuted as numbers.
pub const SIZE_MAX: u128 = 1 << 126;

/// The master key, from which every transformer has one of its own.
pub struct Master([u8; 32]);

impl Master {
    pub fn new(key: &str) -> Self {
        Master(blake3::derive_key("rehearsal masking key, version 1", key.as_bytes()))
    }

    pub fn keyed(&self, purpose: &str) -> Keyed {
        let key = *blake3::keyed_hash(&self.0, purpose.as_bytes()).as_bytes();
        let block: [u8; 16] = key[..16].try_into().expect("half of 32 bytes");
        // The hash and the cipher have keys of their own.
        let hash = *blake3::keyed_hash(&key, b"hash").as_bytes();
        Keyed { cipher: Aes128::new(&Array::from(block)), hash }
    }
}

/// One transformer's key.
#[derive(Clone)]
pub struct Keyed {
    cipher: Aes128,
    hash: [u8; 32],
}

impl Keyed {
    /// The value that follows in a secret order of all values below `size`, in which the last is followed by the first: a permutation
    /// in which nothing stays what it was, unless there is nothing else. `tweak` chooses among 2^56 orders.
    ///
    /// `value` is below `size`, and `size` at most [`SIZE_MAX`].
    pub fn next(&self, value: u128, size: u128, tweak: u64) -> u128 {
        self.next_where(value, size, tweak, |_| true)
    }

    /// As [`Keyed::next`], within the values of which `within` is true; it is of `value`.
    pub fn next_where(&self, value: u128, size: u128, tweak: u64, within: impl Fn(u128) -> bool) -> u128 {
        if size < 2 {
            return value;
        }
        let halves = Halves::of(size);
        let mut place = self.place(value, size, halves, tweak);
        loop {
            place = if place + 1 == size { 0 } else { place + 1 };
            let found = self.at(place, size, halves, tweak);
            if within(found) {
                return found;
            }
        }
    }

    /// 32 bytes that only the key and the value decide.
    pub fn digest(&self, value: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.hash, value).as_bytes()
    }

    /// A number below `size` that only the key and the value decide, and nothing else of it tells.
    pub fn draw(&self, value: &[u8], size: usize) -> usize {
        let digest = self.digest(value);
        let number = u64::from_le_bytes(digest[..8].try_into().expect("8 of 32 bytes"));
        scaled(number, size as u64) as usize
    }

    /// Permutes a long row of symbols, each of which stays below its own `radix`. They are more than a number below [`SIZE_MAX`] holds.
    pub fn permute(&self, symbols: &mut [u32], radix: &[u32], tweak: u64) {
        let (left, right) = symbols.split_at_mut(symbols.len() / 2);
        let (left_radix, right_radix) = radix.split_at(left.len());
        for round in 0..LONG_ROUNDS {
            if round % 2 == 0 {
                self.add(left, left_radix, right, round, tweak);
            } else {
                self.add(right, right_radix, left, round, tweak);
            }
        }
    }

    /// The permutation's value at a place, by walking on until it lies below `size`.
    fn at(&self, place: u128, size: u128, halves: Halves, tweak: u64) -> u128 {
        let mut found = place;
        loop {
            found = self.rounds(found, halves, tweak);
            if found < size {
                return found;
            }
        }
    }

    /// Where in the permutation a value stands.
    fn place(&self, value: u128, size: u128, halves: Halves, tweak: u64) -> u128 {
        let mut found = value;
        loop {
            found = self.rounds_back(found, halves, tweak);
            if found < size {
                return found;
            }
        }
    }

    fn rounds(&self, value: u128, halves: Halves, tweak: u64) -> u128 {
        let (mut low, mut high) = halves.split(value);
        for round in 0..ROUNDS {
            if round % 2 == 0 {
                low = plus(low, self.round(high, round, tweak, halves.low()), halves.low());
            } else {
                high = plus(high, self.round(low, round, tweak, halves.high), halves.high);
            }
        }
        halves.join(low, high)
    }

    fn rounds_back(&self, value: u128, halves: Halves, tweak: u64) -> u128 {
        let (mut low, mut high) = halves.split(value);
        for round in (0..ROUNDS).rev() {
            if round % 2 == 0 {
                low = minus(low, self.round(high, round, tweak, halves.low()), halves.low());
            } else {
                high = minus(high, self.round(low, round, tweak, halves.high), halves.high);
            }
        }
        halves.join(low, high)
    }

    /// A number below `size` that the other half decides.
    fn round(&self, half: u64, round: u8, tweak: u64, size: u64) -> u64 {
        let mut block = [0; 16];
        block[..8].copy_from_slice(&half.to_le_bytes());
        block[8..15].copy_from_slice(&tweak.to_le_bytes()[..7]);
        block[15] = round;
        let mut block = Array::from(block);
        self.cipher.encrypt_block(&mut block);
        let bits = u128::from_le_bytes(block.into());
        // The share of `size` that the bits are of 2^128, so that no remainder favours small numbers.
        let (high, low) = ((bits >> 64) as u64, bits as u64);
        let carried = (u128::from(low) * u128::from(size)) >> 64;
        ((u128::from(high) * u128::from(size) + carried) >> 64) as u64
    }

    /// Adds to each symbol what the other half decides.
    fn add(&self, symbols: &mut [u32], radix: &[u32], other: &[u32], round: u8, tweak: u64) {
        let mut hasher = blake3::Hasher::new_keyed(&self.hash);
        hasher.update(&tweak.to_le_bytes());
        hasher.update(&[round]);
        for symbol in other {
            hasher.update(&symbol.to_le_bytes());
        }
        let mut stream = hasher.finalize_xof();
        let mut bytes = [0; 256];
        for (symbols, radix) in symbols.chunks_mut(bytes.len() / 4).zip(radix.chunks(bytes.len() / 4)) {
            stream.fill(&mut bytes);
            for ((symbol, radix), word) in symbols.iter_mut().zip(radix).zip(bytes.chunks_exact(4)) {
                let word = u32::from_le_bytes(word.try_into().expect("chunks of 4"));
                let added = (u64::from(word) * u64::from(*radix)) >> 32;
                *symbol = ((u64::from(*symbol) + added) % u64::from(*radix)) as u32;
            }
        }
    }
}

/// The share of `size` that the number is of 2^64.
fn scaled(number: u64, size: u64) -> u64 {
    ((u128::from(number) * u128::from(size)) >> 64) as u64
}

fn plus(value: u64, added: u64, size: u64) -> u64 {
    // Both are below `size`, which is at most 2^63.
    let sum = value + added;
    if sum < size { sum } else { sum - size }
}

fn minus(value: u64, taken: u64, size: u64) -> u64 {
    if value < taken { value + size - taken } else { value - taken }
}

/// A product that is just about a domain's size: few values lie beyond it, and are walked over.
#[derive(Clone, Copy)]
struct Halves {
    low_bits: u32,
    high: u64,
}

impl Halves {
    fn of(size: u128) -> Self {
        let bits = u128::BITS - (size - 1).leading_zeros();
        let low_bits = bits.div_ceil(2);
        let high = size.div_ceil(1 << low_bits);
        Halves { low_bits, high: u64::try_from(high).expect("half of 126 bits") }
    }

    fn low(self) -> u64 {
        1 << self.low_bits
    }

    fn split(self, value: u128) -> (u64, u64) {
        ((value as u64) & (self.low() - 1), (value >> self.low_bits) as u64)
    }

    fn join(self, low: u64, high: u64) -> u128 {
        (u128::from(high) << self.low_bits) | u128::from(low)
    }
}
