"""What a later stage changed in the earlier answer: the sentences, their pairs, line and HTML."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirador_magic.answer.compare import Change, Comparison, compare, comparison_html, sentences

DEL = '<del style="text-decoration:line-through;opacity:.62">'
INS = '<ins style="text-decoration:underline">'

# Pieces of Markdown, so that texts have fences, rows and lists that begin and do not end.
PIECES = r"""cat sat 3.5 not. dog! e.g. Is? <b> &amp; " ' ** __ ` ``` ~~~ | - > # 1. 猫 。"""
ALL_PIECES = [*PIECES.split(), "\n", "\n\n"]
TEXTS = st.text(max_size=80) | st.lists(st.sampled_from(ALL_PIECES), max_size=30).map(" ".join)


class Page(HTMLParser):
    """The tags of a page, each closed in its turn, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.styles = ""
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert [name for name, _ in attrs] in ([], ["style"])
        self.styles += "".join(f"{value};" for _, value in attrs)
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four… Five", ["One.", "Two!", "Three?", "Four…", "Five"]),
        ("Really?! Yes.", ["Really?!", "Yes."]),
        ('He said "no." Then (so.) Go.', ['He said "no."', "Then (so.)", "Go."]),
        ("It costs 3.5 euros at x.org today. Fine.", ["It costs 3.5 euros at x.org today.", "Fine."]),
        ("The answer is 42. It holds.", ["The answer is 42.", "It holds."]),
        ("Some, e.g. this, i.e. that.", ["Some, e.g. this, i.e. that."]),
        ("Obst, z.B. Äpfel, z. B. Birnen.", ["Obst, z.B. Äpfel, z. B. Birnen."]),
        ("Dr. Who, etc. and J. R. Smith.", ["Dr. Who, etc. and J. R. Smith."]),
        ("Shall I. Go.", ["Shall I.", "Go."]),
        ("It took 5 ms. No. Yes.", ["It took 5 ms.", "No.", "Yes."]),
        ("Steps: 1. Mix. 2. Bake.", ["Steps: 1. Mix.", "2. Bake."]),
        ("猫在这里。狗不在！真的", ["猫在这里。", "狗不在！", "真的"]),
        ("a line\nthat wraps. Next\n\nparagraph", ["a line that wraps.", "Next", "paragraph"]),
        ("# Title\nText", ["Title", "Text"]),
        ("## Title ##\nText", ["Title", "Text"]),
        ("Title\n=====\nText", ["Title", "Text"]),
        ("---\nText\n***", ["Text"]),
        ("- one. two\n* three\n+ four\n1. five\n2) six", ["one.", "two", "three", "four", "five", "six"]),
        ("- one\n  goes on\n  - two", ["one goes on", "two"]),
        ("> quoted\n> again\nplain", ["quoted", "again plain"]),
        ("| a. B | **b** |\n|---|:-:|\n| c | d |", ["| a. B | b |", "| c | d |"]),
        ("So:\n```py\nif a:\n    b. c()\n\n}\n```\nEnd", ["So:", "if a:", "b. c()", "End"]),
        ("````\n```\nx # y\n```\n````\nEnd", ["x # y", "End"]),
        ("~~~\nx ** 2", ["x ** 2"]),
        ("**Bold** _it_ __b__ `c`", ["Bold it b c"]),
        ("`__init__` of snake_case, 2*3 and a * b", ["__init__ of snake_case, 2*3 and a * b"]),
        ("a\x1b[31mb\x00\r\nc\ud800", ["a[31mb c\ufffd"]),
        ("", []),
        ("--- ... }", []),
    ],
)  # fmt: skip
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("The cat sat.", "the CAT,  sat!"),
        ("It's a “well-known” fact.", "It’s a 'well known' fact"),
        ("**Note:** one.", "Note: one."),
        ("1. Mix.\n2. Bake.", "Bake. Mix."),
        ("| a | b |", "|a|b|"),
        ("cafe\u0301", "CAFÉ"),
        ("```\nf( a )\n```", "```\nf(a)\n```"),
    ],
)
def test_case_spacing_punctuation_markup_and_place_change_nothing(earlier: str, later: str) -> None:
    comparison = compare(earlier, later)
    assert comparison == Comparison((), (), (), len(sentences(later)))
    assert comparison.line("quick_response") == "repeats quick_response"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("The answer is 42.", "The answer is 43."),
        ("It is 5.", "It is 6."),
        ("The mass is .5 kg.", "The mass is 5 kg."),
        ("It rose by 3.5 %.", "It rose by 35 %."),
        ("It rose by 5 %.", "It rose by 5."),
        ("It was 5 degrees.", "It was -5 degrees."),
        ("Take 10² steps.", "Take 102 steps."),
        ("Water is wet.", "Water is not wet."),
        ("Water isn't wet.", "Water is wet."),
        ("Where a < b, stop.", "Where a > b, stop."),
        ("Where a = b, stop.", "Where a != b, stop."),
        ("Use C today.", "Use C++ today."),
        ("| 2020 | 5.1 |", "| 2020 | 5.2 |"),
        ("| tests | ✅ |", "| tests | ❌ |"),
        ("猫在垫子上。", "猫不在垫子上。"),
        ("कि यह", "की यह"),
        ("Cats sleep on warm mats.", "Cats like to sleep on mats that are warm."),
    ],
)
def test_a_correction_is_a_change(before: str, after: str) -> None:
    assert compare(before, after) == Comparison((Change(before, after),), (), (), 0)


@pytest.mark.parametrize(
    ("before", "after"), [("i < n", "i <= n"), ("f(a, b)", "f(a.b)"), ("Name()", "name()")]
)
def test_in_code_every_sign_counts(before: str, after: str) -> None:
    comparison = compare(f"```\nx\n{before}\n```", f"```\nx\n{after}\n```")
    assert comparison.kept == 1
    assert not compare(f"```\n{before}\n```", f"```\n{after}\n```").kept


def test_code_is_not_paired_with_prose() -> None:
    assert compare("print(x)", "```\nprint(x)\n```") == Comparison(
        (), ("print(x)",), ("print(x)",), 0
    )


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [
        ("", "New.", Comparison((), ("New.",), (), 0)),
        ("Old.", "", Comparison((), (), ("Old.",), 0)),
        ("", "", Comparison((), (), (), 0)),
        ("Cats sleep.", "Dogs bark.", Comparison((), ("Dogs bark.",), ("Cats sleep.",), 0)),
        # little words make nothing alike
        ("It is in the sun.", "It is in the sea.", Comparison((), ("It is in the sea.",), ("It is in the sun.",), 0)),
        # half of the content words, and less
        ("Red cats.", "Red dogs.", Comparison((Change("Red cats.", "Red dogs."),), (), (), 0)),
        ("Red old cats.", "Red new dogs.", Comparison((), ("Red new dogs.",), ("Red old cats.",), 0)),
        # the best pair first, each earlier one once
        (
            "Old cats sleep.",
            "Old cats bark loud. Old cats sleep long.",
            Comparison((Change("Old cats sleep.", "Old cats sleep long."),), ("Old cats bark loud.",), (), 0),
        ),
        # a repetition is kept once
        ("Yes.", "Yes. Yes.", Comparison((), ("Yes.",), (), 1)),
        ("Yes. Yes.", "Yes.", Comparison((), (), ("Yes.",), 1)),
    ],
)  # fmt: skip
def test_what_is_added_dropped_and_kept(earlier: str, later: str, expected: Comparison) -> None:
    assert compare(earlier, later) == expected


def test_of_equally_alike_rows_each_finds_its_own() -> None:
    rows = [f"- row {i} is done" for i in range(300)]
    changed = compare("\n".join(rows), "\n".join(f"{row} now" for row in rows)).changed
    assert changed == tuple(Change(row[2:], f"{row[2:]} now") for row in rows)


@pytest.mark.parametrize(
    ("changed", "added", "dropped", "line"),
    [
        (2, 5, 1, "compared with quick: changes 2 sentences, adds 5, leaves out 1"),
        (1, 1, 0, "compared with quick: changes 1 sentence, adds 1"),
        (11, 0, 2, "compared with quick: changes 11 sentences, leaves out 2"),
        (0, 1, 3, "compared with quick: adds 1 sentence, leaves out 3"),
        (0, 0, 2, "compared with quick: leaves out 2 sentences"),
        (0, 0, 0, "repeats quick"),
    ],
)
def test_the_line(changed: int, added: int, dropped: int, line: str) -> None:
    change = Change("a", "b")
    comparison = Comparison((change,) * changed, ("x",) * added, ("y",) * dropped, 7)
    assert comparison.line("\x1bquick\n") == line


@pytest.mark.parametrize(
    ("before", "after", "item"),
    [
        ("Cats eat 3 fish.", "Cats eat 4 fish.", f"Cats eat {DEL}3</del> {INS}4</ins> fish."),
        ("Water is wet.", "Water is not wet.", f"Water is  {INS}not</ins> wet."),
        ("Cats sleep now here", "Cats sleep now", f"Cats sleep now {DEL}here</del>"),
        ("a <b> c", "a <i> c", f"a {DEL}&lt;b&gt;</del> {INS}&lt;i&gt;</ins> c"),
        ("猫在这里", "猫不在这里", f"猫 {INS}不</ins> 在这里"),
    ],
)
def test_a_changed_sentence_shows_its_words(before: str, after: str, item: str) -> None:
    html = comparison_html(Comparison((Change(before, after),), (), (), 0), "quick")
    shown = html.partition('<li style="margin:2px 0">')[2].partition("</li>")[0]
    assert " ".join(shown.split()) == " ".join(item.split())


def test_a_long_sentence_is_shown_whole() -> None:
    before, after = "many " * 101 + "cats", "many " * 101 + "dogs"
    html = comparison_html(Comparison((Change(before, after),), (), (), 0), "quick")
    assert f"{DEL}{before}</del> {INS}{after}</ins>" in html


def test_changed_added_and_dropped_stand_below_the_line() -> None:
    comparison = compare("Cats eat 3 fish. Gone now.", "Newly written. Cats eat 4 fish.")
    page = Page(comparison_html(comparison, "a<b"))
    assert page.tags == ["details", "summary", "ul", "li", "del", "ins", "li", "ins", "li", "del"]
    assert " ".join(page.text.split()) == (
        "↺ compared with a<b: changes 1 sentence, adds 1, leaves out 1"
        "Cats eat 3 4 fish.+ Newly written.− Gone now."
    )


def test_what_repeats_has_nothing_to_unfold() -> None:
    page = Page(comparison_html(compare("Yes.", "yes"), "quick"))
    assert (page.tags, page.text) == (["div"], "↺ repeats quick")


def test_a_long_list_ends_with_how_many_more() -> None:
    page = Page(comparison_html(Comparison((), ("x",) * 203, (), 0), "quick"))
    assert page.tags.count("li") == 201
    assert page.text.endswith("+ x… and 3 more")


@given(TEXTS, TEXTS)
def test_the_counts_add_up(earlier: str, later: str) -> None:
    comparison = compare(earlier, later)
    there = comparison.kept + len(comparison.changed)
    assert there + len(comparison.added) == len(sentences(later))
    assert there + len(comparison.dropped) == len(sentences(earlier))
    assert all(change.before != change.after for change in comparison.changed)


@given(TEXTS)
def test_a_text_repeats_itself(text: str) -> None:
    assert compare(text, text) == Comparison((), (), (), len(sentences(text)))


@given(TEXTS)
def test_a_sentence_is_one_clean_line_with_a_word(text: str) -> None:
    for sentence in sentences(text):
        assert sentence == " ".join(sentence.split())
        assert any(map(str.isalnum, sentence))


@given(TEXTS, TEXTS, TEXTS)
def test_no_text_breaks_out_of_the_html(earlier: str, later: str, name: str) -> None:
    html = comparison_html(compare(earlier, later), name)
    page = Page(html)
    assert set(page.tags) <= {"div", "details", "summary", "ul", "li", "ins", "del"}
    assert html.count("<") == 2 * len(page.tags) == html.count(">")
    properties = {style.partition(":")[0] for style in page.styles.split(";") if style}
    assert properties <= {
        "font-size", "opacity", "cursor", "margin", "padding", "list-style", "text-decoration",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("x" * 10**6, "x" * 10**6 + "y"),
        ("word " * 100_000, "word " * 100_000 + "end"),
        ("word. " * 100_000, "word no. " * 100_000),
        ("- the same\n" * 10_000, "- same but other\n" * 10_000),
        ("\n".join(f"- row {i} is done" for i in range(10_000)), "- row is done\n" * 10_000),
        ("- " + "a b " * 49 + "\n", "\n".join("- " + "b a a " * 30 + f"{i}" for i in range(2_000))),
        *[(mark * 200_000, mark * 200_000 + "z") for mark in (".", "`", "*", "_", "#", ">", "|", "<")],
        *[(mark * 50_000, mark * 50_000 + "z") for mark in ("```\n", "- ", "\n", "\n- ", ".'", "1. ")],
    ],
    ids=lambda text: repr(text[:9]),
)  # fmt: skip
def test_hostile_texts_end(earlier: str, later: str) -> None:
    assert Page(comparison_html(compare(earlier, later), "quick")).text.startswith("↺ ")


def test_only_the_first_sentences_are_compared() -> None:
    assert len(sentences("yes\n\n" * 10_000)) == 400
    assert sentences("x" * 10**6) == ["x" * 30_000]
