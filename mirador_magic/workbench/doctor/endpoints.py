"""The endpoints that are set: whether each answers, and has the models that the stages ask it for."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from mirador_magic.engines.by_endpoint import Look
from mirador_magic.errors import UsageError
from mirador_magic.session.session import Session
from mirador_magic.stages import ModelStage
from mirador_magic.workbench.doctor import kinds
from mirador_magic.workbench.doctor.finding import Finding, ok

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


async def answering(session: Session) -> list[Finding]:
    """What each endpoint tells now; nothing where none is set."""
    found = []
    for look in await session.endpoints().look():
        found += [_answer(look), *_models(look, list(session.stages.values())), *_clear(look)]
    return found


def at_home(session: Session, stages: Sequence[ModelStage]) -> Sequence[ModelStage]:
    """The stages whose models are on this machine, or in its Ollama."""
    try:
        endpoints = session.endpoints()
    except UsageError:  # a finding by now
        return stages
    return [stage for stage in stages if endpoints.of(stage.model) is None]


def _answer(look: Look) -> Finding:
    name, url = look.endpoint.name, look.endpoint.base_url
    if look.error:
        cure = look.error.cure or look.endpoint.table
        return kinds.ENDPOINT.found(error=look.error.what, its_cure=cure)
    took = f"{(look.latency or 0) * 1000:.0f} ms, {len(look.models)} models"
    return ok("endpoints", f"{name} at {url}: {took}")


def _models(look: Look, stages: Sequence[ModelStage]) -> list[Finding]:
    """The stages that ask it for a model that it does not list."""
    if look.error:
        return []
    mine = [stage for stage in stages if stage.model.startswith(f"{look.endpoint.name}/")]
    return [
        kinds.ENDPOINT_MODEL.found(stage=stage.name, endpoint=look.endpoint.name, model=model)
        for stage in mine
        if (model := stage.model.partition("/")[2]) not in look.models
    ]


def _clear(look: Look) -> list[Finding]:
    """A key that goes over the network for all to read."""
    at, parts = look.endpoint, urlsplit(look.endpoint.base_url)
    has_secret = at.api_key_env or at.keyring or at.headers
    if parts.scheme == "https" or parts.hostname in _LOOPBACK or not has_secret:
        return []
    return [kinds.CLEAR_KEY.found(endpoint=at.name, table=at.table)]
