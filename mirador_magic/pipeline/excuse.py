"""Why an engine may rightly be silent before a stage's first word.

It waits for its turn, loads the model, reads a long prompt, or answers others first: each is ordinary and
takes its time. What is not told apart from here is not told apart in words.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from mirador_magic.engines.base import ChatRequest, Engine, held, may_be_stuck, waits
from mirador_magic.errors import MiradorError
from mirador_magic.stages import ModelStage

log = logging.getLogger(__name__)

_ANSWERS = 5.0  # seconds in which an engine tells what is in memory; it may wait for an unload
_STUCK = 60.0  # seconds after which a load does not wait for the disk any more
_LOADS = 300.0  # seconds in which a model is loaded, or never
_IN_MEMORY = (
    30  # times the stage's timeout in which one that is there says its first word, or never
)
_READS = 100.0  # characters a second that a large model reads on a small machine


class Excuse:
    """Asked when nothing came for as long as the stage's timeout: whether to wait as long again.

    `stages` are the run's; `tell` hears what there is to say of the delay.
    """

    def __init__(
        self,
        engine: Engine,
        request: ChatRequest,
        stage: ModelStage,
        stages: Sequence[ModelStage],
        tell: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._request = request
        self._stage = stage
        self._stages = stages
        self._tell = tell
        self._clock = clock
        self._since = clock()
        self._is_told = False

    async def __call__(self) -> bool:
        """Raises nothing: an engine that does not tell has no excuse."""
        if (told := waits(self._engine, self._request)) is not None:
            return told
        try:
            async with asyncio.timeout(_ANSWERS):
                return await self._waits_on()
        except (MiradorError, TimeoutError) as error:
            log.info("nobody knows why %s is silent: %s", self._stage.model, error)
            return False

    async def _waits_on(self) -> bool:
        waited = self._clock() - self._since
        resident = await self._engine.resident()
        if held(self._engine, resident, self._stage.model):
            return self._may_read(waited)
        if waited > _LOADS:
            return False
        # Ollama's scheduler can wait for ever for the room of a model that a request with a keep_alive
        # has kept from leaving (ollama/ollama#17408). Told to unload that model, it goes on.
        model = self._stage.model
        idle = {s.model for s in self._stages if held(self._engine, resident, s.model)}
        for other in sorted(idle) if waited > _STUCK else ():
            await self._engine.unload(other)
            self._tell(f"{model} was not in memory after {waited:.0f} s: {other} was unloaded")
        return True

    def _may_read(self, waited: float) -> bool:
        """Whether to wait for a model that is in memory and says nothing. What is known is told, once.

        Where it may be stuck, no longer than the prompt takes to be read.
        """
        size = sum(len(message.content) for message in self._request.messages)
        longest = _IN_MEMORY * self._stage.timeout
        if may_be_stuck(self._engine, self._stage.model):
            longest = size / _READS
        if waited >= longest:
            return False
        if not self._is_told:
            self._is_told = True
            self._tell(
                f"no word for {round(waited, 1):g} s from {self._stage.model}, which is in memory: it may be "
                f"reading the prompt ({size:,} characters), or have others to answer first"
            )
        return True
