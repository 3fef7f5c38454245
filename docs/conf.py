"""How Sphinx makes the docs: Markdown (MyST), docstrings (autodoc), nothing from the network."""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from docs import notebooks  # of this checkout
from mirador_magic import __version__

project = "Mirador"
author = "Mirador developers"
copyright = author
release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
smartquotes = False  # they would stand in commands, too
default_role = "code"  # `name` in a docstring
suppress_warnings = ["misc.highlighting_failure"]  # %%mirador is no Python

myst_heading_anchors = 3
myst_links_external_new_tab = False

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 88

html_theme = "furo"
html_title = "Mirador"
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["docs.css"]


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", _write_guides)
    app.connect("autodoc-process-docstring", _read_as_written)


def _write_guides(_: Sphinx) -> None:
    """The guides' pages, which git ignores; one that has not changed is not written anew."""
    folder = HERE / "guides"
    folder.mkdir(exist_ok=True)
    for name, text in notebooks.pages().items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _read_as_written(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """What is indented in a docstring is code."""
    read: list[str] = []
    for line in lines:
        begins = line.startswith("    ") and read and not read[-1].strip()
        if begins and not any(each.startswith("    ") for each in read[-2:]):
            read += ["::", ""]
        read.append(line)
    lines[:] = read
