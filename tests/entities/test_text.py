"""Text made safe for HTML, terminals and spreadsheets."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.entities import cell_safe, counted, html_safe, html_table, plain


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []
        self.data = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.data += data


@given(st.text())
def test_escaped_text_starts_no_element_and_says_the_same(text):
    """B01: any text in HTML."""
    parser = _Tags()
    parser.feed(html_safe(text))
    parser.close()
    assert parser.tags == []
    assert parser.data == plain(text)


@given(st.text())
def test_plain_text_has_no_character_that_acts(text):
    assert not set(plain(text)) & {*map(chr, range(9)), "\x1b", "\x7f", "\u202e", "\u2066", "\r"}


def test_a_table_escapes_heads_captions_and_cells():
    payload = "<img src=x onerror=alert(1)>"
    parser = _Tags()
    parser.feed(html_table([{payload: payload}], caption=payload))
    assert set(parser.tags) == {"table", "caption", "thead", "tbody", "tr", "th", "td"}


def test_a_long_table_counts_what_it_does_not_show():
    assert "… and 2 more</p>" in html_table([{"n": i} for i in range(5)], limit=3)
    assert "… and 2 more: &lt;all&gt;</p>" in html_table([{"n": i} for i in range(5)], limit=3, rest=": <all>")


@given(st.text(alphabet=st.sampled_from("=+-@\t\r ＝＋－＠a1"), min_size=1))
def test_no_text_cell_begins_a_formula(text):
    """B03: any text."""
    shown = cell_safe(text)
    assert isinstance(shown, str)
    assert shown.lstrip(" ")[:1] not in tuple("=+-@\t\r＝＋－＠")


def test_numbers_stay_numbers():
    """B03: numbers are not touched."""
    assert cell_safe(-1.5) == -1.5
    assert cell_safe(7) == 7


def test_long_words_may_be_broken_so_that_a_table_fits_its_page():
    shown = html_table(
        [{"uid": "1.2.826.0.1.3680043.8.498." + "1" * 30, "words": "many short words in one cell of it", "none": None}]
    )
    assert shown.count("overflow-wrap:anywhere") == 1
    assert "anywhere'>1.2.826" in shown


@given(st.integers(2, 10**6), st.sampled_from(["activity", "copy", "study", "answer", "film", "scheduled step", "series"]))
def test_a_number_has_its_noun_in_the_plural_unless_it_is_one(number, noun):
    plurals = {"activity": "activities", "copy": "copies", "study": "studies", "series": "series"}
    assert counted(number, noun) == f"{number} {plurals.get(noun, noun + 's')}"
    assert counted(1, noun) == f"1 {noun}"


@pytest.mark.parametrize(
    ("noun", "plural"),
    [("day", "days"), ("key", "keys"), ("box", "boxes"), ("class", "classes"), ("status", "statuses"), ("patch", "patches")],
)
def test_plurals_are_english(noun, plural):
    assert counted(0, noun) == f"0 {plural}"
    assert counted(1, noun) == f"1 {noun}"
