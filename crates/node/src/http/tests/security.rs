//! Tokens, roles, TLS and the listeners of their own.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Fixture;
use super::client::{Client, Reply};
use crate::http::{client_provider, tls};
use crate::tokens::{Role, Tokens};

/// A validator with all listeners, and one token of each role.
async fn guarded() -> (Fixture, [String; 3]) {
    let api = json!({
        "require_tokens": true, "probe_listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0", "tokens_path": "my-tokens.json",
    });
    let fixture = Fixture::of(1, json!({ "api": api })).await;
    let path = fixture.home().join("my-tokens.json");
    let mut tokens = Tokens::default();
    let made = [Role::Read, Role::Propose, Role::Admin].map(|role| tokens.create("test", role, 0, None).unwrap().1);
    tokens.write(&path).unwrap();
    (fixture, made)
}

/// Asks again until the node has read the token file anew.
async fn until(address: SocketAddr, path: &str, token: &str, status: u16) -> Reply {
    let mut client = Client::connect(address).await;
    for _ in 0..600 {
        let reply = with(&mut client, "GET", path, token, "").await;
        if reply.status == status {
            return reply;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{path} never answers {status}");
}

async fn with(client: &mut Client, method: &str, path: &str, token: &str, body: &str) -> Reply {
    let headers = format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n");
    client.request(method, path, &headers, body.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_open_what_they_should() {
    let (fixture, [read, propose, admin]) = guarded().await;
    let api = fixture.listener("api");
    until(api, "/v1/status", &read, 200).await;
    let mut client = Client::connect(api).await;
    for path in ["/", "/dashboard/app.js", "/livez", "/readyz", "/v1/openapi.json"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    for path in ["/v1/status", "/metrics", "/health/quantum", "/v1/stream", "/v1/nothing", "/admin/log"] {
        let reply = client.get(path).await;
        reply.error(401, "unauthorized");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"agent-mesh\""), "{path}");
    }
    client.post_json(&json!({"value": "x"})).await.error(401, "unauthorized");
    with(&mut client, "GET", "/v1/status", "amt_00000000_x", "").await.error(401, "unauthorized");
    for (token, status) in [(&read, 403), (&propose, 202), (&admin, 202)] {
        let reply = with(&mut client, "POST", "/v1/proposals", token, "{\"value\":\"x\"}").await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    let text = with(&mut client, "GET", "/metrics", &read, "").await.text();
    assert!(text.contains("agent_mesh_http_refused_total{reason=\"forbidden\"} 1\n"), "{text}");
    // Revoked means out.
    let path = fixture.home().join("my-tokens.json");
    let mut tokens = Tokens::read(&path).unwrap();
    tokens.revoke(read.split('_').nth(1).unwrap()).unwrap();
    tokens.write(&path).unwrap();
    until(api, "/v1/status", &read, 401).await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_and_admins_have_their_own_doors() {
    let (fixture, [read, _, admin]) = guarded().await;
    let (probe, door) = (fixture.listener("probe"), fixture.listener("admin"));
    let mut client = Client::connect(probe).await;
    for path in ["/livez", "/readyz", "/health/consensus", "/health/quantum", "/health/ai", "/metrics"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    for path in ["/", "/v1/status", "/v1/blocks", "/admin/log"] {
        client.get(path).await.error(404, "not_found");
    }
    until(door, "/admin/tokens", &admin, 200).await;
    let mut client = Client::connect(door).await;
    client.get("/admin/log").await.error(401, "unauthorized");
    with(&mut client, "GET", "/admin/log", &read, "").await.error(403, "forbidden");
    with(&mut client, "GET", "/v1/status", &admin, "").await.error(404, "not_found");
    assert_eq!(with(&mut client, "GET", "/admin/log", &admin, "").await.json()["level"], "info");
    let changed = with(&mut client, "PUT", "/admin/log", &admin, "{\"level\":\"debug\"}").await;
    assert_eq!((changed.status, changed.json()), (200, json!({"level": "debug", "before": "info"})));
    with(&mut client, "PUT", "/admin/log", &admin, "{\"level\":\"wrong\"}").await.error(400, "invalid");
    with(&mut client, "PUT", "/admin/log", &admin, "{}").await.error(400, "invalid");
    let tokens = with(&mut client, "GET", "/admin/tokens", &admin, "").await;
    assert_eq!((tokens.json().as_array().unwrap().len(), tokens.text().contains("hash")), (3, false));
    let page = with(&mut client, "GET", "/admin/audit?limit=2", &admin, "").await.json();
    let events: Vec<&Value> = page["entries"].as_array().unwrap().iter().map(|entry| &entry["event"]).collect();
    assert_eq!(events, ["access_denied", "admin"], "{page}");
    let first = with(&mut client, "GET", "/admin/audit?from=1&limit=1", &admin, "").await.json();
    assert_eq!((&first["entries"][0]["event"], &first["log"]["first"]), (&json!("start"), &json!(1)));
    let dir = fixture.home().join("audit");
    fixture
        .end_with(|| {
            let mut last = String::new();
            crate::audit::verify(&dir, |entry| last.clone_from(&entry.event)).unwrap();
            assert_eq!(last, "stop");
        })
        .await;
}

async fn tls_get(
    fixture: &Fixture,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> std::io::Result<(String, String)> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(fixture.home().join("keys/api.cert.pem")).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(fixture.listener("api")).await?;
    let mut stream = connector.connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await?;
    let group = stream.get_ref().1.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok((group.unwrap_or_default(), answer))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_post_quantum_or_nothing() {
    let fixture = Fixture::of(1, json!({"api": {"tls": true}})).await;
    let (group, answer) = tls_get(&fixture, client_provider()).await.unwrap();
    assert_eq!(group, "X25519MLKEM768");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("{\"live\":true}"), "{answer}");
    let mut classical = (*tls::provider(true)).clone();
    classical.kx_groups.retain(|group| group.name() == rustls::NamedGroup::X25519);
    assert!(tls_get(&fixture, Arc::new(classical)).await.is_err(), "X25519 alone is not enough");
    // Plain HTTP on this port is no HTTP.
    let mut plain = fixture.client().await;
    plain.write(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(!plain.rest().await.starts_with(b"HTTP/1.1 200"));
    #[cfg(unix)]
    {
        let metadata = std::fs::metadata(fixture.home().join("keys/api.key.pem")).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777, 0o600);
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_clients_come_in_only_where_the_configuration_says_so() {
    let fixture = Fixture::of(1, json!({"api": {"tls": true, "tls_allow_classical": true}})).await;
    let mut classical = (*tls::provider(true)).clone();
    classical.kx_groups.retain(|group| group.name() == rustls::NamedGroup::X25519);
    assert_eq!(tls_get(&fixture, Arc::new(classical)).await.unwrap().0, "X25519");
    assert_eq!(tls_get(&fixture, client_provider()).await.unwrap().0, "X25519MLKEM768");
    fixture.end().await;
}
