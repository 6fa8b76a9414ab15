use serde_json::{Value, json};

use super::*;

fn param(name: &str, kind: &str, annotation: Option<&str>, required: bool, schema: Value) -> Value {
    json!({"name": name, "kind": kind, "annotation": annotation, "required": required, "schema": schema})
}

fn signature(text: &str, params: &[Value]) -> Signature {
    let json = json!({"text": text, "doc": null, "returns": null, "params": params, "later": 1});
    Signature::parse(json.to_string().as_bytes()).unwrap()
}

const PLAIN: &str = "positional_or_keyword";

/// `b(x: int, y=2)`
fn plain() -> Signature {
    let x = param("x", PLAIN, Some("int"), true, json!({"type": "integer"}));
    signature("(x: int, y=2)", &[x, param("y", PLAIN, None, false, Value::Null)])
}

/// `f(a, b=0, /, c=0, *rest: int, key: str | None = None, **more: bool)`
fn every_kind() -> Signature {
    let nullable = json!({"anyOf": [{"type": "string"}, {"type": "null"}], "default": null});
    signature(
        "(a, b=0, /, c=0, *rest: int, key: str | None = None, **more: bool)",
        &[
            param("a", "positional_only", None, true, Value::Null),
            param("b", "positional_only", None, false, Value::Null),
            param("c", PLAIN, None, false, Value::Null),
            param("rest", "var_positional", Some("int"), false, json!({"type": "integer"})),
            param("key", "keyword_only", Some("str | None"), false, nullable),
            param("more", "var_keyword", Some("bool"), false, json!({"type": "boolean"})),
        ],
    )
}

/// Pointers and messages.
type Mistakes<T> = Vec<(T, T)>;

fn shown(payload: Result<Bytes, BindError>) -> Result<String, Mistakes<String>> {
    match payload {
        Ok(payload) => {
            let mut out = Vec::new();
            crate::protocol::json::to_json(&payload, &mut out).unwrap();
            Ok(String::from_utf8(out).unwrap())
        }
        Err(BindError::Malformed(reason)) => Err(vec![("malformed".to_owned(), reason)]),
        Err(BindError::Mismatches(list)) => Err(list.into_iter().map(|m| (m.pointer, m.message)).collect()),
    }
}

fn by_json(signature: &Signature, body: &str) -> Result<String, Mistakes<String>> {
    shown(signature.bind_json(body.as_bytes()))
}

fn by_words(signature: &Signature, words: &[&str]) -> Result<String, String> {
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    let bound = signature.bind_words(&words);
    bound.map(|payload| shown(Ok(payload)).unwrap()).map_err(|error| signature.explain("f", &error))
}

#[test]
fn json_is_bound() {
    let none = signature("()", &[]);
    for body in ["", " \n", "{}", r#"{"_args": [], "_kwargs": {}}"#, r#"{"_args": []}"#] {
        assert_eq!(by_json(&none, body).as_deref(), Ok("[[],{}]"), "{body}");
    }
    let cases = [
        (plain(), r#"{"x": 1}"#, r#"[[],{"x":1}]"#),
        (plain(), r#"{"y": {"z": [1]}, "x": 1}"#, r#"[[],{"x":1,"y":{"z":[1]}}]"#),
        (plain(), r#"{"_args": [1, "two"]}"#, r#"[[1,"two"],{}]"#),
        (plain(), r#"{"_args": [1], "_kwargs": {"y": null}}"#, r#"[[1],{"y":null}]"#),
        (every_kind(), r#"{"a": 1}"#, "[[1],{}]"),
        (every_kind(), r#"{"b": 2, "a": 1, "c": 3, "on": true}"#, r#"[[1,2],{"c":3,"on":true}]"#),
        (
            every_kind(),
            r#"{"_args": [1, 2, 3, 4, 5], "_kwargs": {"key": "k"}}"#,
            r#"[[1,2,3,4,5],{"key":"k"}]"#,
        ),
    ];
    for (signature, body, expected) in cases {
        assert_eq!(by_json(&signature, body).as_deref(), Ok(expected), "{body}");
    }
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let cases: Vec<(Signature, &str, Mistakes<&str>)> = vec![
        (plain(), "[1]", vec![("", "takes a JSON object of its parameters")]),
        (
            plain(),
            r#"{"z/~": 1, "y": 1, "y": 2}"#,
            vec![
                ("/z~1~0", "has no parameter `z/~`"),
                ("/y", "got two values for `y`"),
                ("/x", "needs a value for `x`"),
            ],
        ),
        (plain(), r#"{"x": 1.5}"#, vec![("/x", "takes an integer as `x`, not a number")]),
        (plain(), r#"{"x": true}"#, vec![("/x", "takes an integer as `x`, not a boolean")]),
        (
            plain(),
            r#"{"_args": ["1"], "_kwargs": {"x": 2}}"#,
            vec![
                ("/_args/0", "takes an integer as `x`, not a string"),
                ("/_kwargs/x", "got two values for `x`"),
            ],
        ),
        (plain(), r#"{"_args": [1, 2, 3, 4]}"#, vec![("/_args/2", "takes 2 positional arguments, not 4")]),
        (
            plain(),
            r#"{"_args": 1, "_kwargs": [], "x": 1}"#,
            vec![
                ("/_args", "takes an array as `_args`"),
                ("/_kwargs", "takes an object as `_kwargs`"),
                ("/x", "takes nothing beside `_args` and `_kwargs`, so `x` must stand in `_kwargs`"),
            ],
        ),
        (
            every_kind(),
            r#"{"b": 1, "key": 1, "on": 1, "rest": false}"#,
            vec![
                ("/key", "takes a string or null as `key`, not an integer"),
                ("/on", "takes a boolean as `more`, not an integer"),
                ("/a", "needs a value for `a`"),
            ],
        ),
        (
            every_kind(),
            r#"{"_args": [1, 2, 3, "x"]}"#,
            vec![("/_args/3", "takes an integer as `rest`, not a string")],
        ),
        (
            plain(),
            r#"{"x": 1, "y": [1e999]}"#,
            vec![("/y", "cannot take a value: the number 1e999 is out of range")],
        ),
    ];
    for (signature, body, expected) in cases {
        let expected = expected.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
        assert_eq!(by_json(&signature, body), Err(expected), "{body}");
    }
    let many: serde_json::Map<_, _> = (0..100).map(|number| (format!("z{number}"), Value::Null)).collect();
    let mistakes = by_json(&plain(), &Value::from(many).to_string()).unwrap_err();
    assert_eq!(mistakes.len(), MISMATCHES_MAX);
}

#[test]
fn what_is_not_json_is_told_as_such() {
    for body in ["{", "{\"x\": 1} x", "{\"x\": nul}", "x=1"] {
        assert_eq!(by_json(&plain(), body).unwrap_err()[0].0, "malformed", "{body}");
    }
}

#[test]
fn words_are_bound() {
    let text = signature("(s: str)", &[param("s", PLAIN, Some("str"), true, json!({"type": "string"}))]);
    let free = signature("(v)", &[param("v", PLAIN, None, true, Value::Null)]);
    let cases: Vec<(&Signature, &[&str], &str)> = vec![
        (&text, &["12"], r#"[["12"],{}]"#),
        (&text, &["\"q\""], r#"[["\"q\""],{}]"#),
        (&text, &["s=12"], r#"[[],{"s":"12"}]"#),
        (&text, &["z=12"], r#"[["z=12"],{}]"#),
        (&text, &[""], r#"[[""],{}]"#),
        (&free, &["12"], "[[12],{}]"),
        (&free, &["[1, {\"a\": null}]"], r#"[[[1,{"a":null}]],{}]"#),
        (&free, &["hello world"], r#"[["hello world"],{}]"#),
        (&free, &["a=b"], r#"[["a=b"],{}]"#),
        (&free, &["v=a=b"], r#"[[],{"v":"a=b"}]"#),
        (&free, &["-1"], "[[-1],{}]"),
    ];
    for (signature, words, expected) in cases {
        assert_eq!(by_words(signature, words).as_deref(), Ok(expected), "{words:?}");
    }
    let mixed = by_words(&every_kind(), &["1", "two", "3", "4", "5", "key=7", "on=true"]);
    assert_eq!(mixed.as_deref(), Ok(r#"[[1,"two",3,4,5],{"key":"7","on":true}]"#));
    assert_eq!(by_words(&plain(), &["1", "y=x"]).as_deref(), Ok(r#"[[1],{"y":"x"}]"#));
}

#[test]
fn wrong_words_are_explained() {
    let one = signature("(x: int)", &[param("x", PLAIN, Some("int"), true, json!({"type": "integer"}))]);
    let cases: [(&[&str], &str); 7] = [
        (&["1", "z=2"], "f() has no parameter `z`; its signature is f(x: int)"),
        (&["x=1", "z=2"], "f() has no parameter `z`; its signature is f(x: int)"),
        (&["z=2"], "f() has no parameter `z`, and needs a value for `x`; its signature is f(x: int)"),
        (&[], "f() needs a value for `x`; its signature is f(x: int)"),
        (&["1", "2"], "f() takes 1 positional argument, not 2; its signature is f(x: int)"),
        (&["1", "x=2"], "f() got two values for `x`; its signature is f(x: int)"),
        (&["one"], "f() takes an integer as `x`, not a string; its signature is f(x: int)"),
    ];
    for (words, expected) in cases {
        assert_eq!(by_words(&one, words), Err(expected.to_owned()), "{words:?}");
    }
    let only =
        signature("(a, /)", &[param("a", "positional_only", Some("int"), true, json!({"type": "integer"}))]);
    let message = "f() takes `a` by position only, and needs a value for `a`; its signature is f(a, /)";
    assert_eq!(by_words(&only, &["a=1"]), Err(message.to_owned()));
}

#[test]
fn types_of_schemas() {
    let cases = [
        (json!({"type": "number"}), "a number", vec!["1", "1.5", "-1e3"], vec!["\"1\"", "null"]),
        (json!({"type": ["integer", "null"]}), "an integer or null", vec!["1", "null"], vec!["1.0", "true"]),
        (
            json!({"anyOf": [{"type": "array"}, {"type": "object"}]}),
            "an object or an array",
            vec!["[]", "{}"],
            vec!["1"],
        ),
    ];
    for (schema, shown, fits, misfits) in cases {
        let types: Types = serde_json::from_value(schema).unwrap();
        assert_eq!(types.to_string(), shown);
        for text in fits {
            assert!(types.contains(Types::of_json(text)), "{text}");
        }
        for text in misfits {
            assert!(!types.contains(Types::of_json(text)), "{text}");
        }
    }
    for free in [json!({}), json!(null), json!({"$ref": "x"}), json!({"anyOf": [{"type": "null"}, {}]})] {
        assert!(serde_json::from_value::<Types>(free).unwrap().contains(Types::STRING));
    }
}

#[test]
fn an_example_fits() {
    let all = ["string", "boolean", "array", "object", "null", "number"];
    let params: Vec<_> =
        all.iter().map(|&name| param(name, PLAIN, None, true, json!({"type": name}))).collect();
    let example = signature("", &params).example();
    let expected =
        r#"{"string": "text", "boolean": true, "array": [], "object": {}, "null": null, "number": 1}"#;
    assert_eq!(example, expected);
    assert!(signature("", &params).bind_json(example.as_bytes()).is_ok());
    assert_eq!(every_kind().example(), r#"{"a": 1}"#);
}
