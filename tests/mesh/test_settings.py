from __future__ import annotations

import pytest

from tests.mesh.hosts import HostSettings


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag is what somebody wants now, a variable what was set up, and a default the rest."""
    monkeypatch.setenv("VITRINE_TEST_PORT", "1000")
    monkeypatch.setenv("VITRINE_TEST_MAX_INFLIGHT", "5")
    settings = HostSettings.load(["--port", "2000"])
    assert (settings.port, settings.max_inflight, settings.host) == (2000, 5, "127.0.0.1")


def test_another_services_variables_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only our own prefix is looked at."""
    monkeypatch.setenv("VITRINE_OTHER_ANYTHING", "1")
    assert HostSettings.load([]).port == 0


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("VITRINE_TEST_PRT", "1", "VITRINE_TEST_PRT: there is no such setting"),
        ("VITRINE_TEST_PORT", "65536", "VITRINE_TEST_PORT (--port)"),
        ("VITRINE_TEST_PORT", "http", "VITRINE_TEST_PORT (--port)"),
        ("VITRINE_TEST_MAX_INFLIGHT", "0", "VITRINE_TEST_MAX_INFLIGHT (--max-inflight)"),
        ("VITRINE_TEST_LOG_LEVEL", "LOUD", "VITRINE_TEST_LOG_LEVEL (--log-level)"),
        ("VITRINE_TEST_DRAIN_S", "-1", "VITRINE_TEST_DRAIN_S (--drain-s)"),
    ],
)
def test_a_wrong_variable_stops_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str, value: str, told: str
) -> None:
    """At once, with status 2 and one line with the key's name."""
    monkeypatch.setenv(key, value)
    with pytest.raises(SystemExit) as ended:
        HostSettings.load([])
    assert ended.value.code == 2
    line = capsys.readouterr().err
    assert told in line
    assert line.count("\n") == 1


def test_an_authority_without_a_receiver_to_check_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    """Who gives one means the receiver to be checked, which one without TLS is not."""
    for endpoint in ([], ["--otlp-endpoint", "http://collector:4317"]):
        with pytest.raises(SystemExit):
            HostSettings.load([*endpoint, "--otlp-ca", "ca.pem"])
        assert "otlp_ca needs an otlp_endpoint with https" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--port", "http"], "--port"),
        (["--prt", "1"], "--prt"),
        (["--default-timeout-s", "0"], "--default-timeout-s"),
    ],
)
def test_a_wrong_flag_stops_the_process(
    capsys: pytest.CaptureFixture[str], flags: list[str], told: str
) -> None:
    """An unknown flag and a value that makes no sense are told by their names."""
    with pytest.raises(SystemExit) as ended:
        HostSettings.load(flags)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err
