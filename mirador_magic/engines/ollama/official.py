"""The official client, brought without the one that it makes of the environment when it is imported.

`import ollama` makes a client for its own functions (`ollama.chat`), of proxies, certificates and
OLLAMA_HOST as they are then, and fails where one of these cannot be read. None of it is Mirador's
business: here that client is made when one of those functions is first called, by whoever calls it.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mirador_magic.engines import bounds
from mirador_magic.engines.ollama.wire import CONNECT_S, transport
from mirador_magic.errors import EngineUnavailable

if TYPE_CHECKING:
    import httpx
    from ollama import AsyncClient

_NAME = "ollama"


def bring() -> None:
    """Import the client and httpx; for a thread, since that takes 300 ms. Raises EngineUnavailable."""
    found = [] if _NAME in sys.modules else [_Finder()]
    sys.meta_path[:0] = found
    try:
        importlib.import_module("httpx")
        importlib.import_module(_NAME)
    except Exception as error:
        raise EngineUnavailable(
            f"the Ollama client cannot be imported: {type(error).__name__}: {error}",
            "%pip install -U ollama",
        ) from error
    finally:
        for each in found:
            sys.meta_path.remove(each)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != _NAME:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec and spec.loader:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    """Runs the package as its own loader does, with a `Client` that puts off what it is made of."""

    def __init__(self, own: importlib.abc.Loader) -> None:
        self._own = own

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__
        module.__spec__.loader = module.__loader__ = self._own
        clients: Any = importlib.import_module(f"{_NAME}._client")
        client = clients.Client
        clients.Client = _put_off(client)
        try:
            self._own.exec_module(module)
        finally:
            clients.Client = client
            vars(module)["Client"] = client


def _put_off(client: Any) -> Any:
    """A client of this kind that is made when it first asks something."""

    class Later(client):  # type: ignore[misc]
        def __init__(self) -> None:
            """Nothing yet."""

        def __getattr__(self, name: str) -> Any:
            if name != "_client":
                raise AttributeError(name)
            client.__init__(self)
            return vars(self)[name]

    return Later


def client_of(
    host: str, kept: int, headers: Mapping[str, str]
) -> tuple[httpx.AsyncHTTPTransport, AsyncClient]:
    """A client for the running event loop, on a transport of its own that keeps so many connections."""
    import httpx
    import ollama

    through = transport(host, kept=kept)
    client = ollama.AsyncClient(
        host,
        transport=through,
        timeout=httpx.Timeout(None, connect=CONNECT_S),
        follow_redirects=False,
        headers={**bounds.PLAIN, **headers},
        event_hooks=bounds.HOOKS,
    )
    return through, client
