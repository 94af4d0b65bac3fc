"""Trees of any dataset: complete, bounded, and nothing in them acts."""

import os
import shutil
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from workbench import inspection

PAYLOAD = '<img src=x onerror="window.__x=1"><script>window.__x=1</script>\'"><svg/onload=window.__x=1>'


@pytest.fixture
def hostile():
    inner = Dataset()
    inner.add_new("TextValue", "UT", PAYLOAD + "\x1b[2J\u202e")
    made = Dataset()
    made.add_new("PatientName", "PN", PAYLOAD)
    made.add_new("SeriesDescription", "LO", PAYLOAD)
    made.add_new("Modality", "CS", PAYLOAD)
    made.add_new("SOPInstanceUID", "UI", PAYLOAD)
    made.ContentSequence = Sequence([inner])
    made.private_block(0x11, PAYLOAD[:60], create=True).add_new(1, "LT", PAYLOAD)
    return made


def test_text_shows_every_element_with_its_nesting(hostile):
    lines = str(inspection.tree(hostile)).splitlines()
    assert lines[0].startswith("(0008,0018) UI SOP Instance UID = ")
    assert next(line for line in lines if "TextValue" in line or "Text Value" in line).startswith("    (0040,A160) UT")
    assert len(lines) == 9
    assert "\x1b" not in "\n".join(lines)
    assert "\u202e" not in "\n".join(lines)


def test_html_escapes_whatever_the_values_say(hostile):
    """B01: a tree in a notebook."""
    for shown in (inspection.tree(hostile), inspection.summary(hostile), inspection.differences(hostile, Dataset())):
        html = shown._repr_html_()
        assert "<img" not in html
        assert "<svg" not in html
        assert html.count("<script>") == (1 if isinstance(shown, inspection.Tree) else 0)
        assert "&lt;img src=x onerror=" in html


def test_the_repr_of_a_tree_has_no_value(hostile):
    assert repr(inspection.tree(hostile)) == "<Tree of 7 attributes: print() shows it>"


def test_large_and_deep_datasets_are_bounded():
    deep = Dataset()
    for _ in range(5000):
        outer = Dataset()
        outer.ContentSequence = Sequence([deep])
        deep = outer
    assert len(str(inspection.tree(deep)).splitlines()) == 65
    wide = Dataset()
    wide.ContentSequence = Sequence([Dataset() for _ in range(50)])
    shown = inspection.tree(wide, max_rows=10)
    assert str(shown).splitlines()[-1] == "… more than 10 lines: max_rows= shows more"
    assert "more than 10 lines" in shown._repr_html_()


def test_a_value_that_cannot_be_decoded_is_shown_as_bytes():
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    made = Dataset()
    tag = Tag("RealWorldValueSlope")
    made._dict[tag] = RawDataElement(tag, "FD", 3, b"abc", 0, False, True)
    assert str(inspection.tree(made)) == "(0040,9225) FD Real World Value Slope = 3 bytes"


@pytest.mark.corpus
def test_every_object_of_other_makers_can_be_shown(corpus):
    shown = 0
    for path in sorted(corpus.rglob("*.dcm")):
        if path.stat().st_size > 5_000_000:
            continue
        try:
            dataset = dcmread(path, force=True)
        except Exception:  # noqa: BLE001 - what can't be read is the reader's matter
            continue
        assert inspection.tree(dataset)._repr_html_()
        assert str(inspection.tree(dataset)) or len(dataset) == 0
        assert inspection.summary(dataset)["Content"]
        assert len(inspection.table([dataset])) == 1
        assert not inspection.differences(dataset, dataset)
        shown += 1
    assert shown > 150


@pytest.fixture
def page():
    chromium = shutil.which("chromium")
    if not chromium:
        if os.environ.get("WORKBENCH_REQUIRE_PEERS") == "1":
            pytest.fail("chromium is not here: run 'make peers'.")
        pytest.skip("chromium is not here: run 'make peers'.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        arguments = [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ]
        browser = p.chromium.launch(executable_path=chromium, headless=True, args=arguments)
        yield browser.new_page()
        browser.close()


@pytest.mark.browser
def test_in_a_browser_the_search_narrows_its_own_tree_and_no_payload_acts(page, hostile, tmp_path: Path):
    first, second = inspection.tree(hostile)._repr_html_(), inspection.tree(hostile)._repr_html_()
    page.set_content(f"<meta charset=utf-8>{first}{second}{inspection.summary(hostile)._repr_html_()}")
    trees = page.locator(".workbench-tree")
    trees.nth(0).locator("input").fill("text value")
    page.wait_for_function("document.querySelector('.workbench-tree [role=status]').textContent === '1 found'")
    assert trees.nth(0).locator("div:visible").count() == 1
    assert trees.nth(0).get_by_text("Text Value").is_visible()
    assert trees.nth(1).locator("div:visible").count() == 6
    assert page.evaluate("typeof window.__x") == "undefined"
