//! Answers that the guest does not write, but a program that has taken it over may.

use super::*;

const OUTPUT_BYTES: usize = 64 << 10;

fn end(value: &[u8]) -> End {
    read(&[b"v\0\0\0\0", value].concat(), OUTPUT_BYTES).unwrap().0
}

fn refused(value: &[u8]) -> String {
    match end(value) {
        End::NotLiteral(problem) => problem,
        other => panic!("{other:?}"),
    }
}

fn long(bytes: u32) -> Vec<u8> {
    [b"I", &bytes.to_le_bytes()[..], &vec![0x7f; bytes as usize]].concat()
}

#[test]
fn containers_go_as_deep_as_a_literal_is_read() {
    let nested = |levels| [b"l\x01\0\0\0".repeat(levels), b"D".to_vec(), b"s\x01\0\0\x007".to_vec()].concat();
    let End::Value(value) = end(&nested(100)) else { panic!("a hundred lists") };
    assert_eq!(Value::parse(&value.to_string()), Some(value));
    assert!(refused(&nested(101)).contains("too deep"));
    assert!(refused(&b"d\x01\0\0\0N".repeat(101)).contains("too deep"));
    assert!(refused(&b"D".repeat(100_000)).contains("too deep"));
}

#[test]
fn elements_and_keys_that_cannot_be_hashed_are_refused() {
    for value in [&b"S\x01\0\0\0l\0\0\0\0"[..], b"Z\x01\0\0\0d\0\0\0\0", b"d\x01\0\0\0S\0\0\0\0N", b"S\x01\0\0\0t\x01\0\0\0l\0\0\0\0"] {
        assert!(refused(value).contains("an element or a key"), "{value:?}");
    }
}

#[test]
fn a_range_takes_steps() {
    assert!(refused(b"ri\0\0\0\0i\x09\0\0\0i\0\0\0\0").contains("a range"));
}

#[test]
fn equal_keys_are_one() {
    let nan = [b"f", &f64::NAN.to_le_bytes()[..]].concat();
    let End::Value(value) = end(&[b"d\x02\0\0\0", &nan[..], b"T", &nan, b"F"].concat()) else { panic!("two keys") };
    assert_eq!(value.to_string(), "{float('nan'): False}");
}

#[test]
fn integers_that_take_long_to_spell_are_refused() {
    assert!(matches!(end(&long(1_776)), End::Value(_)));
    assert!(refused(&long(1_786)).contains("too large"));
    assert!(refused(&long(1 << 20)).contains("too large"));
    let fraction = [b"q", &long(500_000)[..], &long(500_001)].concat();
    assert!(refused(&fraction).contains("too large"));
}
