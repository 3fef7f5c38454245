"""What may be set, where it comes from, and which value is in force.

From the weakest to the strongest: a stage's own values, `[tool.mirador]` of the nearest pyproject.toml,
`config.toml` in the user's configuration folder, the environment, the notebook (`%config`, `controls()`,
`configure()`), the cell's line. In each of them a value may be for all stages (`temperature`) or for one
(`deep_analysis.temperature`); a stronger place wins, and in one place the value for the one stage.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from mirador_magic.engines.endpoints import Table
from mirador_magic.engines.ollama.wire import Host
from mirador_magic.errors import UsageError
from mirador_magic.settings.keys import KEYS, OF_A_STAGE, OWN, as_option, known, parts
from mirador_magic.settings.values import MODELS_OWN, OPTIONS, ROUTED, Unfit, shown
from mirador_magic.stages import DEFAULT_STAGES, ModelOptions, ModelStage, nearest


@dataclass(frozen=True)
class Given:
    """A value, and the place that it came from, in words."""

    value: object
    source: str


Layer = Mapping[str, Given]


DEFAULTS: Layer = {name: Given(key.default, "default") for name, key in OWN.items()}
_OPTION_VARIABLE = "MIRADOR_OPTIONS_"
_OPTIONS = {field.name for field in fields(ModelOptions)} - {"more"}


class Settings:
    """The values in force, of layers from the weakest to the strongest."""

    def __init__(self, *layers: Layer) -> None:
        self.layers = layers
        self._found: dict[str, Given] = {}
        for layer in (DEFAULTS, *layers):
            self._found |= layer

    def over(self, layer: Layer) -> Settings:
        """These with one more layer, the strongest."""
        return Settings(*self.layers, layer) if layer else self

    def __getitem__(self, key: str) -> Any:
        return self._found[key].value

    def given(self, key: str) -> Given:
        """A value of Mirador's own and its place."""
        return self._found[key]

    def of(self, stage: str, key: str) -> Given | None:
        """What was set for this stage; None where nowhere."""
        for layer in reversed(self.layers):
            for name in (f"{stage}.{key}", key):
                if name in layer:
                    return layer[name]
        return None

    def stage(self, own: ModelStage) -> ModelStage:
        """The stage with what was set for it."""
        keys = (*OF_A_STAGE, *self._options(own.name))
        found = {key: given.value for key in keys if (given := self.of(own.name, key))}
        if "system" in found:
            found["system_prompt"] = found.pop("system")
        if found.get("system_prompt", own.system_prompt) != own.system_prompt:
            found["order"] = ""  # it belongs to the stage's own prompt, and may contradict another
        found |= {key: None for key in _OPTIONS & set(found) if found[key] == MODELS_OWN}
        options: Any = {key: found.pop(key) for key in _OPTIONS & set(found)}
        more = {key.partition(".")[2]: found.pop(key) for key in keys if key not in OF_A_STAGE}
        if more:
            options["more"] = tuple({**dict(own.options.more), **more}.items())
        return replace(own, options=replace(own.options, **options), **_any(found))

    def _options(self, stage: str) -> set[str]:
        """The engine's options that are set for this stage, as options.NAME."""
        keys = (parts(key) for layer in self.layers for key in layer)
        return {name for of, name in keys if of in ("", stage) and name.startswith(f"{OPTIONS}.")}

    def stages(self, known: Iterable[ModelStage]) -> dict[str, ModelStage]:
        """The known stages and those that were set beside them, by name, with what was set for them."""
        stages = {stage.name: stage for stage in known}
        for layer in self.layers:
            for key, given in layer.items():
                name, what = parts(key)
                if name and what == "model" and name not in stages:
                    stages[name] = ModelStage(name, str(given.value), 0.5, 30.0, "")
        self._check(stages)
        return {name: self.stage(stage) for name, stage in stages.items()}

    def _check(self, stages: Mapping[str, ModelStage]) -> None:
        for layer in self.layers:
            for key, given in layer.items():
                name = parts(key)[0]
                if name and name not in stages:
                    cure = nearest(name, stages) or f"to make it one, set {name}.model"
                    raise UsageError(f"{given.source}: there is no stage {name!r}", cure)


def _any(found: dict[str, object]) -> Any:
    return found


def layer(values: Mapping[str, object], source: str) -> Layer:
    """Values by key, `stage.key` among them, read and checked. Raises UsageError, one line."""
    return {key: Given(read(key, value, source), source) for key, value in flat(values).items()}


def flat(values: Mapping[str, object]) -> dict[str, object]:
    """The same with the options of a table, `options = { top_k = 20 }`, each by its key."""
    found: dict[str, object] = {}
    for key, value in values.items():
        if parts(key)[1] == OPTIONS and isinstance(value, Mapping):
            found |= {f"{key}.{name}": each for name, each in value.items()}
        else:
            found[key] = value
    return found


def read(key: str, value: object, source: str) -> object:
    """The value of a key as it is meant. Raises UsageError for a misspelt key or value."""
    stage, name = parts(key)
    meant = None if stage and name in OWN else known(name)
    if meant is None:
        raise UsageError(f"{source}: there is no setting {key!r}", _near(name, stage))
    try:
        return meant.read(value)
    except Unfit as error:
        raise UsageError(
            f"{source}: {key} = {shown(name, value)!r} {error}",
            f"such as {key} = {meant.example}",
        ) from None


def _near(name: str, stage: str) -> str:
    """What may be meant by a name that there is none of."""
    names = OF_A_STAGE if stage else KEYS
    option = name.removeprefix(f"{OPTIONS}.")
    if option != name:
        return f"{option} = VALUE" if option in OF_A_STAGE else "options.top_k = 20"
    if meant := as_option(name):
        return f"{meant} = {_example(meant)}"
    if near := nearest(name, names):
        return near
    return f"there are: {', '.join(names)}; an option of the engine is options.NAME"


def _example(option: str) -> str:
    key = known(option)
    return key.example if key else "VALUE"


def of_environment(environ: Mapping[str, str]) -> Layer:
    """What the environment sets. A name that is close to a known one, but none, is an error."""
    names = {key.variable: name for name, key in KEYS.items() if key.variable}
    names |= {
        variable: f"{OPTIONS}.{variable.removeprefix(_OPTION_VARIABLE).lower()}"
        for variable in environ
        if variable.startswith(_OPTION_VARIABLE)
    }
    for variable in environ:
        if variable.startswith("MIRADOR_") and variable not in names:
            near = nearest(variable, names, cutoff=0.85)
            if near:
                raise UsageError(f"the environment sets {variable}, which is no setting", near)
    found: dict[str, Given] = {}
    for variable, name in names.items():
        if text := environ.get(variable, "").strip():
            found |= layer({name: text}, variable)
    return found


def of_files(start: Path, user: Path) -> list[Layer]:
    """What the files set: see `tables`."""
    return [of_table(table, source) for table, source in tables(start, user)]


def tables(start: Path, user: Path) -> list[Table]:
    """What the nearest pyproject.toml with a [tool.mirador], from `start` up, and `user` say."""
    for folder in (start, *start.parents):
        table = _toml(folder / "pyproject.toml").get("tool", {}).get("mirador")
        if table is not None:
            return [
                (table, f"{folder / 'pyproject.toml'} [tool.mirador]"),
                (_toml(user), str(user)),
            ]
    return [(_toml(user), str(user))]


def of_table(table: Mapping[str, Any], source: str) -> Layer:
    """What a TOML table sets; `stages` holds a table for each stage. `endpoints` are no settings."""
    values = {key: value for key, value in table.items() if key != "endpoints"}
    stages = values.pop("stages", {})
    if not isinstance(stages, Mapping):
        raise UsageError(f"{source}: stages is not a table", "[tool.mirador.stages.critic]")
    for stage, own in stages.items():
        if not isinstance(own, Mapping):
            raise UsageError(f"{source}: stages.{stage} is not a table", f'{stage}.model = "NAME"')
        values |= {f"{stage}.{key}": value for key, value in own.items()}
    return layer(values, source)


def rows(settings: Settings, stages: Sequence[ModelStage] = DEFAULT_STAGES) -> list[Setting]:
    """Each setting, its value and its place: Mirador's own first, then each stage's."""
    table = [
        Setting(name, _told(name, settings[name]), settings.given(name).source) for name in OWN
    ]
    for stage in stages:
        own = settings.stage(stage)
        more = [f"{OPTIONS}.{name}" for name, _ in own.options.more]
        for key in (*OF_A_STAGE, *more):
            given = settings.of(stage.name, key)
            value = _own(own, key)
            if given or value is not None:
                source = given.source if given else "default"
                table.append(Setting(f"{stage.name}.{key}", _told(key, value), source))
    return table


@dataclass(frozen=True)
class Setting:
    """One setting as it is in force: its name, its value as it is typed, and where it came from."""

    name: str
    value: str
    source: str


def _own(stage: ModelStage, key: str) -> object:
    if key == "system":
        return stage.system_prompt
    if key == "num_ctx":
        return stage.options.num_ctx or MODELS_OWN
    if key not in OF_A_STAGE:
        return dict(stage.options.more)[key.partition(".")[2]]
    return getattr(stage.options if key in _OPTIONS else stage, key)


def _told(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if name == "default_stages":
        return ",".join(value) if isinstance(value, tuple) and value else ROUTED
    if isinstance(value, tuple):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Host) and value.login:
        return value.replace("://", "://…@") if "://" in value else f"…@{value}"
    return f"{value:g}" if isinstance(value, float) else str(value) or "–"


@functools.cache
def user_file() -> Path:
    """The user's own settings, `config.toml` in the folder that the platform has for such."""
    import platformdirs

    return platformdirs.user_config_path("mirador", appauthor=False) / "config.toml"


def _toml(file: Path) -> dict[str, Any]:
    try:
        changed = file.stat().st_mtime_ns
    except OSError:
        return {}
    return _parsed(file, changed)


@functools.lru_cache(maxsize=16)
def _parsed(file: Path, changed: int) -> dict[str, Any]:
    """A file's table as of when it was `changed`. One that says nothing of Mirador need not be TOML."""
    import tomllib

    try:
        text = file.read_text(encoding="utf-8")
        if file.name == "pyproject.toml" and "tool.mirador" not in text:
            return {}
        return tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}", "mend it, or take it away") from None
