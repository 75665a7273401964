//! Tests of the set-up.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn no_env(_: &str) -> Option<String> {
    None
}

fn source(text: &str) -> ConfigSource {
    ConfigSource::new(text, &no_env).unwrap()
}

fn at(us: u64) -> Timestamp {
    Timestamp::new(us)
}

#[test]
fn a_validator_is_made_and_opens() {
    let dir = tempfile::tempdir().unwrap();
    let homes: Vec<Home> = (0..4).map(|i| Home::new(dir.path().join(format!("h{i}")))).collect();
    let files: Vec<PublicFile> = homes
        .iter()
        .enumerate()
        .map(|(i, home)| make_validator(home, &format!("org-{i}"), &format!("10.0.0.{i}:9080"), &source("{}")).unwrap())
        .collect();
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(homes[0].keys()), mode(homes[0].session_key()), mode(homes[0].link_key())), (0o700, 0o600, 0o600));
    let genesis = create_genesis("trade", &Config::default(), &files, at(7)).unwrap();
    assert_eq!(genesis, create_genesis("trade", &Config::default(), &files, at(7)).unwrap());
    assert_eq!((genesis.config.quorum.n(), genesis.config.quorum.f()), (4, 1));
    std::fs::write(homes[2].genesis(), genesis.to_json()).unwrap();
    let open = homes[2].open(&no_env).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(open.index.get(), 2);
    assert_eq!(open.config.network.listen.to_string(), "0.0.0.0:9080");
}

#[test]
fn a_home_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::new(dir.path());
    make_validator(&home, "a", "a.example:9080", &source("{}")).unwrap();
    let before = std::fs::read(home.session_key()).unwrap();
    assert!(matches!(make_validator(&home, "a", "a.example:9080", &source("{}")), Err(SetupError::Exists(_))));
    assert_eq!(before, std::fs::read(home.session_key()).unwrap());
}

#[test]
fn odd_names_and_addresses_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::new(dir.path().join("h"));
    for name in ["", "a b", ".a", "ü"] {
        assert!(matches!(make_validator(&home, name, "a:1", &source("{}")), Err(SetupError::Name(..))), "{name}");
    }
    for address in ["", "a", "a:0", ":9080", "a:65536", "a b:1", "http://a:1"] {
        assert!(matches!(make_validator(&home, "a", address, &source("{}")), Err(SetupError::Address(_))), "{address}");
    }
    assert!(!home.root().exists());
}

#[test]
fn a_mangled_public_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let good = make_validator(&Home::new(dir.path()), "org-a", "a.example:9080", &source("{}")).unwrap().to_json();
    assert_eq!(PublicFile::from_json(&good).unwrap().to_json(), good);
    for (from, to) in [("org-a", "org-b"), ("a.example", "b.example"), (":9080", ":9081")] {
        assert!(matches!(PublicFile::from_json(&good.replace(from, to)), Err(PublicFileError::Signature(_))), "{from}");
    }
    let relabelled = good.replace("\"level\": 768", "\"level\": 512");
    assert!(matches!(PublicFile::from_json(&relabelled), Err(PublicFileError::Field { .. })));
    let newer = good.replace("\"version\": 2", "\"version\": 3");
    assert!(matches!(PublicFile::from_json(&newer), Err(PublicFileError::Version { version: 3, .. })));
    assert!(matches!(PublicFile::from_json(&good[..200]), Err(PublicFileError::Json(_))));
    assert!(matches!(PublicFile::from_json("{}"), Err(PublicFileError::Json(_))));
}

#[test]
fn levels_do_not_mix() {
    let dir = tempfile::tempdir().unwrap();
    let low = source(r#"{"quantum_security": {"lattice_dimension": 512}}"#);
    let a = make_validator(&Home::new(dir.path().join("a")), "a", "a:1", &low).unwrap();
    let b = make_validator(&Home::new(dir.path().join("b")), "b", "b:1", &source("{}")).unwrap();
    let config = Config::default();
    assert!(matches!(create_genesis("n", &config, &[a.clone(), b], at(1)), Err(SetupError::Levels { .. })));
    // The default level of a configuration gives way to the files', an explicit one does not.
    assert_eq!(
        create_genesis("n", &config, std::slice::from_ref(&a), at(1)).unwrap().config.level,
        SecurityLevel::Level512
    );
    let explicit = source(r#"{"quantum_security": {"lattice_dimension": 768}}"#);
    assert!(matches!(
        create_genesis("n", &explicit.config, std::slice::from_ref(&a), at(1)),
        Err(SetupError::Levels { .. })
    ));
    assert!(matches!(create_genesis("n", &config, &[a.clone(), a], at(1)), Err(SetupError::Genesis(_))));
    assert!(create_genesis("n", &config, &[], at(1)).is_err());
}

#[test]
fn without_quantum_security_the_home_says_so_itself() {
    let dir = tempfile::tempdir().unwrap();
    let env = |name: &str| (name == "QUANTUM_SECURITY").then(|| "false".to_owned());
    let classical = ConfigSource::new("{}", &env).unwrap();
    assert!(!classical.warnings.is_empty());
    let network = create_local(dir.path(), 1, "c", 20_000, &classical, at(1)).unwrap();
    assert_eq!(network.genesis.config.level, SecurityLevel::Classical);
    assert!(network.homes[0].open(&no_env).is_ok());
}

#[test]
fn a_local_network_is_made_and_continued() {
    let dir = tempfile::tempdir().unwrap();
    assert!(open_local(dir.path()).unwrap().is_none());
    let made = create_local(dir.path(), 4, "local", 21_000, &source("{}"), at(5)).unwrap();
    assert!(matches!(create_local(dir.path(), 4, "local", 21_000, &source("{}"), at(5)), Err(SetupError::Exists(_))));
    let found = open_local(dir.path()).unwrap().unwrap();
    assert_eq!((found.port, found.homes.len(), &found.genesis), (21_000, 4, &made.genesis));
    let open = found.homes[3].open(&no_env).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(open.config.api.listen.to_string(), "127.0.0.1:21003");
    assert_eq!(open.config.network.listen.to_string(), "127.0.0.1:22003");

    found.configure(&source(r#"{"consensus": {"max_proposals": 5000}}"#)).unwrap();
    let open = found.homes[1].open(&no_env).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((open.config.consensus.max_proposals, open.config.api.listen.port()), (5000, 21_001));
    let other = found.configure(&source(r#"{"consensus": {"max_value_bytes": 100}}"#));
    assert!(matches!(other, Err(SetupError::OtherNetwork { .. })), "{other:?}");
}

#[test]
fn http_of_a_local_network_can_be_published() {
    let dir = tempfile::tempdir().unwrap();
    let network = create_local(dir.path(), 2, "n", 21_000, &source("{}"), at(1)).unwrap();
    let api = |index: usize| network.homes[index].read_config(&no_env).unwrap().0.api;
    network.serve_http_on("0.0.0.0".parse().unwrap()).unwrap();
    assert_eq!((api(1).listen.to_string(), api(1).allow_plain_http), ("0.0.0.0:21001".to_owned(), true));
    network.serve_http_on("127.0.0.1".parse().unwrap()).unwrap();
    assert_eq!((api(1).listen.to_string(), api(1).allow_plain_http), ("127.0.0.1:21001".to_owned(), false));
    // The rest of the configuration stays.
    assert_eq!(network.homes[1].open(&no_env).unwrap_or_else(|error| panic!("{error}")).index.get(), 1);
}

#[test]
fn a_directory_of_another_network_is_refused() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    create_local(a.path(), 2, "local", 21_000, &source("{}"), at(5)).unwrap();
    let other = create_local(b.path(), 2, "local", 21_000, &source("{}"), at(5)).unwrap();
    std::fs::copy(other.homes[1].genesis(), a.path().join("v1/genesis.json")).unwrap();
    assert!(matches!(open_local(a.path()), Err(SetupError::OtherNetwork { .. })));
    std::fs::remove_file(b.path().join("genesis.json")).unwrap();
    assert!(matches!(open_local(b.path()), Err(SetupError::OtherNetwork { .. })));
}

#[test]
fn sizes_and_ports_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    for (n, port) in [(0, 8080), (1_001, 8080), (6, 0), (6, 64_531)] {
        assert!(
            matches!(create_local(dir.path(), n, "n", port, &source("{}"), at(1)), Err(SetupError::Size(_))),
            "{n} {port}"
        );
    }
    let unsafe_numbers = source(r#"{"consensus": {"max_byzantine": 2}}"#);
    assert!(matches!(create_local(dir.path(), 4, "n", 8080, &unsafe_numbers, at(1)), Err(SetupError::Params(_))));
}
