//! The settings as they are read, layered and shown.

use super::*;

fn with(flags: &[(&'static str, figment::value::Value)]) -> Result<Config, ConfigError> {
    Config::only(&flags.iter().cloned().collect())
}

#[test]
fn the_manual_alone_is_a_whole_configuration() {
    let config = with(&[]).expect("the defaults are sound");
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert!(config.store_url().starts_with("sqlite:///"), "{}", config.store_url());
    assert!(config.store_url().ends_with("/rialto-data/rialto.db"), "{}", config.store_url());
    assert_eq!(config.log_dir(), Path::new("rialto-data/log"));
    assert!(!config.development && !config.egress.allow_loopback && !config.egress.allow_http);
}

#[test]
fn every_setting_has_a_sentence_above_it() {
    let mut above = "";
    for line in DEFAULTS.lines() {
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(above.starts_with('#'), "no sentence above: {line}");
        }
        above = line;
    }
}

#[test]
fn a_slip_in_a_name_is_refused_and_named() {
    let error = with(&[("server.lisen", "127.0.0.1:1".into())]).expect_err("no such setting").to_string();
    assert!(error.contains("lisen") && error.contains("listen"), "{error}");
}

#[test]
fn a_later_layer_wins_and_leaves_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rialto.toml");
    std::fs::write(&file, "[server]\nlisten = \"0.0.0.0:80\"\nmax_connections = 7\n").expect("written");
    let flags = BTreeMap::from([("server.listen", "127.0.0.1:81".into())]);
    let config = Config::load(Some(&file), &flags).expect("sound");
    assert_eq!((config.server.listen.port(), config.server.max_connections), (81, 7));
    assert_eq!(config.server.header_timeout_seconds, 10);
    let missing = Config::load(Some(&folder.path().join("gone.toml")), &flags).expect_err("not there");
    assert!(missing.to_string().contains("gone.toml"), "{missing}");
}

#[test]
fn values_that_make_no_sense_are_refused() {
    for (name, value) in [("log.retention_days", 0.into()), ("store.url", figment::value::Value::from("mysql://x"))] {
        let error = with(&[(name, value)]).expect_err(name).to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn no_secret_is_shown() {
    let url = "postgres://rialto:canary@db.example/hub?password=canary";
    let config = with(&[("store.url", url.into()), ("master_secret", "canary".into())]).expect("sound");
    let shown = format!("{config:?}\n{}", toml::to_string(&config).expect("listed"));
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("postgres://rialto:…@db.example/hub"), "{shown}");
    assert_eq!(config.store_url(), url);
}
