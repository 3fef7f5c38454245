"""Proxies and certificates that a library fails on, and who asks an Ollama that wants to know it."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from mirador_magic.engines import surroundings
from mirador_magic.engines.endpoints import Endpoint
from mirador_magic.engines.ollama.engine import OllamaEngine
from mirador_magic.engines.ollama.wire import Host, address, authorization
from mirador_magic.engines.openai.client import connect
from mirador_magic.engines.pull import hub
from mirador_magic.engines.surroundings import Trouble, troubles
from mirador_magic.errors import EngineUnavailable, UsageError
from mirador_magic.session.session import Session
from mirador_magic.settings import settings
from tests.support.fault_server import ANSWER, FAULTS, FaultServer
from tests.support.patience import PATIENCE

SECRET = "s3/cr@t"
LOGIN = f"me:{SECRET}"
BASIC = f"Basic {base64.b64encode(LOGIN.encode()).decode()}"
NONE = ("proxy", "_PROXY", "SSL_CERT", "SSLKEY", "CA_BUNDLE", "PIP_CERT", "OLLAMA", "MIRADOR")

# What the environment has, and the words by which the first trouble is told.
BROKEN: Mapping[str, tuple[dict[str, str], str]] = {
    "address in brackets": ({"NO_PROXY": "a.org, [::1]"}, "NO_PROXY has [::1], which httpx"),
    "with a port": ({"no_proxy": "[::1]:80"}, "no_proxy has [::1]:80, which httpx"),
    "network of IPv6": ({"no_proxy": "fe80::/10"}, "no_proxy has fe80::/10, which httpx"),
    "no port": ({"NO_PROXY": "host:port"}, "NO_PROXY has host:port, which httpx"),
    "no ASCII": ({"NO_PROXY": "büro"}, "NO_PROXY has büro, which httpx"),
    "SOCKS": ({"ALL_PROXY": "socks5://me:s3cret@h:1"}, "ALL_PROXY sets a SOCKS proxy"),
    "SOCKS 4": ({"all_proxy": "socks4://h:1"}, "all_proxy begins with none of: http,"),
    "another scheme": ({"HTTPS_PROXY": "ftp://h:1"}, "HTTPS_PROXY begins with none of: http,"),
    "half a bracket": ({"HTTP_PROXY": "http://[::1"}, "HTTP_PROXY is not an address"),
    "password in the port": ({"HTTPS_PROXY": f"http://me:{SECRET}"}, "HTTPS_PROXY is not an"),
    "no file": ({"SSL_CERT_FILE": "/none.pem"}, "SSL_CERT_FILE names /none.pem: no such file"),
    "a folder": ({"SSL_CERT_FILE": "/"}, "SSL_CERT_FILE names /: "),
    "no certificate": ({"SSL_CERT_FILE": __file__}, f"SSL_CERT_FILE names {__file__}: it holds no"),
    "no folder": ({"SSL_CERT_DIR": "/none"}, "SSL_CERT_DIR names /none: there is no such folder"),
    "no log": ({"SSLKEYLOGFILE": "/none/log"}, "SSLKEYLOGFILE names /none/log, which cannot"),
    "no bundle": ({"REQUESTS_CA_BUNDLE": "/none.pem"}, "REQUESTS_CA_BUNDLE names /none.pem"),
}
FINE = [
    {"NO_PROXY": "localhost,127.0.0.1,::1,10.0.0.0/8,*.a.org,.b,c:80,http://d,*"},
    {"HTTP_PROXY": "127.0.0.1:3128", "HTTPS_PROXY": "http://me:secret@[::1]:1", "no_proxy": ""},
    {"HTTP_PROXY": "", "SSL_CERT_FILE": "", "NO_PROXY": "[::1]", "no_proxy": "::1"},
]


@pytest.mark.parametrize("case", BROKEN)
def test_what_a_library_fails_on_is_told_by_the_name_of_its_variable(case: str) -> None:
    environ, said = BROKEN[case]
    (trouble,) = troubles(environ)
    assert str(trouble).startswith(said)
    told = f"{trouble}{trouble.cure}"
    assert trouble.cure and SECRET not in told and "s3cret" not in told


@pytest.mark.parametrize("environ", FINE)
def test_what_is_fine_is_no_trouble(environ: dict[str, str]) -> None:
    assert troubles(environ) == []


def plain_environment(more: Mapping[str, str]) -> dict[str, str]:
    own = {k: v for k, v in os.environ.items() if not any(each in k for each in NONE)}
    return own | dict(more)


def shell(words: list[str], environ: Mapping[str, str]) -> tuple[int, str]:
    """The exit code of `mirador` there, and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "mirador_magic", *words],
        env=plain_environment(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_ollama_is_asked_past_all_of_them(at: Path) -> None:
    """Its client would not even be imported."""
    environ = {name: value for each, _ in BROKEN.values() for name, value in each.items()}
    asking = ["--quiet", "--stages", "quick_response", "--model", "good", "Why?"]
    with FaultServer() as server:
        code, said = shell(asking, environ | {"OLLAMA_HOST": server.host})
    assert (code, said) == (0, f"{ANSWER}\n")


@pytest.mark.parametrize("case", [case for case in BROKEN if "cert" in case or "file" in case])
def test_an_ollama_by_https_without_readable_certificates_is_one_line(case: str, at: Path) -> None:
    environ, told = BROKEN[case]
    asking = ["--engine", "ollama", "--host", "https://127.0.0.1:1", "Why?"]
    code, said = shell(asking, environ)
    assert (code, said.splitlines()[-1].count(told), "Traceback" in said) == (1, 1, False)


AT_AN_ENDPOINT = ["SOCKS", "SOCKS 4", "another scheme", "half a bracket", "password in the port"]


@pytest.mark.parametrize("case", [*AT_AN_ENDPOINT, "no file", "a folder", "no certificate"])
def test_an_endpoint_that_cannot_be_asked_names_the_variable(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ, told = BROKEN[case]
    for name in [*os.environ]:
        if any(each in name for each in NONE):
            monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(EngineUnavailable) as raised:
        connect(Endpoint("cluster", "https://gpu.invalid/v1"))
    assert str(raised.value).startswith(f"cluster cannot be asked: {told}")
    assert SECRET not in str(raised.value)
    with pytest.raises(EngineUnavailable, match=r"cannot be asked") as raised:
        hub._ask(hub.read_source("hf:a/b/c.gguf"), Path())
    assert told in str(raised.value)


def test_what_no_variable_explains_is_told_without_its_words() -> None:
    error = surroundings.broken("cluster cannot be asked", ValueError(SECRET), {})
    assert str(error).startswith("cluster cannot be asked: ValueError → %mirador doctor")
    error = surroundings.broken("it cannot be asked", OSError(2, "gone"), {"PIP_CERT": "/none"})
    assert "PIP_CERT" not in str(error)
    assert str(Trouble("A", "is wrong", "")) == "A is wrong"


def test_the_clients_own_functions_go_on_as_they_are() -> None:
    """The client that they share is made when one is called; until then nothing is read."""
    told = """
import sys
from mirador_magic.engines.ollama.official import bring
bring()
import ollama, inspect
assert ollama.Client is sys.modules["ollama._client"].Client is ollama._client.__class__.__mro__[1]
assert "_client" not in vars(ollama._client)
assert ollama.__spec__.loader is ollama.__loader__ and inspect.getsource(ollama)
assert not [each for each in sys.meta_path if "mirador" in type(each).__module__]
print([model.model for model in ollama.list().models])
"""
    with FaultServer({"good": FAULTS["good"]}) as server:
        done = subprocess.run(
            [sys.executable, "-c", told],
            env=plain_environment({"OLLAMA_HOST": server.host}),
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
    assert (done.stdout, done.stderr) == ("['good:latest']\n", "")


HOSTS = [
    (f"http://{LOGIN}@gpu:1", "http://gpu:1", LOGIN),
    (f"{LOGIN}@gpu", "http://gpu:11434", LOGIN),
    ("https://token@gpu/ollama/", "https://gpu:443/ollama", "token"),
    ("http://a%40b:c%2Fd@[::1]:9", "http://[::1]:9", "a%40b:c%2Fd"),
    ("'http://:x@0.0.0.0'", "http://127.0.0.1:80", ":x"),
    ("gpu:9", "http://gpu:9", ""),
    ("", "http://127.0.0.1:11434", ""),
]


@pytest.mark.parametrize(("given", "url", "login"), HOSTS)
def test_a_login_in_the_address_is_kept_apart_from_it(given: str, url: str, login: str) -> None:
    assert (address(given), Host(given).login) == (url, login)
    assert SECRET not in f"{Host(given)}{Host(given)!r}{settings.layer({'host': given}, 'a')}"
    again = Host(Host(given))
    assert (again, again.login, hash(again)) == (Host(given), login, hash(Host(given)))
    assert (Host(given) == str(Host(given))) is (login == "")
    assert Host(given) != Host("me:other@gpu:1")


def test_who_asks_is_a_header() -> None:
    assert authorization(LOGIN, "key") == {"Authorization": BASIC}
    assert authorization("a%40b", "")["Authorization"] == "Basic YUBiOg=="
    assert authorization("", " key\n") == {"Authorization": "Bearer key"}
    assert authorization("", "") == {}
    with pytest.raises(EngineUnavailable) as raised:
        authorization("", "ke\ny")
    assert "ke\ny" not in str(raised.value)


def test_what_cannot_be_read_is_told_without_the_password() -> None:
    for wrong in (f"http://{LOGIN}@gpu:port", f"ftp://{LOGIN}@gpu", f"http://{LOGIN}@[::1"):
        with pytest.raises(UsageError) as raised:
            OllamaEngine(wrong)
        assert "s3" not in str(raised.value) and "cr@t" not in str(raised.value)
    with pytest.raises(UsageError) as raised:
        settings.of_environment({"OLLAMA_HOST": f"http://{LOGIN}@gpu,http://b"})
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("asked", ["Why?", "doctor", "settings", "status", "serve-check"])
def test_the_login_is_sent_with_everything_and_shown_nowhere(asked: str, at: Path) -> None:
    with FaultServer() as server:
        server.wants = BASIC
        host = server.host.replace("http://", f"http://{LOGIN}@")
        words = ["--stages", "quick_response", "--model", "good"] if asked == "Why?" else []
        code, said = shell([*words, asked], {"OLLAMA_HOST": host, "MIRADOR_ENGINE": "ollama"})
        assert code == 0, said
        assert {each.authorization for each in server.requests} <= {BASIC}
        assert bool(server.requests) == (asked != "settings")
    assert SECRET not in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("login", "key", "told"),
    [
        ("", "", "wants to know who asks (HTTP 401) → OLLAMA_HOST=http://USER:PASSWORD@127.0.0.1:"),
        ("me:wr0ng@", "", "does not take the name and password of its address (HTTP 401)"),
        ("", "wr0ng", "does not take OLLAMA_API_KEY (HTTP 401)"),
    ],
)
@pytest.mark.parametrize("asked", [["Why?"], ["serve-check"], ["provision"]], ids=lambda e: e[0])
def test_a_login_that_is_refused_is_a_case_of_its_own(
    login: str, key: str, told: str, asked: list[str], at: Path
) -> None:
    with FaultServer() as server:
        server.wants = BASIC
        host = server.host.replace("http://", f"http://{login}")
        environ = {"OLLAMA_HOST": host, "OLLAMA_API_KEY": key, "MIRADOR_ENGINE": "ollama"}
        code, said = shell(asked, environ)
    assert (code, said.count(told), said.count("wr0ng"), "html" in said) == (1, 1, 0, False), said


def test_another_password_is_another_engine() -> None:
    session = Session()
    session.configure({"engine": "ollama", "host": "http://me:one@gpu"})
    first = session.engines.named("ollama", session.settings())
    session.configure({"host": "http://me:two@gpu"})
    assert session.engines.named("ollama", session.settings()) is not first
    assert first.key == "ollama http://gpu:80" and "one" not in repr(session.notebook)
