//! Writes what the schema knows for people: the annotated example and the reference table.

use serde_json::Value;

use super::Config;
use super::check::resolve;

const WIDTH: usize = 110;

/// An annotated YAML file that says what the defaults are; reading it gives the defaults.
pub fn example<T: Config>() -> String {
    let schema = schemars::schema_for!(T).to_value();
    let defaults = serde_json::to_value(T::default()).unwrap_or_default();
    let mut text = String::new();
    comment(&mut text, description(&schema, &schema), 0);
    object(&mut text, &schema, &schema, &defaults, 0);
    text
}

fn object(text: &mut String, schema: &Value, root: &Value, defaults: &Value, depth: usize) {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, child) in properties.into_iter().flatten() {
        let default = defaults.get(key).unwrap_or(&Value::Null);
        let meaning = description(child, root);
        if depth == 0 {
            text.push('\n');
        }
        comment(text, meaning, depth);
        let target = object_of(child, root);
        let indent = "  ".repeat(depth);
        match default {
            Value::Null => text.push_str(&format!("{indent}# {key}:\n")),
            Value::Object(_) if target.get("properties").is_some() => {
                text.push_str(&format!("{indent}{key}:\n"));
                object(text, target, root, default, depth + 1);
            }
            other => text.push_str(&format!("{indent}{key}:{}\n", yaml(other, depth + 1))),
        }
    }
}

/// The object behind a reference, or behind an optional one.
fn object_of<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let schema = resolve(schema, root);
    let variants = schema.get("anyOf").and_then(Value::as_array);
    variants
        .into_iter()
        .flatten()
        .map(|variant| resolve(variant, root))
        .find(|variant| variant.get("properties").is_some())
        .unwrap_or(schema)
}

fn description<'a>(schema: &'a Value, root: &'a Value) -> &'a str {
    schema
        .get("description")
        .or_else(|| resolve(schema, root).get("description"))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn comment(text: &mut String, meaning: &str, depth: usize) {
    let indent = "  ".repeat(depth);
    let mut line = String::new();
    for word in meaning.split_whitespace() {
        if !line.is_empty() && indent.len() + line.len() + word.len() + 3 > WIDTH {
            text.push_str(&format!("{indent}#{line}\n"));
            line.clear();
        }
        line.push(' ');
        line.push_str(word);
    }
    if !line.is_empty() {
        text.push_str(&format!("{indent}#{line}\n"));
    }
}

/// A value after its key: with a leading space on the same line, or on lines of its own.
fn yaml(value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    match value {
        Value::Array(items) if !items.is_empty() => {
            items.iter().map(|item| format!("\n{indent}- {}", scalar(item))).collect()
        }
        Value::Object(map) if !map.is_empty() => {
            map.iter().map(|(key, value)| format!("\n{indent}{key}:{}", yaml(value, depth + 1))).collect()
        }
        other => format!(" {}", scalar(other)),
    }
}

/// JSON is YAML; plain words need no quotes.
fn scalar(value: &Value) -> String {
    match value.as_str() {
        Some(text) if is_plain(text) => text.to_owned(),
        _ => value.to_string(),
    }
}

fn is_plain(text: &str) -> bool {
    let starts_as_word = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    let is_word = text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-/.".contains(letter));
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    starts_as_word && is_word && !reserved.contains(&text.to_lowercase().as_str())
}

/// A Markdown table of every key.
pub fn reference<T: Config>() -> String {
    let schema = schemars::schema_for!(T).to_value();
    let defaults = serde_json::to_value(T::default()).unwrap_or_default();
    let mut text = String::from("| Key | Type | Default | Environment | Meaning |\n|---|---|---|---|---|\n");
    rows::<T>(&mut text, &schema, &schema, &defaults, "");
    text
}

fn rows<T: Config>(text: &mut String, schema: &Value, root: &Value, defaults: &Value, path: &str) {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, child) in properties.into_iter().flatten() {
        let default = defaults.get(key).unwrap_or(&Value::Null);
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let target = object_of(child, root);
        if target.get("properties").is_some() {
            rows::<T>(text, target, root, default, &path);
            continue;
        }
        let shown = if default.is_null() { String::from("none") } else { format!("`{default}`") };
        let variable = format!("{}__{}", T::ENV_PREFIX, path.replace('.', "__").to_uppercase());
        let meaning =
            description(child, root).split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
        text.push_str(&format!(
            "| `{path}` | {} | {shown} | `{variable}` | {meaning} |\n",
            kind(child, root)
        ));
    }
}

fn kind(schema: &Value, root: &Value) -> String {
    let schema = resolve(schema, root);
    if let Some(all) = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
        let kinds: Vec<String> =
            all.iter().map(|variant| kind(variant, root)).filter(|kind| kind != "null").collect();
        return kinds.join(" \\| ");
    }
    if let Some(Value::String(constant)) = schema.get("const") {
        return format!("`{constant}`");
    }
    if let Some(all) = schema.get("enum").and_then(Value::as_array) {
        return all
            .iter()
            .map(|one| format!("`{}`", one.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
            .join(" \\| ");
    }
    match schema.get("type") {
        Some(Value::String(one)) if one == "array" => {
            format!("list of {}", schema.get("items").map_or_else(String::new, |items| kind(items, root)))
        }
        Some(Value::String(one)) if one == "object" => String::from("map"),
        Some(Value::String(one)) => one.clone(),
        Some(Value::Array(many)) => many
            .iter()
            .filter_map(Value::as_str)
            .filter(|one| *one != "null")
            .collect::<Vec<_>>()
            .join(" \\| "),
        _ => String::new(),
    }
}
