//! Checks a value against a JSON schema as schemars writes it, and collects every mistake.
//!
//! Knows what our configs use: `$ref`, `properties`, `additionalProperties`, `required`, `items`, `type`, `enum`,
//! `const`, `anyOf`, `oneOf`, `minimum`, `maximum`, `minLength`. Anything else is left to serde.

use serde_json::Value;

use super::ConfigError;

/// Follows `$ref` into the root's `$defs`.
pub(super) fn resolve<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let mut schema = schema;
    // a chain of references is as long as the schema has definitions at most; ours have one or two
    for _ in 0..8 {
        let Some(pointer) =
            schema.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'))
        else {
            break;
        };
        match root.pointer(pointer) {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

fn variants(schema: &Value) -> Option<&Vec<Value>> {
    schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array)
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn accepts_null(schema: &Value, root: &Value) -> bool {
    let schema = resolve(schema, root);
    types(schema).contains(&"null")
        || variants(schema).is_some_and(|all| all.iter().any(|variant| accepts_null(variant, root)))
}

/// A key without a value (all of its children commented out) means the default.
pub(super) fn prune_nulls(value: &mut Value, schema: &Value, root: &Value) {
    let schema = resolve(schema, root);
    let Value::Object(map) = value else { return };
    let properties = schema.get("properties");
    map.retain(|key, value| {
        let child = properties.and_then(|properties| properties.get(key));
        !value.is_null() || child.is_none_or(|child| accepts_null(child, root))
    });
    for (key, value) in map.iter_mut() {
        if let Some(child) = properties.and_then(|properties| properties.get(key)) {
            prune_nulls(value, child, root);
        }
    }
}

/// Whether the key at this path takes text only, so that an override is not read as YAML.
pub(super) fn is_text(root: &Value, path: &[String]) -> bool {
    let mut schema = root;
    for key in path {
        let here = resolve(schema, root);
        let next = here.pointer(&format!("/properties/{key}")).or_else(|| here.get("additionalProperties"));
        match next {
            Some(next) => schema = next,
            None => return false,
        }
    }
    let schema = resolve(schema, root);
    types(schema).into_iter().any(|kind| kind == "string") && !types(schema).contains(&"integer")
}

/// Appends every mistake of `value` under `path`.
pub(super) fn check(value: &Value, schema: &Value, root: &Value, path: &str, errors: &mut Vec<ConfigError>) {
    let schema = resolve(schema, root);
    if let Some(all) = variants(schema) {
        check_variants(value, all, root, path, errors);
        return;
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array) {
        if !allowed.contains(value) {
            errors.push(ConfigError::new(path, format!("expected one of {}, got {value}", list(allowed))));
        }
        return;
    }
    if let Some(constant) = schema.get("const") {
        if constant != value {
            errors.push(ConfigError::new(path, format!("expected {constant}, got {value}")));
        }
        return;
    }
    let expected = types(schema);
    if !expected.is_empty() && !expected.iter().any(|kind| has_type(value, kind)) {
        errors.push(ConfigError::new(
            path,
            format!("expected {}, got {}", expected.join(" or "), describe(value)),
        ));
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, child) in map {
                check_key(key, child, schema, root, path, errors);
            }
            let required = schema.get("required").and_then(Value::as_array);
            for key in required.into_iter().flatten().filter_map(Value::as_str) {
                if !map.contains_key(key) {
                    errors.push(ConfigError::new(join(path, key), "missing"));
                }
            }
        }
        Value::Array(items) => {
            let Some(item) = schema.get("items") else { return };
            for (index, child) in items.iter().enumerate() {
                check(child, item, root, &format!("{path}[{index}]"), errors);
            }
        }
        Value::Number(_) => check_range(value, schema, path, errors),
        Value::String(text) => {
            let least = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0);
            if (text.chars().count() as u64) < least {
                errors.push(ConfigError::new(path, "must not be empty"));
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn check_key(
    key: &str,
    child: &Value,
    schema: &Value,
    root: &Value,
    path: &str,
    errors: &mut Vec<ConfigError>,
) {
    let path = join(path, key);
    let properties = schema.get("properties");
    if let Some(known) = properties.and_then(|properties| properties.get(key)) {
        check(child, known, root, &path, errors);
        return;
    }
    match schema.get("additionalProperties") {
        Some(Value::Bool(false)) => {
            let known: Vec<&str> = properties
                .and_then(Value::as_object)
                .map(|map| map.keys().map(String::as_str).collect())
                .unwrap_or_default();
            errors.push(ConfigError::new(path, format!("unknown key; known here: {}", known.join(", "))));
        }
        Some(any @ Value::Object(_)) => check(child, any, root, &path, errors),
        _ => {}
    }
}

fn check_variants(value: &Value, all: &[Value], root: &Value, path: &str, errors: &mut Vec<ConfigError>) {
    let mut nearest: Option<Vec<ConfigError>> = None;
    for variant in all {
        let mut mistakes = Vec::new();
        check(value, variant, root, path, &mut mistakes);
        if mistakes.is_empty() {
            return;
        }
        // a mistake deeper in is nearer to what was meant than a wrong type at the top
        let depth = |list: &[ConfigError]| list.iter().filter(|error| error.path == path).count();
        let is_nearer = nearest
            .as_ref()
            .is_none_or(|best| (depth(&mistakes), mistakes.len()) < (depth(best), best.len()));
        if is_nearer {
            nearest = Some(mistakes);
        }
    }
    let constants: Vec<Value> = all.iter().flat_map(|variant| constants(resolve(variant, root))).collect();
    if constants.len() >= all.len() {
        errors.push(ConfigError::new(path, format!("expected one of {}, got {value}", list(&constants))));
    } else {
        errors.extend(nearest.unwrap_or_default());
    }
}

fn constants(schema: &Value) -> Vec<Value> {
    let many = schema.get("enum").and_then(Value::as_array).cloned().unwrap_or_default();
    many.into_iter().chain(schema.get("const").cloned()).collect()
}

fn check_range(value: &Value, schema: &Value, path: &str, errors: &mut Vec<ConfigError>) {
    let Some(number) = value.as_f64() else { return };
    if let Some(least) = schema.get("minimum").and_then(Value::as_f64)
        && number < least
    {
        errors.push(ConfigError::new(path, format!("must be at least {least}, got {value}")));
    }
    if let Some(most) = schema.get("maximum").and_then(Value::as_f64)
        && number > most
    {
        errors.push(ConfigError::new(path, format!("must be at most {most}, got {value}")));
    }
}

fn has_type(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Object(_) => String::from("a map"),
        Value::Array(_) => String::from("a list"),
        other => other.to_string(),
    }
}

fn list(values: &[Value]) -> String {
    values
        .iter()
        .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        .collect::<Vec<_>>()
        .join(", ")
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
