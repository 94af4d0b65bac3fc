"""Structured reports read aloud: each value type, in order, whole, and nothing in them acts."""

import pytest
from pydicom.dataset import Dataset

from workbench import builders, files, inspection, phantoms
from workbench.entities import Circle, Code
from workbench.errors import AttributeUnusable, InputError
from workbench.flows import annotate

PAYLOAD = '<img src=x onerror="window.__x=1">\x1b[2J'


@pytest.fixture(scope="module")
def derived():
    image = phantoms.ct_series(1, rows=64, columns=64)[0]
    region = annotate.measure(image, Circle((32, 32), 6), label="Aorta", site=Code("15825003", "SCT", "Aorta"))
    return annotate.annotate(region, author=builders.Author(person="Reader^Robin"))


def item(kind, **values):
    name, made = Dataset(), Dataset()
    name.CodeMeaning = "Concept"
    made.ValueType, made.ConceptNameCodeSequence = kind, [name]
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def code(meaning, value="x"):
    made = Dataset()
    made.CodeValue, made.CodeMeaning = value, meaning
    return made


def measured(value, unit):
    made = Dataset()
    made.NumericValue, made.MeasurementUnitsCodeSequence = value, [code("", unit)]
    return made


def test_a_measurement_report_says_what_was_measured(derived):
    """A built TID 1500: each measurement stands below its group, with its value and its unit."""
    lines = str(inspection.report(derived.report)).splitlines()
    assert lines[0] == "Imaging Measurement Report"
    assert "  (has obs context) Person Observer Name = Reader^Robin" in lines
    group = lines.index("    Measurement Group")
    below = lines[group + 1 :]
    assert "      (has obs context) Tracking Identifier = Aorta" in below
    assert "      (has concept mod) Finding Site = Aorta" in below
    assert any(line.startswith("      Image Region = CIRCLE 32 32 38 32") for line in below)
    (mean,) = [n for n, line in enumerate(below) if "Derivation = Mean" in line]
    assert below[mean - 1].startswith("      Attenuation Coefficient = ")
    assert below[mean - 1].endswith(" [hnsf'U]")


def test_a_selection_is_read_too(derived):
    lines = str(inspection.report(derived.selection)).splitlines()
    assert lines[0] == "Of Interest"
    assert sum(str(derived.report.SOPInstanceUID) in line for line in lines) == 1


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (item("TEXT", TextValue="two\nlines"), "Concept = two lines"),
        (item("CODE", ConceptCodeSequence=[code("Lung")]), "Concept = Lung"),
        (item("NUM", MeasuredValueSequence=[measured("1.7", "cm2")]), "Concept = 1.7 cm2"),
        (item("NUM", MeasuredValueSequence=[measured("3", "1")]), "Concept = 3"),
        (item("NUM", MeasuredValueSequence=[], NumericValueQualifierCodeSequence=[code("Not a number")]), "Concept = Not a number"),
        (item("PNAME", PersonName="Doe^Jane"), "Concept = Doe^Jane"),
        (item("DATE", Date="20260102"), "Concept = 20260102"),
        (item("UIDREF", UID="1.2.3"), "Concept = 1.2.3"),
        (item("SCOORD", GraphicType="POINT", GraphicData=[1.5, 2.0]), "Concept = POINT 1.5 2"),
        (item("", ReferencedContentItemIdentifier=[1, 2, 3]), "Concept = item 1.2.3"),
        (item("CONTAINER"), "Concept"),
    ],
)
def test_each_value_type_has_its_words(made, said):
    root = item("CONTAINER", ContentSequence=[made])
    made.RelationshipType = "CONTAINS"
    assert str(inspection.report(root)).splitlines()[1] == "  " + said


def test_a_report_of_another_maker(corpus):
    """A dose report of a CT: the total in its unit, as its maker wrote it."""
    dataset = files.read(corpus / "sr/rdsr/openrem__CT-RDSR-Toshiba_DoseCheck.dcm").dataset
    lines = str(inspection.report(dataset)).splitlines()
    assert lines[0] == "X-Ray Radiation Dose Report"
    assert "    CT Dose Length Product Total = 502.40 mGy.cm" in lines


def test_every_report_of_the_corpus_is_read_whole(corpus):
    read = 0
    for path in sorted((corpus / "sr").rglob("*.dcm")):
        dataset = files.read(path).dataset
        if "ValueType" in dataset:
            items = inspection.report(dataset).items
            assert len(items) == 1 + sum(len(e.value) for e in dataset.iterall() if e.keyword == "ContentSequence"), path.name
            read += 1
    assert read > 10


def test_nothing_in_it_acts():
    """B01: markup and control characters in values, meanings and types stay text."""
    made = item(
        "TEXT",
        TextValue=PAYLOAD,
        RelationshipType=PAYLOAD[:16],
        ContentSequence=[item("CODE", ConceptCodeSequence=[code(PAYLOAD)])],
    )
    shown = inspection.report(made)
    assert "<img" not in shown._repr_html_()
    assert "&lt;img" in shown._repr_html_()
    assert "\x1b" not in str(shown)


def test_a_repr_holds_no_value(derived):
    shown = inspection.report(derived.report)
    assert "Reader" not in repr(shown) + repr(shown.items)


def test_depth_and_length_are_bounded():
    made = item("TEXT", TextValue="x" * 10_000)
    for _ in range(3_000):  # deeper than Python's own limit
        made = item("CONTAINER", ContentSequence=[made])
    assert len(inspection.report(made, max_items=5_000).items) == 3_001
    assert "more than 100 content items" in str(inspection.report(made, max_items=100))
    assert len(str(inspection.report(item("TEXT", TextValue="x" * 10_000)))) < 500


def test_what_is_no_report_is_refused():
    with pytest.raises(AttributeUnusable, match=r"no content tree.*C\.17\.3"):
        inspection.report(phantoms.fundus())
    with pytest.raises(InputError, match=r"a structured report, not a path \(str\): read it first"):
        inspection.report("report.dcm")
