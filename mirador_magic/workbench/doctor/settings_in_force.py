"""The settings that are examined: those in force, or what can be read of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mirador_magic.answer.words import one_line
from mirador_magic.errors import UsageError
from mirador_magic.session.session import Session
from mirador_magic.settings import settings as settings_
from mirador_magic.settings.settings import Layer, Settings
from mirador_magic.stages import DEFAULT_STAGES, ModelStage, agree, choose
from mirador_magic.workbench.doctor import kinds
from mirador_magic.workbench.doctor.finding import Finding, ok


def in_force(
    session: Session, environ: Mapping[str, str]
) -> tuple[Settings, Sequence[ModelStage], list[Finding]]:
    """The settings, the stages that they name, and what there is to say of them."""
    try:
        settings, known = session.settings(), session.stages
        names = settings["default_stages"] or [stage.name for stage in DEFAULT_STAGES]
        stages = agree(choose(list(known.values()), names), known.values())
        return settings, stages, [_set(session)]
    except UsageError as error:
        settings, said = _readable(session, environ)
        said = said or [_unread(error)]
        return settings, agree(map(settings.stage, DEFAULT_STAGES)), said


def _readable(session: Session, environ: Mapping[str, str]) -> tuple[Settings, list[Finding]]:
    """What can be read of the settings, place by place, and a finding for each that cannot."""
    layers: list[Layer] = []
    said: list[Finding] = []
    try:
        layers += settings_.of_files(Path.cwd(), settings_.user_file())
    except UsageError as error:
        said.append(_unread(error))
    for variable, value in environ.items():
        try:
            layers += filter(None, [settings_.of_environment({variable: value})])
        except UsageError as error:
            said.append(_unread(error))
    return Settings(*layers, session.notebook), said


def _unread(error: UsageError) -> Finding:
    return kinds.SETTING.found(error=error.what, its_cure=error.cure or "%mirador settings")


def _set(session: Session) -> Finding:
    """What is set, and where; %mirador settings has the rest."""
    rows = [row for row in session.shown_settings() if row.source != "default"]
    told = [f"{row.name} = {_short(row.value)} ({row.source})" for row in rows]
    said = f"{', '.join(told)}; else" if told else "all"
    return ok("settings", f"{said} as it comes: %mirador settings lists them")


def _short(text: str) -> str:
    text = re.sub(r"//[^/@\s]*@", "//", one_line(text))  # a host may be written with a password
    return text if len(text) <= 40 else f"{text[:39]}…"
