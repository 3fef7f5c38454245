"""`%mirador endpoints`: each endpoint that is set, whether it answers, and what it has."""

from __future__ import annotations

from mirador_magic.answer.words import one_line
from mirador_magic.commands.line import Line
from mirador_magic.engines.by_endpoint import Look
from mirador_magic.session.session import Session

NONE = (
    "no endpoint is set → in pyproject.toml, below [tool.mirador.endpoints.cluster]: "
    'base_url = "http://HOST:8000/v1"'
)
_LISTED = 8  # models of an endpoint that are named


async def verb(session: Session, read: Line) -> None:
    """Print a line for each, in the order of the files."""
    looks = await session.endpoints().look()
    print("\n".join(table(looks)) if looks else NONE)


def table(looks: list[Look]) -> list[str]:
    """A line each: name, kind, address, and what came of asking it."""
    names = max(len(look.endpoint.name) for look in looks)
    urls = max(len(look.endpoint.base_url) for look in looks)
    return [
        f"{look.endpoint.name:{names}}  {look.endpoint.kind:6}  {look.endpoint.base_url:{urls}}  "
        f"{said(look)}"
        for look in looks
    ]


def said(look: Look) -> str:
    """Whether it answers, in how many milliseconds, and with which models."""
    if look.latency is None:
        return f"not reachable: {one_line(str(look.error))}"
    models = ", ".join(one_line(name) for name in look.models[:_LISTED]) or "none"
    more = f" and {len(look.models) - _LISTED} more" if len(look.models) > _LISTED else ""
    return f"reachable, {look.latency * 1000:.0f} ms; models: {models}{more}"
