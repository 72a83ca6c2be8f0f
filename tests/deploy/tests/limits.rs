//! Every limit that the schemas of the definitions set, one after the other: a real API server refuses what is
//! beyond it, and names the field. What is tried follows from the schemas.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

use std::collections::BTreeMap;

use causeway_kubernetes::{Client, ensure};
use causeway_test_deploy::eventually;
use causeway_test_deploy::objects::in_folder;
use causeway_test_deploy::samples::full;
use causeway_test_deploy::server::Server;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube_client::Api;
use kube_client::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// Keywords of schemas that set no limit, or one that a rule of its own is tried for elsewhere.
const NO_LIMITS: &str = "additionalProperties description format items properties type \
    title x-kubernetes-list-map-keys x-kubernetes-list-type x-kubernetes-map-type x-kubernetes-validations";

/// A limit: the field as the server names it, where it is in an object, and what it says.
struct Limit {
    field: String,
    pointer: String,
    keyword: String,
    bound: Value,
}

/// All limits of a schema and of what is below it.
fn limits(schema: &Value, field: &str, pointer: &str, found: &mut Vec<Limit>) {
    for (keyword, bound) in schema.as_object().unwrap() {
        if !NO_LIMITS.split_whitespace().any(|no_limit| no_limit == keyword) {
            let (field, pointer) = (field.to_owned(), pointer.to_owned());
            found.push(Limit { field, pointer, keyword: keyword.clone(), bound: bound.clone() });
        }
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let below = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
        limits(schema, &below, &format!("{pointer}/{name}"), found);
    }
    if schema["items"].is_object() {
        limits(&schema["items"], &format!("{field}[0]"), &format!("{pointer}/0"), found);
    }
}

/// A value that a schema allows, with what it requires and no more.
fn sample(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].as_array().and_then(|all| all.first()) {
        return first.clone();
    }
    match schema["type"].as_str().unwrap() {
        "string" => json!("a"),
        "integer" => schema["minimum"].as_i64().unwrap_or(1).into(),
        "boolean" => json!(true),
        "array" => json!([sample(&schema["items"])]),
        "object" => {
            let required = schema["required"].as_array().into_iter().flatten();
            let of = |name: &Value| {
                let name = name.as_str().unwrap().to_owned();
                let value = sample(&schema["properties"][&name]);
                (name, value)
            };
            Value::Object(required.map(of).collect())
        }
        other => panic!("{other}"),
    }
}

/// The value at `pointer`, made with all that is above it if it is not there.
fn place<'a>(mut value: &'a mut Value, mut schema: &Value, pointer: &str) -> &'a mut Value {
    for step in pointer.split('/').skip(1) {
        if step == "0" {
            schema = &schema["items"];
            let items = value.as_array_mut().unwrap();
            if items.is_empty() {
                items.push(sample(schema));
            }
            value = &mut items[0];
        } else {
            schema = &schema["properties"][step];
            value = value.as_object_mut().unwrap().entry(step).or_insert_with(|| sample(schema));
        }
    }
    value
}

/// Breaks the limit in each way that it can be, each with the words of the server; `|` stands between those that
/// need not follow each other.
fn break_it(limit: &Limit, value: &Value) -> Vec<(Value, String)> {
    let bound = limit.bound.as_i64().unwrap_or_default();
    let many = |count: i64| usize::try_from(count).unwrap();
    let field = &limit.field;
    let one = |value: Value, words: String| vec![(value, words)];
    match limit.keyword.as_str() {
        "maxItems" => {
            let items = vec![value[0].clone(); many(bound + 1)];
            one(json!(items), format!("{field}: Too many: {}: must have at most {bound} items", bound + 1))
        }
        "minItems" => {
            one(json!([]), format!("{field}: Invalid value|in body should have at least {bound} items"))
        }
        "maxProperties" => {
            let all: BTreeMap<String, &str> = (0..=bound).map(|number| (format!("k{number}"), "v")).collect();
            one(json!(all), format!("{field}: Too many: {}: must have at most {bound} items", bound + 1))
        }
        "maxLength" => one(
            json!("a".repeat(many(bound + 1))),
            format!("{field}: Too long: may not be more than {bound} bytes"),
        ),
        "minLength" => one(
            json!("a".repeat(many(bound - 1))),
            format!("{field}: Invalid value|in body should be at least {bound} chars long"),
        ),
        "minimum" => one(
            json!(bound - 1),
            format!("{field}: Invalid value|in body should be greater than or equal to {bound}"),
        ),
        "maximum" => one(
            json!(bound + 1),
            format!("{field}: Invalid value|in body should be less than or equal to {bound}"),
        ),
        "enum" => one(json!("nonsense"), format!("{field}: Unsupported value: \"nonsense\"")),
        "required" => {
            let lack = |name: &Value| {
                let (mut value, name) = (value.clone(), name.as_str().unwrap());
                value.as_object_mut().unwrap().remove(name);
                let of = if field.is_empty() { String::new() } else { format!("{field}.") };
                (value, format!("{of}{name}: Required value"))
            };
            limit.bound.as_array().unwrap().iter().map(lack).collect()
        }
        other => panic!("{field}: nothing here breaks {other}"),
    }
}

fn api(client: &Client, definition: &Value) -> Api<DynamicObject> {
    let text = |at: &str| definition.pointer(at).unwrap().as_str().unwrap();
    let kind = GroupVersionKind::gvk("causeway.dev", "v1alpha1", text("/spec/names/kind"));
    let resource = ApiResource::from_gvk_with_plural(&kind, text("/spec/names/plural"));
    if definition["spec"]["scope"] == "Namespaced" {
        Api::namespaced_with(client.clone(), "default", &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    }
}

#[tokio::test]
async fn every_limit_of_the_schemas_is_kept_by_a_real_api_server_which_names_the_field() {
    let server = Server::start().await;
    let client = server.admin().await;
    let mut tried: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for definition in in_folder("deploy/crds") {
        ensure(&client, "test", &definition).await.unwrap();
        let kind = definition["spec"]["names"]["kind"].as_str().unwrap();
        let api = api(&client, &definition);
        let object: DynamicObject = serde_json::from_value(full(kind)).unwrap();
        let name = object.metadata.name.clone().unwrap();
        eventually(kind, async || {
            api.create(&PostParams::default(), &object).await.map_err(|error| error.to_string())
        })
        .await;
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let mut all = Vec::new();
        limits(schema, "", "", &mut all);
        for limit in all {
            let mut whole = full(kind);
            let value = place(&mut whole, schema, &limit.pointer).clone();
            for (broken, words) in break_it(&limit, &value) {
                let mut object = whole.clone();
                *place(&mut object, schema, &limit.pointer) = broken;
                let said = refusal(&api, &name, &object, limit.pointer.starts_with("/status")).await;
                if !words.split('|').all(|words| said.contains(words)) {
                    wrong.push(format!(
                        "{kind} {} {}: {words:?} is not in {said:?}",
                        limit.field, limit.keyword
                    ));
                }
                *tried.entry(limit.keyword.clone()).or_default() += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // So that nothing is left out by a walk that goes astray.
    for keyword in ["maxItems", "maxLength", "minLength", "required", "enum", "minimum", "maximum"] {
        assert!(tried.get(keyword).is_some_and(|count| *count > 3), "{keyword}: {tried:?}");
    }
}

/// What the server says against the object, or against its status.
async fn refusal(api: &Api<DynamicObject>, name: &str, object: &Value, status: bool) -> String {
    let result = if status {
        let params = PatchParams { dry_run: true, ..PatchParams::default() };
        api.patch_status(name, &params, &Patch::Merge(json!({"status": object["status"]}))).await
    } else {
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let mut object = object.clone();
        // Another name would be judged by the rules; none at all lets the server choose before it judges.
        object["metadata"] = json!({"generateName": "a-"});
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        api.create(&dry, &object).await
    };
    result.map_or_else(|error| error.to_string(), |_| String::new())
}
