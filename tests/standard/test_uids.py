import json
from importlib.resources import files

import pytest
from pydicom.uid import UID, AllTransferSyntaxes
from pynetdicom.sop_class import _STORAGE_CLASSES

from workbench.entities import uid_checked
from workbench.standard import regenerate, storage_classes, transfer_syntax, transfer_syntaxes


def _shipped(name):
    return json.loads(files("workbench.standard").joinpath("tables", name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "make"),
    [("storage_classes.json", regenerate.storage_classes_table), ("transfer_syntaxes.json", regenerate.transfer_syntaxes_table)],
)
def test_the_shipped_table_is_what_the_generator_makes(name, make):
    assert _shipped(name) == json.loads(json.dumps(make()))


def test_every_storage_class_of_pynetdicom_is_known():
    assert set(_STORAGE_CLASSES.values()) - {c.uid for c in storage_classes()} == set()


def test_storage_classes_are_unique_valid_and_sourced():
    classes = storage_classes()
    assert len({c.uid for c in classes}) == len(classes)
    assert all(uid_checked(c.uid) and c.name and c.source for c in classes)
    assert {c.origin for c in classes} == {"standard", "retired", "private"}
    assert 240 <= len(classes) <= 280


@pytest.mark.parametrize(
    ("uid", "name", "origin"),
    [
        ("1.2.840.10008.5.1.4.1.1.77.1.5.4", "Ophthalmic Tomography Image Storage", "standard"),
        ("1.2.840.10008.5.1.4.1.1.66.7", "Label Map Segmentation Storage", "standard"),
        ("1.2.840.10008.5.1.4.1.1.6", "Ultrasound Image Storage (Retired)", "retired"),
        ("1.2.840.10008.5.1.1.29", "Hardcopy Grayscale Image Storage SOP Class", "retired"),
        ("1.3.12.2.1107.5.9.1", "Siemens CSA Non Image Storage", "private"),
        ("1.3.46.670589.11.0.0.12.4", "Philips MR Examcard Storage", "private"),
        ("1.3.6.1.4.1.16978.3.1", "MI 3D Softcopy Presentation State Storage", "private"),
        ("1.2.392.200036.9125.1.1.2", "Fuji CR Image Storage", "private"),
    ],
)
def test_known_classes(uid, name, origin):
    found = {c.uid: c for c in storage_classes()}[uid]
    assert found.origin == origin
    assert found.name.removesuffix(" (Retired)") == name.removesuffix(" (Retired)")


def test_private_classes_cite_their_document():
    private = [c for c in storage_classes() if c.origin == "private"]
    assert len(private) == 51
    assert all("conformance statement, Table" in c.source for c in private)
    assert "DirectoryStorage" not in {UID(c.uid).keyword for c in storage_classes()}


def test_tables_show_themselves():
    assert list(storage_classes().table().columns) == ["uid", "name", "origin", "source"]


@pytest.mark.parametrize("syntax", [s for s in AllTransferSyntaxes if "SMPTE" not in s.keyword], ids=lambda s: s.keyword)
def test_encodings_agree_with_pydicom(syntax):
    known = transfer_syntax(str(syntax))
    assert known.source != "not known"
    assert (not known.is_explicit, known.is_little_endian) == (syntax.is_implicit_VR, syntax.is_little_endian)
    if "JPIP" not in syntax.keyword:  # which pydicom counts as compressed: there are no fragments, but a URL (PS3.5 A.6)
        assert known.is_encapsulated == (syntax.is_encapsulated)


@pytest.mark.parametrize(
    ("number", "lossy"),
    [
        *[(f"4.{n}", True) for n in (50, 51, 81, 91, 102, 107, 112, 203)],
        *[(f"4.{n}", False) for n in (57, 70, 80, 90, 110, 201, 202)],
        *[(n, False) for n in ("1", "1.98", "1.99", "2", "5", "8.1")],
    ],
)
def test_which_syntaxes_can_lose_information(number, lossy):
    assert transfer_syntax(f"1.2.840.10008.1.2.{number}").is_lossy is lossy


def test_the_private_syntax_of_philips_is_explicit_and_native():
    syntax = transfer_syntax("1.3.46.670589.33.1.4.1")
    assert (syntax.is_explicit, syntax.is_little_endian, syntax.is_encapsulated, syntax.origin) == (True, True, False, "private")
    assert "Vereos" in syntax.source


def test_an_unknown_syntax_is_taken_for_the_worst():
    assert transfer_syntax("1.2.3").is_lossy
    assert transfer_syntax("1.2.3").is_encapsulated
    assert "1.2.3" not in {s.uid for s in transfer_syntaxes()}


def test_tables_name_edition_and_source():
    folder = files("workbench.standard").joinpath("tables")
    listed = folder.joinpath("SOURCES.md").read_text(encoding="utf-8")
    for path in folder.iterdir():
        if path.name.endswith(".json"):
            table = json.loads(path.read_text(encoding="utf-8"))
            assert table["edition"], path.name
            assert table["source"], path.name
            assert path.name in listed
