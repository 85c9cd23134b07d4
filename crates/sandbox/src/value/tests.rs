//! Values and their spelling: what comes out reads back as it was.

use super::*;

fn canonical(text: &str) -> Option<String> {
    Value::parse(text).map(|value| value.to_string())
}

fn reads_back(value: &Value) {
    let text = value.to_string();
    let again = Value::parse(&text).unwrap_or_else(|| panic!("{text}"));
    assert_eq!(&again, value);
    assert_eq!(again.to_string(), text);
}

#[test]
fn constructors_nest_no_deeper_than_brackets() {
    for opening in ["[", "-float(", "float(", "set(", "- -float(", "1+float(", "{1: ", "("] {
        assert_eq!(canonical(&opening.repeat(200_000)), None, "{opening}");
        assert_eq!(parse_arguments(&opening.repeat(200_000)), None, "{opening}");
    }
}

#[test]
fn the_deepest_values_read_back() {
    let leaves = ["1", "-2j", "(1+2j)", "complex(float('nan'), -0.0)", "Decimal('1')", "range(0, 3)", "datetime.date(2024, 2, 29)"];
    for leaf in leaves.map(|leaf| Value::parse(leaf).unwrap()) {
        let around: [fn(Value) -> Value; 4] = [
            |value| Value::frozen_set(vec![value]),
            |value| Value::Tuple(vec![value]),
            |value| Value::List(vec![value]),
            |value| Value::dict(vec![(Value::None, value)]),
        ];
        for wrap in around {
            let deepest = (0..DEEPEST).fold(leaf.clone(), |value, _| wrap(value));
            reads_back(&deepest);
            assert!(Value::parse(&wrap(deepest).to_string()).is_none());
        }
    }
}

#[test]
fn a_tuple_without_parentheses_is_as_deep_as_one_with_them() {
    let deepest = "[".repeat(DEEPEST) + &"]".repeat(DEEPEST);
    assert_eq!(canonical(&deepest).as_deref(), Some(&*deepest));
    assert_eq!(canonical(&format!("{deepest}, 1")), None);
    assert_eq!(canonical(&format!("({deepest}, 1)")), None);
}

#[test]
fn numbers_without_a_decimal_form_are_no_literals() {
    assert!(canonical(&"9".repeat(4_300)).is_some());
    assert_eq!(canonical(&"9".repeat(4_301)), None);
    reads_back(&Value::parse(&format!("0x{}", "f".repeat(3_571))).unwrap());
    assert_eq!(canonical(&format!("0x{}", "f".repeat(3_572))), None);
    assert_eq!(canonical(&format!("complex({}, 0)", "9".repeat(400))), None);
}

#[test]
fn an_imaginary_number_keeps_the_signs_of_its_parts() {
    for text in ["-2j", "2j", "(1-2j)", "complex(-0.0, -2.0)", "complex(0.0, -0.0)"] {
        assert_eq!(canonical(text).as_deref(), Some(text));
    }
    assert_eq!(canonical("(0-2j)").as_deref(), Some("-2j"));
}

#[test]
fn what_is_spelled_alike_is_equal() {
    let nan = |sign: f64| Value::Complex(1.0, f64::NAN.copysign(sign));
    assert_eq!(nan(1.0), nan(-1.0));
    reads_back(&Value::set(vec![nan(1.0), nan(-1.0)]));
    reads_back(&Value::dict(vec![(Value::Float(f64::NAN), Value::None), (Value::Float(-f64::NAN), Value::Bool(true))]));
}
