"""Tables as text: nothing is cut, nothing acts, and what can fit does."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from workbench.entities import plain, text_table

UID = "2.25.110826268701445760719955482485554249875"
ROWS = st.integers(1, 5).flatmap(
    lambda n: st.lists(
        st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=90)), min_size=n, max_size=n), min_size=1, max_size=6
    )
)


def width_of(line):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def test_a_table_that_fits():
    rows = [
        {"sop_instance_uid": UID, "outcome": "retrieved", "status": None},
        {"sop_instance_uid": UID, "outcome": "", "status": None},
    ]
    head, rule, first, second = text_table(rows, width=80).splitlines()
    assert head.split() == ["sop", "instance", "uid", "outcome"]
    assert set(rule) == {"─", " "}
    assert first == f"{UID}  retrieved"
    assert second == UID


def test_words_are_wrapped_and_identifiers_are_not():
    rows = [{"uid": UID, "message": "one two three four five six seven eight nine"}, {"uid": UID[:-1], "message": "ten"}]
    text = text_table(rows, width=70)
    assert all(width_of(line) <= 70 for line in text.splitlines())
    assert UID in text


def test_what_is_the_same_in_all_is_said_once():
    rows = [{"uid": f"{UID}{n}", "study": UID, "size": n} for n in (1, 2, 3)]
    text = text_table(rows, width=80)
    assert text.startswith(f"The same in all 3:\nstudy  {UID}\n\nuid ")
    assert len(text_table(rows).splitlines()) == 5


def test_a_narrow_terminal_gets_blocks():
    rows = [{"uid": f"{UID}{n}", "study": f"{UID}{n}", "note": "" if n else "x"} for n in (0, 1)]
    assert text_table(rows, width=60).split("\n\n") == [
        f"uid    {UID}0\nstudy  {UID}0\nnote   x",
        f"uid    {UID}1\nstudy  {UID}1",
    ]


def test_nothing():
    assert text_table([]) == text_table([{"a": None}]) == text_table([{}], width=10) == ""


@given(ROWS, st.one_of(st.none(), st.integers(20, 160)))
def test_every_word_is_whole_and_nothing_acts(values, width):
    rows = [dict(zip("abcde", row, strict=False)) for row in values]
    text = text_table(rows, width=width)
    assert plain(text) == text
    words = set(text.split())
    for row in rows:
        for value in row.values():
            assert set(plain(value).split()) <= words or value is None
    if width is None and text:
        assert len(text.split("\n")) == 2 + len(rows)
