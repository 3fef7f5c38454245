"""What Ollama tells of a model, and whether it cut a prompt that is too long, which it does not tell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from mirador_magic.engines.base import Message, ModelInfo
from mirador_magic.engines.ollama.chat import sendable, until
from mirador_magic.stages import FOR_EVER, plain

if TYPE_CHECKING:
    from ollama import ProcessResponse, ShowResponse

SMALLEST_CONTEXT = 256  # tokens; no model in use was trained with fewer
TEMPLATE_BYTES = 256  # what a chat template may add to the messages
NUM_KEEP = 4  # Ollama's default


class Shown(NamedTuple):
    """The context that a model was trained with, how many first tokens a cut spares, how many bytes
    its own messages add to a prompt, which weights it has: the hash of their blob, '' where unknown; and
    what it `can` do, None where Ollama does not tell.
    """

    trained: int | None = None
    keep: int = NUM_KEEP
    own: int = 0
    weights: str = ""
    can: Sequence[str] | None = None


def read_shown(told: ShowResponse) -> Shown:
    """What Ollama's answer to `show` says of it."""
    known = told.modelinfo or {}
    trained = known.get(f"{known.get('general.architecture')}.context_length")
    chosen = re.search(r"^num_keep\s+(-?\d+)", told.parameters or "", re.MULTILINE)
    keep = int(chosen[1]) if chosen else NUM_KEEP
    if keep >= 0 and known.get("tokenizer.ggml.add_bos_token"):
        keep += 1
    modelfile = told.modelfile or ""
    own = len(modelfile.partition("\nMESSAGE ")[2].encode())
    weights = re.search(r"^FROM .*sha256-([0-9a-f]{64})$", modelfile, re.MULTILINE)
    return Shown(trained, keep, own, weights[1] if weights else "", told.capabilities)


def resident(running: ProcessResponse) -> list[ModelInfo]:
    """The models in memory."""
    return [
        ModelInfo(m.model, int(m.size or 0), int(m.size_vram or 0), until(m.expires_at))
        for m in running.models
        if m.model
    ]


def other_names(told: Sequence[ModelInfo], shown: Mapping[str, Shown]) -> list[ModelInfo]:
    """Models of the same weights as one that is in memory: Ollama lists them under one name."""
    listed = {plain(info.name): info for info in told}
    by_weights = {shown[name].weights: info for name, info in listed.items() if name in shown}
    return [
        replace(by_weights[each.weights], name=name)
        for name, each in shown.items()
        if each.weights and name not in listed and each.weights in by_weights
    ]


class Keeps:
    """How long weights are kept, in seconds: as long as the one of their names that is kept longest."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}  # by the weights

    def longest(self, shown: Shown | None, keep_alive: float | None) -> float | None:
        """For a model that is shown so and is to be kept so long; None leaves it as it is."""
        if keep_alive is None or shown is None or not shown.weights:
            return keep_alive
        so_far = self._seconds.get(shown.weights, 0.0)
        longest = FOR_EVER if FOR_EVER in (so_far, keep_alive) else max(so_far, keep_alive)
        self._seconds[shown.weights] = longest
        return longest


def context_of(running: ProcessResponse, model: str) -> int | None:
    """In tokens, of a model in memory; None where Ollama does not tell."""
    of = (each.context_length for each in running.models if plain(each.model or "") == plain(model))
    return next(of, None)


def was_cut(shown: Shown, messages: Sequence[Message], context: int, tokens: int) -> bool:
    """Whether a prompt of these messages, of which `tokens` were read, did not fit into `context`.

    No token covers less than a byte, so a prompt of fewer bytes than the context has tokens was not
    cut, whatever its count looks like.
    """
    context = min(context, shown.trained or context)
    told = sum(len(sendable(message.content).encode()) for message in messages)
    size = TEMPLATE_BYTES + shown.own + told
    return size >= context and tokens in cut_lengths(context, shown.keep)


def cut_lengths(context: int, keep: int) -> set[int]:
    """How many tokens Ollama leaves of a prompt that does not fit into `context` tokens.

    Up to 0.29 it fills the context: `context`. From 0.30 on it keeps the first `keep` tokens and
    clears half of the rest for the answer: context - (context - keep) // 2. A negative `keep`
    spares everything, but for one token.
    """
    keep = min(keep, context - 1) if keep >= 0 else context - 1
    return {context, context - max((context - keep) // 2, 1)}
