use super::read::JsonError;
use super::write::DecodeError;
use proptest::prelude::*;
use rmp::encode::{write_ext_meta, write_f64, write_str};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use super::*;
use crate::protocol::golden_bytes;

fn shown(payload: &[u8]) -> Result<String, DecodeError> {
    let mut out = Vec::new();
    to_json(payload, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn ext(tag: i8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_ext_meta(&mut out, content.len() as u32, tag).unwrap();
    out.extend_from_slice(content);
    out
}

fn text(content: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_str(&mut out, content).unwrap();
    out
}

fn float(number: f64) -> Vec<u8> {
    let mut out = Vec::new();
    write_f64(&mut out, number).unwrap();
    out
}

/// Payload of nested arrays.
fn nest(depth: usize) -> Vec<u8> {
    let mut out = vec![0x91; depth - 1];
    out.push(0x90);
    out
}

#[test]
fn every_type_has_its_json_form() {
    let type_name = text("a:Color");
    let named = |tag, content: &[u8]| ext(tag, &[&[0x92], type_name.as_slice(), content].concat());
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![0xc0], "null"),
        (vec![0xc3], "true"),
        (vec![0xc2], "false"),
        (vec![0x07], "7"),
        (vec![0xff], "-1"),
        (vec![0xcc, 200], "200"),
        (vec![0xcd, 1, 0], "256"),
        (vec![0xce, 0, 1, 0, 0], "65536"),
        (vec![0xcf, 255, 255, 255, 255, 255, 255, 255, 255], "18446744073709551615"),
        (vec![0xd0, 0x80], "-128"),
        (vec![0xd1, 0x80, 0], "-32768"),
        (vec![0xd2, 0x80, 0, 0, 0], "-2147483648"),
        (vec![0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], "-9223372036854775808"),
        (vec![0xca, 0x3f, 0xc0, 0, 0], "1.5"),
        (float(0.1), "0.1"),
        (float(f64::NAN), "null"),
        (float(f64::NEG_INFINITY), "null"),
        (text("a\"\n\u{1F600}"), "\"a\\\"\\n\u{1F600}\""),
        (text(&"x".repeat(40)), "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\""),
        (vec![0xc4, 0], "\"\""),
        (vec![0xc4, 1, b'f'], "\"Zg==\""),
        (vec![0xc4, 2, b'f', b'o'], "\"Zm8=\""),
        (vec![0xc5, 0, 3, 0xff, 0xfe, 0xfd], "\"//79\""),
        (vec![0xc6, 0, 0, 0, 4, b'a', b'b', b'c', b'd'], "\"YWJjZA==\""),
        (vec![0x92, 1, 0x91, 2], "[1,[2]]"),
        (vec![0xdc, 0, 1, 1], "[1]"),
        (vec![0xdd, 0, 0, 0, 0], "[]"),
        (vec![0x82, 0xa1, b'a', 1, 0xa1, b'b', 2], "{\"a\":1,\"b\":2}"),
        (vec![0xde, 0, 1, 0xa1, b'a', 1], "{\"a\":1}"),
        (ext(1, &[0x92, 1, 2]), "[1,2]"),
        (ext(2, &[0x91, 1]), "[1]"),
        (ext(3, &[0x90]), "[]"),
        (ext(4, &text("-123456789012345678901234567890")), "-123456789012345678901234567890"),
        (ext(5, &text("2024-02-29T12:00:00+01:00")), "\"2024-02-29T12:00:00+01:00\""),
        (ext(6, &text("2024-02-29")), "\"2024-02-29\""),
        (ext(7, &text("12:00:00")), "\"12:00:00\""),
        (ext(8, &[0x93, 1, 1, 0]), "86401"),
        (ext(8, &[0x93, 0, 1, 0xce, 0, 7, 0xa1, 0x20]), "1.5"),
        (ext(8, &[0x93, 0xff, 0xce, 0, 1, 0x51, 0x7f, 0xce, 0, 0x0f, 0x42, 0x3f]), "-0.000001"),
        (ext(9, &text("1.10")), "\"1.10\""),
        (ext(10, &text("12345678-1234-5678-1234-567812345678")), "\"12345678-1234-5678-1234-567812345678\""),
        (named(11, &[3]), "3"),
        (named(12, &[0x81, 0xa1, b'x', 1]), "{\"x\":1}"),
        (named(13, &[0x92, 1, 2]), "[1,2]"),
        (ext(14, &[&[0x92][..], &float(1.0), &float(-2.5)].concat()), "[1.0,-2.5]"),
        (ext(15, &[0xc4, 3, b'a', b'b', b'c']), "\"YWJj\""),
    ];
    for (payload, expected) in cases {
        assert_eq!(shown(&payload).as_deref(), Ok(expected), "{payload:02x?}");
    }
}

#[test]
fn keys_become_text() {
    let keys: [(&[u8], &str); 7] = [
        (&[1], "1"),
        (&[0xc3], "true"),
        (&[0xc0], "null"),
        (&[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], "1.5"),
        (&ext(1, &[0x92, 1, 0xa1, b'a']), "[1,\\\"a\\\"]"),
        (&ext(6, &text("2024-02-29")), "2024-02-29"),
        (&[0xc4, 1, b'f'], "Zg=="),
    ];
    for (key, expected) in keys {
        let payload = [&[0x81], key, &[0]].concat();
        assert_eq!(shown(&payload), Ok(format!("{{\"{expected}\":0}}")));
    }
}

#[test]
fn damage_is_an_error() {
    let cases: Vec<(Vec<u8>, DecodeError)> = vec![
        (vec![], DecodeError::End),
        (vec![0xdd, 255, 255, 255, 255], DecodeError::End),
        (vec![0xc6, 255, 255, 255, 255, 0], DecodeError::End),
        (vec![0xc0, 0xc0], DecodeError::Trailing(1)),
        (vec![0xc1], DecodeError::Malformed("MessagePack")),
        (vec![0xa1, 0xff], DecodeError::Utf8),
        (ext(25, &[0xc0]), DecodeError::Extension(25)),
        (ext(-1, &[0, 0, 0, 0]), DecodeError::Extension(-1)),
        (ext(1, &[0x90, 0x90]), DecodeError::Trailing(1)),
        (ext(4, &text("1,\"evil\":1")), DecodeError::Malformed("an integer")),
        (ext(4, &text("-")), DecodeError::Malformed("an integer")),
        (ext(4, &text("007")), DecodeError::Malformed("an integer")),
        (ext(8, &[0x92, 1, 1]), DecodeError::Malformed("a timedelta")),
        (ext(11, &[0xc0]), DecodeError::Malformed("a pair of type name and value")),
    ];
    for (payload, expected) in cases {
        assert_eq!(shown(&payload), Err(expected), "{payload:02x?}");
    }
}

#[test]
fn depth_is_bounded_both_ways() {
    assert!(shown(&nest(128)).is_ok());
    assert_eq!(shown(&nest(129)), Err(DecodeError::Depth));
    let mut tuples = vec![0x90];
    for _ in 0..200 {
        tuples = ext(1, &[vec![0x91], tuples].concat());
    }
    assert_eq!(shown(&tuples), Err(DecodeError::Depth));

    let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(from_json(nested(128).as_bytes()).unwrap(), nest(128));
    assert!(matches!(from_json(nested(129).as_bytes()), Err(JsonError::Depth)));
    assert!(matches!(from_json(nested(100_000).as_bytes()), Err(JsonError::Depth)));
}

#[test]
fn json_becomes_the_smallest_payload() {
    let cases: Vec<(&str, Vec<u8>)> = vec![
        (" null ", vec![0xc0]),
        ("true", vec![0xc3]),
        ("false", vec![0xc2]),
        ("0", vec![0]),
        ("-0", vec![0]),
        ("-5", vec![0xfb]),
        ("300", vec![0xcd, 1, 44]),
        ("18446744073709551615", vec![0xcf, 255, 255, 255, 255, 255, 255, 255, 255]),
        ("18446744073709551616", ext(4, &text("18446744073709551616"))),
        ("-9223372036854775809", ext(4, &text("-9223372036854775809"))),
        ("1.0", float(1.0)),
        ("-2.5e-3", float(-0.0025)),
        (r#""""#, vec![0xa0]),
        (r#""a\"\\\u00e9\ud83d\ude00""#, text("a\"\\é\u{1F600}")),
        (r#"["a,b", "]" , [ ] ]"#, vec![0x93, 0xa3, b'a', b',', b'b', 0xa1, b']', 0x90]),
        (r#"{"a" : 1, "a":[true ,null]}"#, vec![0x82, 0xa1, b'a', 1, 0xa1, b'a', 0x92, 0xc3, 0xc0]),
    ];
    for (json, expected) in cases {
        assert_eq!(from_json(json.as_bytes()).unwrap(), expected, "{json}");
    }
    let long = from_json(format!("[{}0]", "0,".repeat(69_999)).as_bytes()).unwrap();
    assert_eq!((&long[..5], long.len()), (&[0xdd, 0, 1, 0x11, 0x70][..], 70_005));
}

#[test]
fn what_is_not_json_is_refused() {
    let texts =
        ["", "{", "[1,]", "[1 2]", "1 2", "nul", "01", "\"\\ud800\"", "\"\n\"", "NaN", "{1:2}", "'a'"];
    for text in texts {
        assert!(matches!(from_json(text.as_bytes()), Err(JsonError::Syntax(_))), "{text}");
    }
    assert!(from_json(b"\"\xff\"").is_err());
    assert!(matches!(from_json(b"1e999"), Err(JsonError::Range(number)) if number == "1e999"));
    assert!(matches!(from_json("9".repeat(4301).as_bytes()), Err(JsonError::Digits)));
    assert!(from_json("9".repeat(4300).as_bytes()).is_ok());
}

fn any_json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| Number::from_f64(number).map_or(Value::Null, Value::Number)),
        "\\PC{0,40}".prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 200, 40, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..40).prop_map(Value::from),
            prop::collection::vec(("\\PC{0,5}", inner), 0..20)
                .prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_survives_there_and_back(value in any_json()) {
        let payload = from_json(serde_json::to_string_pretty(&value).unwrap().as_bytes()).unwrap();
        prop_assert_eq!(shown(&payload).unwrap(), value.to_string());
    }

    #[test]
    fn garbage_is_an_error_or_well_formed_json(
        payload in prop::collection::vec(prop_oneof![any::<u8>(), 0x80u8..0x9f, 0xc4u8..=0xdf, 0u8..16], 0..200),
    ) {
        if let Ok(json) = shown(&payload) {
            prop_assert!(serde_json::from_str::<&RawValue>(&json).is_ok(), "{}", json);
        }
    }

    #[test]
    fn garbage_in_extensions_is_an_error_or_well_formed_json(
        tag in 1i8..30,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        at in any::<prop::sample::Index>(),
        junk in prop::collection::vec(prop_oneof![any::<u8>(), 0x80u8..0x9f, 0xc4u8..=0xdf], 0..80),
    ) {
        let vectors: Value = serde_json::from_str(include_str!("../../../tests/conformance/values.json")).unwrap();
        let golden = vectors["shown"].as_array().unwrap();
        let mut payload = golden_bytes(&at.get(golden)["bytes"]);
        for (place, byte) in damage {
            let place = place.index(payload.len());
            payload[place] = byte;
        }
        for payload in [payload, ext(tag, &junk)] {
            if let Ok(json) = shown(&payload) {
                prop_assert!(serde_json::from_str::<&RawValue>(&json).is_ok(), "{}", json);
            }
        }
    }

    #[test]
    fn garbage_as_json_never_panics(text in "[\\[\\]{}:,\"\\\\ 0-9eE.+tnf-]{0,60}") {
        if let Ok(payload) = from_json(text.as_bytes()) {
            prop_assert!(shown(&payload).is_ok());
        }
    }
}

#[test]
fn values_of_libraries_have_their_json_form() {
    let vectors = include_str!("../../../tests/conformance/values.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    for vector in vectors["shown"].as_array().unwrap() {
        let shown = shown(&golden_bytes(&vector["bytes"]));
        assert_eq!(shown.as_deref(), Ok(vector["json"].as_str().unwrap()), "{}", vector["python"]);
    }
}

/// `[dtype, shape, order, bytes]`
fn array(dtype: &str, shape: &[u64], data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x94];
    write_str(&mut out, dtype).unwrap();
    rmp::encode::write_array_len(&mut out, shape.len() as u32).unwrap();
    for length in shape {
        rmp::encode::write_uint(&mut out, *length).unwrap();
    }
    write_str(&mut out, "C").unwrap();
    rmp::encode::write_bin(&mut out, data).unwrap();
    ext(18, &out)
}

#[test]
fn what_arrays_and_tables_take_as_json_is_bounded() {
    let many = 1 << 40;
    let range = [text("range"), vec![0x91, 0xc0, 0x93, 0], vec![0xcf, 0, 0, 1, 0, 0, 0, 0, 0, 1]].concat();
    let cases = [
        array("<f8", &[many, 0, many], &[]),
        [vec![0x93], [array("<f8", &[1 << 25, 0], &[]), array("<f8", &[1 << 25, 0], &[])].concat(), vec![1]]
            .concat(),
        ext(22, &[vec![0x93], range].concat()),
    ];
    for payload in cases {
        assert_eq!(shown(&payload), Err(DecodeError::Room), "{payload:02x?}");
    }
    let deep = array("<f8", &[1; 65], &[0; 8]);
    assert_eq!(shown(&deep), Err(DecodeError::Malformed("a shape")));
    assert!(shown(&array("|S0", &[many], &[])).is_err());
    assert!(shown(&array("<f8", &[2], &[0; 8])).is_err());
    assert_eq!(shown(&array("<f16", &[1], &[0; 16])), Err(DecodeError::Dtype("<f16".into())));
    assert_eq!(shown(&array("|O", &[1], &[0; 8])), Err(DecodeError::Dtype("|O".into())));
}

#[test]
fn every_value_of_the_golden_vectors_can_be_shown() {
    let vectors = include_str!("../../../tests/conformance/values.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    for vector in vectors["values"].as_array().unwrap() {
        let shown = shown(&golden_bytes(&vector["bytes"]))
            .unwrap_or_else(|error| panic!("{}: {error}", vector["python"]));
        assert!(serde_json::from_str::<&RawValue>(&shown).is_ok(), "{}: {shown}", vector["python"]);
    }
}
