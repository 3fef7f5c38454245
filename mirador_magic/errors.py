"""What can go wrong, as one line each: what happened, why, and the command that mends it.

    MiradorError
    ├── UsageError              the cell's line, or a call's arguments, cannot be read
    └── EngineError
        ├── EngineUnavailable   no engine answers, or one cannot start
        │   └── NoModel         none does, and the embedded one has no model
        ├── ModelMissing        the engine does not have this model
        ├── EngineBusy          the engine has no place for one more request
        ├── PromptTooLong       the prompt does not fit into the model's context
        ├── RequestRefused      the engine refuses this request
        │   └── NoChatModel     the model is there, and is none to chat with
        ├── EngineLost          the connection broke while the model was writing
        ├── BrokenStream        the engine's stream ended early or cannot be read
        └── EngineSilent        nothing came for longer than the stage's timeout

    RunInterrupted              a KeyboardInterrupt: the kernel's interrupt ended the run

In a notebook each shows as its one line, without a traceback, and still ends the cell in error,
so that Run All stops there.
"""

from __future__ import annotations

from mirador_magic.clean import one_line


def _one_line(error: BaseException) -> list[str]:
    return [f"{type(error).__name__}: {error}"]


class MiradorError(Exception):
    """An error that a user can meet. `what` happened (with why), and the `cure` to type.

    Either part is cleaned and folded to a single line, since text of a server or a model may stand in it.
    """

    def __init__(self, what: str, cure: str = "") -> None:
        self.what = one_line(what)
        self.cure = one_line(cure)
        super().__init__(f"{self.what} → {self.cure}" if self.cure else self.what)

    def _render_traceback_(self) -> list[str]:
        return _one_line(self)


class UsageError(MiradorError):
    """The cell's line, or a call's arguments, cannot be read."""


class EngineError(MiradorError):
    """The engine could not do what was asked of it."""


class EngineUnavailable(EngineError):
    """No engine answers, or one cannot start."""


class NoModel(EngineUnavailable):
    """No other engine answers, and the embedded one has no model to run."""


class ModelMissing(EngineError):
    """The engine does not have this model."""


class EngineBusy(EngineError):
    """The engine has no place for one more request."""


class PromptTooLong(EngineError):
    """The prompt does not fit into the model's context."""


class RequestRefused(EngineError):
    """The engine refuses this request."""


class NoChatModel(RequestRefused):
    """The model is there, and is none to chat with: it makes embeddings, or is a part of another."""


class EngineLost(EngineError):
    """The connection broke while the model was writing."""


class BrokenStream(EngineError):
    """The engine's stream ended early or cannot be read."""


class EngineSilent(EngineError):
    """Nothing came from the engine for longer than the stage's timeout."""


class RunInterrupted(KeyboardInterrupt):
    """The kernel's interrupt ended the run; what was written is kept."""

    def _render_traceback_(self) -> list[str]:
        return _one_line(self)
