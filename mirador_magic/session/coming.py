"""What `ask()` returns: the answer's coroutine, which says what to do where it is taken for the answer."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any

from mirador_magic.answer.answer import Answer
from mirador_magic.errors import UsageError


class NotAwaited(UsageError, AttributeError):
    """The answer was read before it was awaited. An AttributeError too, so that `hasattr` says no."""


class Coming(Coroutine[Any, Any, Answer]):
    """An answer to be awaited."""

    def __init__(self, run: Coroutine[Any, Any, Answer]) -> None:
        self._run = run

    def __await__(self) -> Generator[Any, Any, Answer]:
        return self._run.__await__()

    def send(self, value: Any) -> Any:
        return self._run.send(value)

    def throw(self, *error: Any) -> Any:
        return self._run.throw(*error)

    def close(self) -> None:
        self._run.close()

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in (*dir(Answer), *Answer.__dataclass_fields__):
            self._run.close()  # Python's own warning would say the same less well
            raise NotAwaited("ask() has not been awaited", f"(await ask(…)).{name}")
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
