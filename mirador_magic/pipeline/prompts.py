"""What a stage is told: its system prompt, the conversation, the question, what was answered, an order.

    system      the stage's system prompt
    user        a question of the conversation before ┐ for each of its turns
    assistant   the answer to it                      ┘
    user        the question
    assistant   what the stages before this one wrote  ┐ where there are any
    user        the stage's order: what to do with it  ┘

This is from stable to volatile, so that an engine finds the longest possible prefix in its cache. A
small model takes up what stands last, and what it may take for its own words: quoted drafts with
headings it repeats, and a repeated question it answers with the same sentence again. To a large one
this is a conversation as any other, in which it is asked to go on.

What stands as the model's own turn is a model's text and so is untrusted: the marks with which chat
templates begin and end a turn are broken in it (`harmless`). A stage that has no order of its own,
as those that users make, is told its system prompt once more ("Find the flaw"), since a small model
forgets what only stood at the beginning; `ORDER` where that is long, `ANSWER_TOO` where there is none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from mirador_magic.engines.base import ChatRequest, Message
from mirador_magic.stages import ModelStage

ORDER = "Now do your part, as you were told at the beginning."
ANSWER_TOO = "Now answer my question yourself."

Turn = tuple[str, str]  # a question, and the answer to it

_BYTES = 3  # of a token, at the least that is usual
_SHORT = 300  # characters of a system prompt that is worth its tokens a second time

# Of a mark, what follows its first character. In some templates the bars are full-width (DeepSeek), or
# stand at one end only (Gemma 4), or in square brackets (EXAONE).
_MARK = re.compile(
    r"""
      <(?= [|｜] [^\s<>|｜]+ [|｜]? > | [^\s<>|｜]+ [|｜] > )
    | \[(?= [|｜] [^\s\[\]|｜]+ [|｜] \] )
    | <(?= /? \w{1,60} [_:] [\w:]{1,60} > )                # <start_of_turn>, <tool_call>, <seed:eos>
    | <(?= /? (?: s | bos | eos | pad | unk | mask | sep | cls | sop | eop | eod | think | sys ) > )
    | <(?= < /? sys > > )
    | \[(?= /? (?: inst | gmask | img | think | args | call_id | system_prompt
                 | (?: available_ )? tools? (?: _[a-z]+ )? ) \] )
    """,
    re.IGNORECASE | re.VERBOSE,
)


def request(
    stage: ModelStage,
    query: str,
    earlier: Sequence[tuple[str, str]],
    turns: Sequence[Turn] = (),
) -> ChatRequest:
    """The stage's request.

    `earlier` holds (stage name, finished text), oldest first; `turns` the conversation that the
    question continues, as far as it is to be told (`fitting`). What was written is left out where
    the context has, by the same estimate, no room for it beside the question.
    """
    asked = [Message("user", query.strip())]
    if earlier:
        # One turn for all of them, since templates want the roles to take turns.
        said = "\n\n".join(harmless(text.strip()) for _, text in earlier)
        more = [*asked, Message("assistant", said), Message("user", _order(stage))]
        # Of a longer prompt Ollama would drop the question, and keep the order behind it.
        if _size(_chat(stage, more).messages) <= _BYTES * _context(stage):
            asked = more
    return _chat(stage, asked, turns)


def fitting(
    stage: ModelStage, query: str, earlier: Sequence[tuple[str, str]], turns: Sequence[Turn]
) -> Sequence[Turn]:
    """The last turns, as many as the stage's context holds beside the rest and the answer.

    A token is taken for three bytes, since no engine counts tokens beforehand; so it is by estimate.
    """
    context = _context(stage)
    room = context - (stage.options.num_predict or context / 4)
    left = _BYTES * room - _size(request(stage, query, earlier).messages)
    kept = 0
    for turn in reversed(turns):
        left -= _size(_told(turn))
        if left < 0:
            break
        kept += 1
    return turns[len(turns) - kept :]


def head(stage: ModelStage) -> ChatRequest:
    """What all of the stage's requests begin with, as a request of its own, for the prefix cache.

    The question stands at the very front of the user's turn, so that the shared part ends there.
    The turn holds one character, since some chat templates leave out an empty one.
    """
    return _chat(stage, [Message("user", ".")])


def harmless(text: str) -> str:
    """The text with a space in each mark that a chat template may know: `< |im_end|>`."""
    return _MARK.sub(r"\g<0> ", text)


def _chat(stage: ModelStage, asked: Sequence[Message], turns: Sequence[Turn] = ()) -> ChatRequest:
    messages = [Message("system", stage.system_prompt)] if stage.system_prompt else []
    for turn in turns:
        messages += _told(turn)
    return ChatRequest(
        stage.model, [*messages, *asked], stage.options, stage.think, keep_alive=stage.keep_alive
    )


def _context(stage: ModelStage) -> float:
    """In tokens; nobody knows beforehand how many there are where it is left to the model."""
    return math.inf if stage.options.num_ctx is None else stage.options.num_ctx


def _order(stage: ModelStage) -> str:
    if stage.order or not stage.system_prompt:
        return stage.order or ANSWER_TOO
    return stage.system_prompt if len(stage.system_prompt) <= _SHORT else ORDER


def _told(turn: Turn) -> list[Message]:
    question, answer = turn
    return [Message("user", question.strip()), Message("assistant", harmless(answer.strip()))]


def _size(messages: Sequence[Message]) -> int:
    """In bytes."""
    return sum(len(message.content.encode(errors="replace")) for message in messages)
