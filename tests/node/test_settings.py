"""Settings: read from the environment, checked, and wrong ones named."""

import pytest

from cliffracer import Node, Settings, SettingsError, Supervisor


def test_nothing_set_means_the_defaults():
    assert Settings.from_environment({}) == Settings()
    assert Settings().servers() == ()


def test_each_field_is_read_from_its_variable():
    values = {
        "nats_url": "nats://a:4222,nats://b:4222",
        "nats_user": "joe",
        "nats_password": "x",
        "nats_token": "t",
        "nats_creds_file": "c",
        "nats_tls_ca_file": "ca",
        "nats_tls_cert_file": "cert",
        "nats_tls_key_file": "key",
        "nats_connect_timeout": 1.5,
        "namespace": "eu.prod",
        "reply_prefixes": "inbox.a,inbox.b",
        "node_name": "n1",
        "app_version": "1.4.0",
        "call_timeout": 2.5,
        "drain_timeout": 3.5,
        "kill_grace": 4.5,
        "node_timeout": 5.5,
        "prefer_local": False,
        "log_level": "debug",
        "log_format": "json",
    }
    assert set(values) == set(Settings.__struct_fields__)
    settings = Settings.from_environment({f"CLIFFRACER_{k.upper()}": str(v) for k, v in values.items()})
    assert settings == Settings(**values)
    assert settings.servers() == ("nats://a:4222", "nats://b:4222")


def test_inboxes_are_prefixes_with_their_dot():
    assert Settings(reply_prefixes="inbox.alice, bob").inboxes() == ("inbox.alice.", "bob.")
    assert Settings().inboxes() == ()
    with pytest.raises(SettingsError, match="CLIFFRACER_REPLY_PREFIXES: 'a b' is no prefix"):
        Settings(reply_prefixes="a b")


def test_options_of_the_connection_are_those_of_the_settings():
    settings = Settings(nats_url="tls://a:1", nats_user="u", nats_password="p", nats_tls_ca_file="ca", node_name="n")
    options = settings.nats_options()
    assert (options.servers, options.user, options.password) == (("tls://a:1",), "u", "p")
    assert (options.tls_ca_file, options.name) == ("ca", "n")


def test_variables_of_others_are_left_alone():
    assert Settings.from_environment({"PATH": "x", "CLIFF": "y"}) == Settings()


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("CLIFFRACER_CALL_TIMOUT", "5", "CLIFFRACER_CALL_TIMOUT is no setting; did you mean CLIFFRACER_CALL_TIMEOUT?"),
        ("CLIFFRACER_XY", "5", "CLIFFRACER_XY is no setting; known are CLIFFRACER_NATS_URL"),
        ("CLIFFRACER_CALL_TIMEOUT", "soon", "CLIFFRACER_CALL_TIMEOUT='soon': "),
        ("CLIFFRACER_CALL_TIMEOUT", "-1", "CLIFFRACER_CALL_TIMEOUT: -1.0 is no number of seconds above zero"),
        ("CLIFFRACER_CALL_TIMEOUT", "inf", "CLIFFRACER_CALL_TIMEOUT: inf is no number of seconds above zero"),
        ("CLIFFRACER_APP_VERSION", "1.4", "CLIFFRACER_APP_VERSION: '1.4' is no version; write three numbers"),
        ("CLIFFRACER_APP_VERSION", "v1.4.0", "CLIFFRACER_APP_VERSION: 'v1.4.0' is no version"),
        ("CLIFFRACER_APP_VERSION", "1.04.0", "CLIFFRACER_APP_VERSION: '1.04.0' is no version"),
        ("CLIFFRACER_APP_VERSION", "1.4.0-01", "CLIFFRACER_APP_VERSION: '1.4.0-01' is no version"),
        ("CLIFFRACER_KILL_GRACE", "0", "CLIFFRACER_KILL_GRACE: 0.0 is no number of seconds above zero"),
        ("CLIFFRACER_KILL_GRACE", "inf", "CLIFFRACER_KILL_GRACE: inf is no number of seconds above zero"),
        ("CLIFFRACER_KILL_GRACE", "long", "CLIFFRACER_KILL_GRACE='long': "),
        ("CLIFFRACER_PREFER_LOCAL", "maybe", "CLIFFRACER_PREFER_LOCAL='maybe': "),
        ("CLIFFRACER_LOG_LEVEL", "loud", "CLIFFRACER_LOG_LEVEL='loud': "),
        ("CLIFFRACER_LOG_FORMAT", "xml", "CLIFFRACER_LOG_FORMAT='xml': "),
        ("CLIFFRACER_NAMESPACE", "a b", "CLIFFRACER_NAMESPACE: 'a b' is no namespace"),
        ("CLIFFRACER_NAMESPACE", "a..b", "CLIFFRACER_NAMESPACE: 'a..b' is no namespace"),
        ("CLIFFRACER_NATS_URL", "localhost:4222", "CLIFFRACER_NATS_URL: 'localhost:4222' is no NATS address"),
        ("CLIFFRACER_NATS_URL", "http://x", "CLIFFRACER_NATS_URL: 'http://x' is no NATS address"),
        ("CLIFFRACER_NATS_URL", "nats://h:port", "CLIFFRACER_NATS_URL: 'nats://h:port' is no NATS address"),
        ("CLIFFRACER_NATS_URL", "", "CLIFFRACER_NATS_URL: '' is no NATS address"),
        ("CLIFFRACER_NATS_USER", "joe", "CLIFFRACER_NATS_USER and CLIFFRACER_NATS_PASSWORD go together"),
        ("CLIFFRACER_NATS_TLS_KEY_FILE", "k", "CLIFFRACER_NATS_TLS_KEY_FILE needs CLIFFRACER_NATS_TLS_CERT_FILE"),
    ],
)
def test_wrong_setting_is_named_with_what_it_takes(variable, text, says):
    with pytest.raises(SettingsError) as error:
        Settings.from_environment({variable: text})
    assert says in str(error.value)


def test_values_given_by_hand_are_checked_like_those_read():
    with pytest.raises(SettingsError, match="CLIFFRACER_DRAIN_TIMEOUT"):
        Settings(drain_timeout=0)


@pytest.mark.parametrize(
    "values",
    [
        {"log_level": "loud"},
        {"call_timeout": "5"},
        {"kill_grace": None},
        {"kill_grace": -1.0},
        {"prefer_local": "yes"},
        {"namespace": None},
        {"log_format": 1},
    ],
)
def test_values_given_by_hand_must_be_of_the_right_type(values):
    with pytest.raises(SettingsError, match=f"CLIFFRACER_{next(iter(values)).upper()}"):
        Settings(**values)


def test_password_in_an_address_is_not_shown():
    with pytest.raises(SettingsError) as error:
        Settings(nats_url="nat://joe:s3cret@host:4222")
    assert "s3cret" not in str(error.value)


def test_node_reads_the_environment_unless_settings_are_given(monkeypatch):
    monkeypatch.setenv("CLIFFRACER_NODE_NAME", "from-environment")
    assert Node(Supervisor("tree")).name == "from-environment"
    assert Node(Supervisor("tree"), settings=Settings(node_name="given")).name == "given"


@pytest.mark.parametrize(
    "version", ["0.0.0", "1.4.0", "10.20.30", "1.0.0-alpha.1", "1.0.0-0a.b-c", "1.0.0-rc.1+build.007"]
)
def test_version_may_be_whatever_semantic_versioning_allows(version):
    assert Settings(app_version=version).app_version == version
