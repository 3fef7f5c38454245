"""The signals that a test's programs are to hear, whoever started the tests.

A process hands an ignored signal on to all that it starts: under `nohup`, or behind the `&` of a
script, no program would hear its Ctrl-C. What has a handler begins in a new program anew, as ever.
"""

import signal
from types import FrameType

HEARD = ("SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP")  # by name: Windows has not all


def let_children_hear() -> None:
    """Go on ignoring what is ignored, by a handler that no child inherits."""
    for name in HEARD:
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _nothing)


def _nothing(number: int, frame: FrameType | None) -> None:
    """What ignoring does."""
