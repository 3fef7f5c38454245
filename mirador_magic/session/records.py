"""What is kept of a run that is over: its figures, and its words where the user wants that."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from mirador_magic.pipeline.metrics import Purpose
from mirador_magic.residency.history import History
from mirador_magic.session.handle import Handle
from mirador_magic.settings.settings import Settings

if TYPE_CHECKING:
    from mirador_magic.store import Recorder

_opening = threading.Lock()


class Recorded(Protocol):
    """What has a recorder once it has kept a run."""

    recorder: Recorder | None


def recorder_of(session: Recorded) -> Recorder:
    """The session's recorder, one for the runs of all threads."""
    from mirador_magic.store import Recorder

    with _opening:
        if session.recorder is None:
            session.recorder = Recorder()
        return session.recorder


def record(
    session: Recorded, history: History, handle: Handle, purpose: Purpose, settings: Settings
) -> None:
    """Keep the run's figures, where they are wanted: the recorder writes them down beside the loop."""
    if not settings["metrics"]:
        return
    if purpose == "ask":
        history.was_measured(handle.measured)
    answer, run = handle.answer, handle.metrics
    recorder_of(session).record(
        run,
        purpose=purpose,
        question=answer.question,
        texts={each.stage: answer[each.stage].text for each in run.stages},
        keep_texts=settings["keep_texts"],
        keep_days=settings["keep_days"],
    )
