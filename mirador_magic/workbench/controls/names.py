"""What the controls call things: the routes, the settings and the places that they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mirador_magic.routing.router import STAGES
from mirador_magic.settings.keys import KEYS, parts
from mirador_magic.settings.settings import Given, Layer, Settings

SOURCE = "controls()"

ROUTES: Mapping[str, tuple[str, ...]] = {
    "auto": (),
    "fast": STAGES["simple"],
    "balanced": STAGES["medium"],
    "deep": STAGES["complex"],
}
OWN_CHOICE = "own choice"
OPTIONS = {
    "auto: the question decides": "auto",
    **{f"{name}: {len(ROUTES[name])} of 3 stages": name for name in ("fast", "balanced", "deep")},
    OWN_CHOICE: OWN_CHOICE,
}
FLAGS = {"pre_warm": "pre-warm", "streaming": "streaming"}
OF_A_ROW = ("model", "keep_alive")


def route_of(stages: Sequence[str]) -> str:
    """The name of the route that these stages are: auto, fast, balanced, deep or own choice."""
    return next((name for name, own in ROUTES.items() if own == tuple(stages)), OWN_CHOICE)


def told(key: str) -> str:
    """A setting's name for people."""
    return {"default_stages": "route"}.get(key, key)


def what(key: str, given: Given | None) -> str:
    """What a setting is, and where its value comes from."""
    place = given.source if given and given.source != "default" else "Mirador's own default"
    return f"{KEYS[key].what}; set by {place}"


def others(notebook: Layer, stage: str) -> dict[str, object]:
    """What was set here for this stage and has no field of its own, by its name."""
    return {
        parts(key)[1]: given.value
        for key, given in notebook.items()
        if given.source == SOURCE and parts(key)[0] == stage and parts(key)[1] not in OF_A_ROW
    }


def places(settings: Settings, stages: Sequence[str]) -> list[str]:
    """What was set where, of all that the controls show."""
    given = {key: settings.given(key) for key in ("default_stages", "engine", *FLAGS)}
    for name in stages:
        given |= {f"{name}.{key}": own for key in OF_A_ROW if (own := settings.of(name, key))}
    found: dict[str, list[str]] = {}
    for key, each in given.items():
        found.setdefault(each.source, []).append(told(key))
    here = found.pop(SOURCE, [])
    found.pop("default", None)
    notes = [f"set here: {', '.join(here)}"] if here else []
    return notes + [f"{source} sets {', '.join(keys)}" for source, keys in found.items()]
