"""What the user's environment says of proxies and certificates, and what of it a library fails on.

The libraries that reach past this machine read these variables when a client is made, and fail on
some of them with errors that name none. Here each is looked at by itself, so that an error and the
doctor can name it. Never its value, which may hold a password; but for NO_PROXY and paths.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mirador_magic.errors import EngineUnavailable

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_SCHEMES = ("http", "https", "socks5", "socks5h")
_OF_PIP = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")


@dataclass(frozen=True)
class Trouble:
    """A variable that something fails on; `why` goes on behind its name."""

    variable: str
    why: str
    cure: str
    topic: str = "proxy"
    is_pips: bool = False  # and nothing of ours reads it

    def __str__(self) -> str:
        return f"{self.variable} {self.why}"


def proxies_set(environ: Mapping[str, str]) -> list[str]:
    """The names of the variables that set a proxy."""
    return sorted(name for name, value in environ.items() if value and name.upper() in PROXIES)


def troubles(environ: Mapping[str, str] = os.environ) -> list[Trouble]:
    """What will be stumbled over, the proxies first."""
    found: list[Trouble] = []
    for name in proxies_set(environ):
        found += _proxy(name, environ[name])
    for name in ("no_proxy", "NO_PROXY"):  # the first that is there counts
        if environ.get(name):
            found += _exceptions(name, environ[name])
            break
    return [*found, *_certificates(environ)]


def broken(
    what: str, error: Exception, environ: Mapping[str, str] = os.environ
) -> EngineUnavailable:
    """Our error where `what` could not be made, naming the variable that it is due to, if one is."""
    topic = "certificates" if isinstance(error, OSError) else "proxy"  # SSLError is an OSError
    for trouble in troubles(environ):
        if trouble.topic == topic and not trouble.is_pips:
            return EngineUnavailable(f"{what}: {trouble}", trouble.cure)
    kind = type(error).__name__  # its words may repeat a proxy's address, with the password
    return EngineUnavailable(
        f"{what}: {kind}", "%mirador doctor looks at the proxies and certificates"
    )


def _proxy(name: str, value: str) -> Iterator[Trouble]:
    text = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        yield Trouble(name, "is not an address", f"{name}=http://HOST:PORT, or unset {name}")
        return
    if parts.scheme not in _SCHEMES:
        cure = f"{name}=http://HOST:PORT, or unset {name}"
        yield Trouble(name, f"begins with none of: {', '.join(_SCHEMES)}", cure)
    elif parts.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        yield Trouble(name, "sets a SOCKS proxy, which needs socksio", "%pip install socksio")


def _exceptions(name: str, value: str) -> Iterator[Trouble]:
    for entry in filter(None, map(str.strip, value.split(","))):
        if _is_read(entry):
            continue
        inner = entry.strip("[]")
        with suppress(ValueError):
            ipaddress.ip_address(inner)
            yield Trouble(name, f"has {entry}, which httpx cannot read", f"write {inner} there")
            continue
        yield Trouble(name, f"has {entry}, which httpx cannot read", f"take {entry} out of it")


def _is_read(entry: str) -> bool:
    """Whether httpx takes it: a host with or without a port, an address, a network of IPv4, a URL."""
    if "://" in entry:
        return True
    with suppress(ValueError):
        ipaddress.ip_address(entry)
        return True
    return entry.isascii() and not re.search(r":(?!\d*(/|$))", entry)


def _certificates(environ: Mapping[str, str]) -> Iterator[Trouble]:
    topic = "certificates"
    if file := environ.get("SSL_CERT_FILE"):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
        except OSError as error:
            is_tls = isinstance(error, ssl.SSLError)
            why = "it holds no certificate" if is_tls else (error.strerror or "").lower()
            yield Trouble("SSL_CERT_FILE", f"names {file}: {why}", "unset SSL_CERT_FILE", topic)
    if (folder := environ.get("SSL_CERT_DIR")) and not any(map(os.path.isdir, _parts(folder))):
        why = f"names {folder}: there is no such folder"
        yield Trouble("SSL_CERT_DIR", why, "unset SSL_CERT_DIR", topic)
    if (log := environ.get("SSLKEYLOGFILE")) and not os.access(Path(log).parent, os.W_OK):
        why = f"names {log}, which cannot be written"
        yield Trouble("SSLKEYLOGFILE", why, "unset SSLKEYLOGFILE", topic)
    for name in _OF_PIP:
        if (bundle := environ.get(name)) and not os.path.exists(bundle):
            why = f"names {bundle}, and there is none: pip cannot fetch a model"
            yield Trouble(name, why, f"unset {name}", topic, is_pips=True)


def _parts(folders: str) -> list[str]:
    return folders.split(os.pathsep)
