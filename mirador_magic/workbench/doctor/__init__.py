"""What is wrong here, and the command that mends it: `%mirador doctor`.

    async for finding in examine(session):
        print(line(finding))

What costs nothing is told first; then the engine is asked, each question with a limit, so that an
examination ends whatever the engine does. It asks the first stage's model twice, and so may bring
that one into memory, as any question does; it unloads nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

from mirador_magic.commands.line import Line
from mirador_magic.errors import MiradorError
from mirador_magic.session.session import Session
from mirador_magic.workbench.doctor import checks, endpoints, kinds
from mirador_magic.workbench.doctor.engine import ANEW, Patient
from mirador_magic.workbench.doctor.finding import Finding, as_json, exit_code, line
from mirador_magic.workbench.doctor.settings_in_force import in_force

__all__ = ["Finding", "as_json", "examine", "exit_code", "line", "verb"]

log = logging.getLogger(__name__)

ASK_S = 30.0  # for what an engine answers out of hand, one token of a warm model among them
LOAD_S = 120.0  # for a cold model's first token

_CURES = {
    "first token": "take a smaller model, or look what is at work: ollama ps",
    "endpoints": "%mirador endpoints asks them again",
}


async def verb(session: Session, read: Line) -> None:
    """What `%mirador doctor` prints."""
    findings = []
    async for finding in examine(session):
        findings.append(finding)
        if "--json" not in read.options:
            print(line(finding))
    if "--json" in read.options:
        print(as_json(findings))


async def examine(
    session: Session,
    *,
    clock: Callable[[], float] = time.perf_counter,
    environ: Mapping[str, str] = os.environ,
) -> AsyncGenerator[Finding, None]:
    """Each finding as it is made. `clock` is in seconds; raises nothing that was found wrong."""
    settings, stages, said = in_force(session, environ)
    loop = asyncio.get_running_loop()
    for finding in (
        *said,
        *checks.versions(checks.installed),
        *checks.nesting(loop, checks.installed),
        *checks.surroundings(environ),
    ):
        yield finding
    for finding in await _within("endpoints", ASK_S, endpoints.answering(session)):
        yield finding
    stages = endpoints.at_home(session, stages)
    if not stages:
        return
    patient = Patient(session, settings, stages, clock, environ)
    for topic, limit, step in (
        ("engine", ASK_S, patient.find_engine),
        ("models", ASK_S, patient.list_models),
        ("first token", LOAD_S, patient.ask_first),
        ("first token", ASK_S, patient.ask_again),
        ("memory", ASK_S, patient.weigh),
    ):
        for finding in await _within(topic, limit, step()):
            yield finding
        if patient.engine is None:
            return


async def _within(topic: str, limit: float, step: Awaitable[list[Finding]]) -> list[Finding]:
    """What the step finds; that it took too long, or what it could not do, is a finding as well."""
    usual = _CURES.get(topic, ANEW)
    try:
        async with asyncio.timeout(limit):
            return await step
    except TimeoutError:
        return [kinds.TIMED_OUT.found(topic, limit=f"{limit:g}", usual_cure=usual)]
    except MiradorError as error:
        return [kinds.FAILED.found(topic, error=error.what, its_cure=error.cure or usual)]
    except Exception as error:  # what nobody foresaw is a finding too, and the rest is examined
        log.info("the doctor stumbled over %s", topic, exc_info=True)
        what = f"{type(error).__name__}: {error}"
        return [kinds.FAILED.found(topic, error=what, its_cure=usual)]
