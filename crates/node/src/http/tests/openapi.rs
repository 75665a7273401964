//! The OpenAPI document is complete, and the handlers answer as it says.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Fixture;
use super::client::Reply;
use crate::http::openapi::DOCUMENT;

fn document() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

/// Methods and paths that the routers name, read from their source.
fn routes() -> BTreeSet<(String, String)> {
    let source = include_str!("../mod.rs");
    let mut routes = BTreeSet::new();
    for line in source.split(".route(\"").skip(1) {
        let (path, handlers) = line.split_once('"').unwrap();
        let handlers = handlers.split('\n').next().unwrap();
        for method in ["get", "post", "put", "delete"] {
            let named = |prefix: &str| handlers.contains(&format!("{prefix}{method}("));
            if named(" ") || named(".") {
                routes.insert((method.to_owned(), path.to_owned()));
            }
        }
    }
    routes
}

#[test]
fn every_route_is_described_and_every_description_is_a_route() {
    let document = document();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        described.extend(item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())));
    }
    let routes = routes();
    assert!(routes.len() > 15, "{routes:?}");
    let missing: Vec<_> = routes.difference(&described).collect();
    assert!(missing.is_empty(), "add these to http/openapi.json: {missing:?}");
    let gone: Vec<_> = described.difference(&routes).collect();
    assert!(gone.is_empty(), "http/openapi.json describes what is not there: {gone:?}");
}

/// Whether a value has the shape of a schema: as much of JSON Schema as the document uses.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(reference.strip_prefix('#').unwrap());
        return check(document, schema.unwrap_or_else(|| panic!("{reference} is missing")), value, at);
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        other => panic!("{at}: the schema has the type {other}"),
    };
    let fits = |kind: &&str| match *kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{at}: unknown type {other}"),
    };
    assert!(kinds.iter().any(fits), "{at}: {value} is not {kinds:?}");
    if let Some(allowed) = schema["enum"].as_array() {
        assert!(allowed.contains(value), "{at}: {value} is not one of {allowed:?}");
    }
    if let Some(items) = value.as_array() {
        items.iter().for_each(|item| check(document, &schema["items"], item, &format!("{at}[]")));
    }
    let (Some(fields), Some(properties)) = (value.as_object(), schema["properties"].as_object()) else { return };
    for (name, field) in fields {
        let property = properties.get(name);
        let property = property.unwrap_or_else(|| panic!("{at}.{name} is not in http/openapi.json"));
        check(document, property, field, &format!("{at}.{name}"));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(fields.contains_key(name), "{at}.{name} is promised and missing");
    }
}

/// The answer must be described for this route and status, and look as described.
fn described(document: &Value, method: &str, path: &str, reply: &Reply) {
    let operation = &document["paths"][path][method];
    let response = &operation["responses"][reply.status.to_string()];
    assert!(response.is_object(), "{method} {path} answers {}, which is not described: {}", reply.status, reply.text());
    let content = reply.header("content-type").unwrap_or_default();
    if content == "application/json" {
        let schema = &response["content"]["application/json"]["schema"];
        check(document, schema, &reply.json(), &format!("{method} {path} {}", reply.status));
    } else if path != "/dashboard/{file}" {
        let kind = content.split(';').next().unwrap();
        assert!(response["content"][kind].is_object(), "{method} {path} answers with {kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_handlers_answer_as_described() {
    let document = document();
    let fixture = Fixture::alone(json!({})).await;
    let mut client = fixture.client().await;
    let result = fixture.finalize(&mut client, "described").await;
    let (id, height) = (result["id"].as_str().unwrap(), result["height"].as_u64().unwrap());
    let unknown = "0".repeat(64);
    for (path, asked) in [
        ("/", "/".to_owned()),
        ("/dashboard/{file}", "/dashboard/style.css".to_owned()),
        ("/dashboard/{file}", "/dashboard/none".to_owned()),
        ("/v1/proposals/{id}", format!("/v1/proposals/{id}?wait_ms=1")),
        ("/v1/proposals/{id}", format!("/v1/proposals/{unknown}")),
        ("/v1/proposals/{id}", "/v1/proposals/x".to_owned()),
        ("/v1/blocks", "/v1/blocks?from=1&limit=10".to_owned()),
        ("/v1/blocks", "/v1/blocks?limit=0".to_owned()),
        ("/v1/blocks/{height}", format!("/v1/blocks/{height}")),
        ("/v1/blocks/{height}", "/v1/blocks/1000000".to_owned()),
        ("/v1/status", "/v1/status".to_owned()),
        ("/v1/validators", "/v1/validators".to_owned()),
        ("/v1/evidence", "/v1/evidence".to_owned()),
        ("/v1/genesis", "/v1/genesis".to_owned()),
        ("/v1/openapi.json", "/v1/openapi.json".to_owned()),
        ("/health/consensus", "/health/consensus".to_owned()),
        ("/health/quantum", "/health/quantum".to_owned()),
        ("/health/ai", "/health/ai".to_owned()),
        ("/readyz", "/readyz".to_owned()),
        ("/livez", "/livez".to_owned()),
        ("/metrics", "/metrics".to_owned()),
    ] {
        described(&document, "get", path, &client.get(&asked).await);
    }
    for (kind, body) in [
        ("application/json", json!({"value": "x", "priority": 9, "timeout_ms": 1_000, "nonce": 1}).to_string()),
        ("application/json", json!({"value": "no"}).to_string()),
        ("application/json", "{}".to_owned()),
        ("text/plain", "x".to_owned()),
    ] {
        described(&document, "post", "/v1/proposals", &client.post(kind, body.as_bytes()).await);
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_are_verified() {
    let document = document();
    let fixture = Fixture::alone(json!({})).await;
    let mut client = fixture.client().await;
    let result = fixture.finalize(&mut client, "verify me").await;
    let mut forged = result.clone();
    forged["height"] = json!(7);
    let json_type = "content-type: application/json\r\n";
    for (body, valid) in [(&result, true), (&forged, false)] {
        let reply = client.request("POST", "/v1/verify", json_type, body.to_string().as_bytes()).await;
        described(&document, "post", "/v1/verify", &reply);
        assert_eq!((reply.status, &reply.json()["valid"]), (200, &json!(valid)), "{}", reply.text());
    }
    for (headers, body, status) in
        [(json_type, "{\"id\": 1}", 400), ("content-type: application/x-ndjson\r\n", "{}", 415), ("", "{}", 415)]
    {
        let reply = client.request("POST", "/v1/verify", headers, body.as_bytes()).await;
        described(&document, "post", "/v1/verify", &reply);
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    fixture.end().await;
}
