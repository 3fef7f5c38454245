"""What the front end that sent the running cell does with what it is shown.

A notebook's page changes a display when it is told to, and draws widgets. jupyter_console, qtconsole
and Spyder on it, `jupyter run` and a script's own client show each display once, as it was first: an
update that comes later is passed over. They tell it nowhere; but their messages are those of
jupyter_client, which names them after its session, its process and a count, and say nothing of a cell.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from mirador_magic.kernel.loop import kernel_of

_OF_A_CLIENT = re.compile(r".+_\d+")  # a page's is a bare UUID


def _message(shell: InteractiveShell) -> dict[str, Any]:
    """The message that the kernel works on; empty in a terminal, and where the kernel tells none."""
    tell: Callable[[], dict[str, Any] | None] = getattr(kernel_of(shell), "get_parent", dict)
    return tell() or {}


def shows_once(shell: InteractiveShell) -> bool:
    """Whether a display is shown as it first is, and never changed; widgets are none there.

    nbclient, and papermill on it, follow updates. But nobody watches those, so once is enough.
    """
    message = _message(shell)
    header = message.get("header", {})
    is_cell = header.get("msg_type") == "execute_request" and not message.get("metadata")
    return bool(is_cell and _OF_A_CLIENT.fullmatch(str(header.get("msg_id"))))


def has_a_person(shell: InteractiveShell) -> bool:
    """Whether somebody may be asked for input: nbclient and its like have nobody."""
    return bool(_message(shell).get("content", {}).get("allow_stdin"))


def is_text_alone(shell: InteractiveShell) -> bool:
    """Whether a person reads it who sees text alone, as in a terminal, but through a kernel."""
    return shows_once(shell) and has_a_person(shell)
