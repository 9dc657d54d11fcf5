//! JSON schemas of Kubernetes' objects for kubeconform, made of what Kubernetes says of itself; nothing is downloaded.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";

/// Writes a file per kind into `to`, in which unknown fields are refused.
pub(super) fn write(swagger: &Path, to: &Path) -> Result<()> {
    let text = fs::read_to_string(swagger).with_context(|| format!("read {}", swagger.display()))?;
    let whole: Value = serde_json::from_str(&text).context("parse Kubernetes' swagger.json")?;
    let definitions = whole["definitions"].as_object().context("swagger.json has definitions")?;
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    let mut fixed: Map<String, Value> =
        definitions.iter().map(|(name, value)| (name.clone(), fix(value, false))).collect();
    fixed.insert(QUANTITY.to_owned(), json!({"oneOf": [{"type": "string"}, {"type": "number"}]}));
    for (name, definition) in definitions {
        let kinds = definition["x-kubernetes-group-version-kind"].as_array();
        // an object of many groups (DeleteOptions and the like) is none that a manifest holds
        let Some([kind]) = kinds.map(Vec::as_slice) else { continue };
        let [group, version, kind] =
            ["group", "version", "kind"].map(|key| kind[key].as_str().unwrap_or_default());
        let Some(schema) = fixed.get(name).cloned() else { continue };
        fs::write(
            to.join(file(group, version, kind)),
            kind_schema(schema, group, version, kind).to_string(),
        )?;
    }
    fs::write(to.join("_definitions.json"), json!({"definitions": fixed}).to_string())?;
    Ok(())
}

/// As kubeconform's template names it: `{{.ResourceKind}}{{.KindSuffix}}.json`.
fn file(group: &str, version: &str, kind: &str) -> String {
    let mut parts = vec![kind.to_lowercase()];
    parts.extend(group.split('.').next().filter(|group| !group.is_empty()).map(str::to_owned));
    parts.push(version.to_owned());
    format!("{}.json", parts.join("-"))
}

fn kind_schema(mut schema: Value, group: &str, version: &str, kind: &str) -> Value {
    let api = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    schema["properties"]["apiVersion"] = json!({"enum": [api]});
    schema["properties"]["kind"] = json!({"enum": [kind]});
    schema
}

/// Swagger as JSON schema: references into the file of definitions, numbers-or-strings, no unknown fields.
fn fix(value: &Value, names: bool) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| fix(item, false)).collect(),
        Value::Object(object) => fix_object(object, names),
        other => other.clone(),
    }
}

/// `names`: the keys are names of fields, not words of the schema.
fn fix_object(object: &Map<String, Value>, names: bool) -> Value {
    if !names && object.get("format").is_some_and(|format| format == "int-or-string") {
        return json!({"oneOf": [{"type": "string"}, {"type": "integer"}]});
    }
    let mut fixed = Map::new();
    for (key, value) in object {
        if !names && (key == "format" || key.starts_with("x-kubernetes")) {
            continue;
        }
        let value = match value.as_str().filter(|_| key == "$ref") {
            Some(to) => json!(to.replace("#/definitions/", "_definitions.json#/definitions/")),
            None => fix(value, !names && key == "properties"),
        };
        fixed.insert(key.clone(), value);
    }
    let open = ["additionalProperties", "x-kubernetes-preserve-unknown-fields"];
    if !names && fixed.contains_key("properties") && !open.iter().any(|key| object.contains_key(*key)) {
        fixed.insert("additionalProperties".to_owned(), json!(false));
    }
    Value::Object(fixed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{file, fix};

    #[test]
    fn swagger_becomes_a_schema_that_refuses_unknown_fields() {
        let swagger = json!({"type": "object", "properties": {
            "format": {"type": "string", "format": "byte"},
            "port": {"type": "string", "format": "int-or-string"},
            "spec": {"$ref": "#/definitions/Spec"}}});
        let schema = json!({"type": "object", "properties": {
            "format": {"type": "string"},
            "port": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            "spec": {"$ref": "_definitions.json#/definitions/Spec"}}, "additionalProperties": false});
        assert_eq!(fix(&swagger, false), schema);
    }

    #[test]
    fn files_are_named_as_kubeconform_asks_for_them() {
        assert_eq!(file("apps", "v1", "DaemonSet"), "daemonset-apps-v1.json");
        assert_eq!(file("rbac.authorization.k8s.io", "v1", "Role"), "role-rbac-v1.json");
        assert_eq!(file("", "v1", "Service"), "service-v1.json");
    }
}
