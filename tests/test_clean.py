"""What others wrote is cleaned where it is read: names, versions and errors of a server."""

from __future__ import annotations

import unicodedata

import pytest

from mirador_magic import Script, ScriptedEngine
from mirador_magic.clean import clean
from mirador_magic.commands import status
from mirador_magic.commands.line import Line
from mirador_magic.engines.base import ModelInfo
from mirador_magic.errors import MiradorError, ModelMissing
from mirador_magic.session.session import Session
from tests.support.virtual_time import run

EVIL = "evil\x1b]52;c;cm0gLXJm\x07\x1b[2J\u202e\u2066\u200b\ufe01\U000e0101\u3164\nname"
CLEANED = "evil]52;c;cm0gLXJm[2J[U+202E][U+2066] name"


@pytest.mark.parametrize(
    "mark",
    "\u034f\u115f\u1160\u17b4\u180b\u2060\u2061\u2064\u206a\u3164\ufe00\uffa0\ufff0\U0001d173\U000e0101\U000e01ef",
)
def test_characters_that_hide_are_left_out(mark: str) -> None:
    assert clean(f"a{mark}b") == "ab", unicodedata.name(mark, hex(ord(mark)))


@pytest.mark.parametrize(
    "text", ["❤️‍🔥 and 👩‍👩‍👧‍👦", "می‌خواهم", "שלום\u200f!", "한국어 ㄱㄴ", "ää"]
)
def test_what_words_and_emoji_are_written_with_stays(text: str) -> None:
    assert clean(text) == text


def test_bits_are_not_written_with_what_may_stay() -> None:
    assert clean("a" + "\u200c\u200d" * 50 + "b") == "a\u200c\u200d\u200c\u200db"


def test_a_servers_words_are_clean_in_the_status(capsys: pytest.CaptureFixture[str]) -> None:
    class Server(ScriptedEngine):
        async def models(self) -> list[ModelInfo]:
            return [ModelInfo(EVIL)]

    class Refuses(ScriptedEngine):
        async def models(self) -> list[ModelInfo]:
            raise ModelMissing(f"no such thing: {EVIL}", EVIL)

    async def main() -> None:
        for engine in (Server({"a": Script("x")}), Refuses()):
            session = Session()
            session.configure({"engine": "scripted", "metrics": False})
            session.use(engine)
            await status.verb(session, Line("status", "status"))
            await session.aclose()

    run(main())
    told = capsys.readouterr().out
    assert f"models: {CLEANED}\n" in told and f"no such thing: {CLEANED} → {CLEANED}" in told
    assert "\x1b" not in told and "\u202e" not in told


def test_an_error_is_clean_wherever_it_is_raised() -> None:
    assert str(MiradorError(EVIL, EVIL)) == f"{CLEANED} → {CLEANED}"
