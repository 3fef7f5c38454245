"""The frame around whatever Mirador shows as HTML: the one place where text/html is made.

Nothing inside is typeset by a page's MathJax, of either generation (version 2 knows one class, 3 and 4
know the other), but the formulas that `markdown` lets through; and nothing drawn inside comes out.
"""

from __future__ import annotations

GUARD = ("tex2jax_ignore", "mathjax_ignore")
CLIPPED = "overflow:hidden"  # inline, since a notebook that is not trusted has no style sheet


def framed(inside: str, *classes: str) -> str:
    """HTML in its frame."""
    return f'<div class="{" ".join((*GUARD, *classes))}" style="{CLIPPED}">{inside}</div>'


def shown(inside: str, plain: str, *classes: str, **more: str) -> dict[str, str]:
    """A MIME bundle of HTML in its frame and of text; `more` are other forms, by their MIME subtypes."""
    forms = {f"text/{kind}": text for kind, text in more.items()}
    return {"text/html": framed(inside, *classes), **forms, "text/plain": plain}


def bundle(inside: str, plain: str, *classes: str, **more: str) -> dict[str, str]:
    """The same of what stays in a notebook. `classes` are those that the controls look for."""
    return shown(inside, plain, "mirador-saved", *classes, **more)


def text_box(inside: str) -> str:
    """A model's text, clipped too: it has its stage's line above itself, whose number it must not cover.

    A clipped box keeps the margins of its first and last block, which a list and a table do not have.
    """
    top = 6 * inside.startswith(("<ul", "<ol"))
    bottom = 6 * inside.endswith(("</ul>", "</ol>", "</table></div>"))
    style = f"margin:{top}px 0 {bottom}px;clear:both;{CLIPPED}"
    return f'<div class="mirador-text" style="{style}">{inside}</div>'


def guarded(inside: str) -> str:
    """A piece of HTML in which formulas are typeset from its own element on, and nothing else."""
    return f'<div class="{" ".join(GUARD)}">{inside}</div>'
