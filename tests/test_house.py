"""The house stays one in which things are found: no circles of files, and nothing too long to read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import ipywidgets

from mirador_magic.views.board_widgets import BoardWidgets
from mirador_magic.views.frame import GUARD
from mirador_magic.views.frame import guarded as framed_by_guards
from mirador_magic.views.streaming import PanelWidgets
from tests.support import house

# Inside _repr_mimebundle_: an answer that is shown as a value looks as it did in its cell.
NAMED = ("mirador_magic.answer.answer", "mirador_magic.views.static")

LONGEST_FILE = 300  # lines
LONGEST_FUNCTION = 60


def test_no_files_import_in_a_circle_but_the_named_one() -> None:
    arrows = house.arrows_of(house.PACKAGE)
    answer, static = NAMED
    assert static in arrows[answer]  # else the exception is to be struck
    assert house.circles({**arrows, answer: arrows[answer] - {static}}) == []


def test_no_file_and_no_function_is_long() -> None:
    for path in house.PACKAGE.rglob("*.py"):
        text = path.read_text()
        assert text.count("\n") <= LONGEST_FILE, path
        long = [name for name, lines in functions(text) if lines > LONGEST_FUNCTION]
        assert not long, path


FRAME = house.PACKAGE / "views" / "frame.py"
KITS = [house.PACKAGE / "views" / name for name in ("streaming.py", "board_widgets.py")]


def test_whatever_is_shown_as_html_goes_through_the_frame() -> None:
    for path in set(house.PACKAGE.rglob("*.py")) - {FRAME}:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = node.value if isinstance(node, ast.Constant) else ""
            assert "text/html" not in str(text), path
            named = node.attr if isinstance(node, ast.Attribute) else ""
            named = node.name if isinstance(node, ast.FunctionDef) else named
            assert named != "_repr_html_", path
            called = node.func if isinstance(node, ast.Call) else None
            made = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            assert made not in ("HTML", "HTMLMath") or path in KITS, path


def test_every_widget_of_html_is_guarded() -> None:
    boards, panels = BoardWidgets(), PanelWidgets()
    try:
        for widget in (boards.make(ipywidgets.HTML, "a"), panels.html("x", "a")):
            assert {*GUARD, "a"} <= set(widget._dom_classes)
        assert panels.math("x").value == framed_by_guards("x")
    finally:
        boards.close()
        panels.close()


def functions(text: str) -> Iterator[tuple[str, int]]:
    """Each function and its lines, those of its docstring aside: that of a magic is its manual."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            told = ast.get_docstring(node, clean=False)
            lines = (node.end_lineno or 0) - node.lineno + 1
            yield node.name, lines - (told.count("\n") + 1 if told else 0)


def test_late_imports_make_circles_and_so_do_those_for_types(tmp_path: Path) -> None:
    package = written(
        tmp_path,
        {
            "value.py": "def show(self):\n    from .shown import bundle",
            "shown/__init__.py": "from ..value import Value",
            "shown/typed.py": "if TYPE_CHECKING:\n    import package.reads\nelse:\n    import package.value",
            "reads.py": "from package.shown.typed import Text",
            "__init__.py": "from package import reads",
        },
    )
    arrows = house.arrows_of(package)
    assert arrows["package.shown.typed"] == {"package.reads", "package.value"}
    assert house.circles(arrows) == [
        ["package.reads", "package.shown.typed"],
        ["package.shown", "package.value"],
    ]
    found = house.rooms(arrows)
    assert found == {"value": {"shown"}, "shown": {"value", "reads"}, "reads": {"shown"}}
    assert house.floors(found) == 1  # all of them in one circle
    assert house.floors({"top": {"middle"}, "middle": {"low"}, "low": set()}) == 3


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / "package" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "package"
