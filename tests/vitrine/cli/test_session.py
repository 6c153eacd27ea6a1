from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import trustme
from typer.testing import CliRunner, Result

from tests.vitrine.fake_gateway import FakeGateway
from vitrine.cli.main import app


@pytest.fixture
def authority() -> trustme.CA:
    """Who signs certificates."""
    return trustme.CA()


@pytest.fixture
def encrypted(authority: trustme.CA) -> Iterator[FakeGateway]:
    """A gateway that speaks TLS alone and asks callers for a certificate."""
    certificate = authority.issue_cert("127.0.0.1")
    chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
    credentials = grpc.ssl_server_credentials(
        [(certificate.private_key_pem.bytes(), chain)],
        root_certificates=authority.cert_pem.bytes(),
        require_client_auth=True,
    )
    with FakeGateway().serving(tls=credentials) as serving:
        serving.catalogs["shop"] = {}
        yield serving


def _list(gateway: FakeGateway, *arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(
        app, ["catalogs", "list", "--json", "--server", gateway.address, *arguments], env=env
    )


def test_a_key_is_typed_or_in_the_environment(gateway: FakeGateway) -> None:
    """Either says who calls; without one the refusal is told as what it is."""
    gateway.key = "vk_abc"
    refused = _list(gateway)
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["error"]["reason"] == "UNAUTHENTICATED"
    assert _list(gateway, "--key", "vk_abc").exit_code == 0
    assert _list(gateway, env={"VITRINE_KEY": "vk_abc"}).exit_code == 0
    impossible = CliRunner().invoke(app, ["catalogs", "list", "--server", gateway.address, "--key", "a b"])
    assert impossible.exit_code == 2
    assert "error: --key: a key or token is printable ASCII" in impossible.stderr


def test_a_connection_is_encrypted_from_end_to_end(
    encrypted: FakeGateway, authority: trustme.CA, tmp_path: Path
) -> None:
    """With the authority and a certificate of its own a command is let in, by options or variables."""
    own = authority.issue_cert("caller")
    ca, certificate, key = (tmp_path / name for name in ("ca.pem", "own.pem", "own.key"))
    authority.cert_pem.write_to_path(ca)
    certificate.write_bytes(b"".join(pem.bytes() for pem in own.cert_chain_pems))
    own.private_key_pem.write_to_path(key)
    given = ("--tls-ca", str(ca), "--tls-certificate", str(certificate), "--tls-key", str(key))
    assert json.loads(_list(encrypted, *given).stdout)["catalogs"][0]["id"] == "shop"
    status = CliRunner().invoke(app, ["status", "--json", "--server", encrypted.address, *given])
    assert status.exit_code == 0, status.output
    assert json.loads(status.stdout)["catalogs"][0]["catalog"] == "shop"
    environment = {
        "VITRINE_TLS_CA": str(ca), "VITRINE_TLS_CERTIFICATE": str(certificate), "VITRINE_TLS_KEY": str(key)
    }  # fmt: skip
    assert _list(encrypted, env=environment).exit_code == 0


def test_a_certificate_of_somebody_else_is_told(encrypted: FakeGateway, tmp_path: Path) -> None:
    """It is not called away: somebody answers, but not the gateway that was meant."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    result = _list(encrypted, "--tls-ca", str(tmp_path / "ca.pem"))
    assert result.exit_code == 1
    error = json.loads(result.stdout)["error"]
    assert error["reason"] == "NO_TLS"
    assert "certificate verify failed: unable to get local issuer certificate" in error["message"]


def test_who_speaks_otherwise_is_told(encrypted: FakeGateway, gateway: FakeGateway, tmp_path: Path) -> None:
    """Plain text to a gateway that wants TLS, and TLS to one that has none, are not taken for an outage."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    plain = json.loads(_list(encrypted).stdout)["error"]
    assert (plain["reason"], "it may want TLS" in plain["message"]) == ("NO_TLS", True)
    other = json.loads(_list(gateway, "--tls-ca", str(tmp_path / "ca.pem")).stdout)["error"]
    assert (other["reason"], "wrong version number" in other["message"]) == ("NO_TLS", True)


def test_half_of_what_tls_needs_is_a_usage_error(gateway: FakeGateway, tmp_path: Path) -> None:
    """A certificate without authorities or key, and a file that is missing, name the option."""
    for given, said in (
        (("--tls-key", "a.key"), "error: --tls-certificate: needs --tls-ca"),
        (("--tls-ca", str(tmp_path / "none.pem")), "error: --tls-ca: "),
    ):
        result = CliRunner().invoke(app, ["catalogs", "list", "--server", gateway.address, *given])
        assert result.exit_code == 2
        assert said in result.stderr


def test_an_interrupted_command_ends_with_130(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is no failure of the command, and shells know the number."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vitrine.client.Client.__enter__", interrupted)
    assert _list(gateway).exit_code == 130
