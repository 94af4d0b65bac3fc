"""What stands in place of a dataset, and the way that a message shows."""

from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from workbench.entities import Findings, InstanceRef
from workbench.errors import InputError
from workbench.files import Reading, given

IMAGE = Dataset()
READING = Reading(IMAGE, Findings(), is_complete=True, transfer_syntax_uid=str(ExplicitVRLittleEndian))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("secret.dcm", r"not a path \(str\): read it first: files\.read\(path\)\.dataset"),
        (Path("secret.dcm"), r"read it first: files\.read\(path\)\.dataset"),
        (b"secret", r"not bytes: read them first: files\.read\(data\)\.dataset"),
        (READING, r"not a Reading: pass its \.dataset"),
        ([IMAGE], "not a list: pass one of them"),
        ((), "not a tuple: pass one of them"),
        (InstanceRef("1.2", "1.3", "1.4", "1.2.840.10008.5.1.4.1.1.2"), r"archive\.open\(reference\)"),
        (None, "not None"),
        (7, "not of type int"),
    ],
)
def test_one_is_a_dataset_or_a_remedy(value, message):
    with pytest.raises(InputError, match=message) as caught:
        given.one(value, what="an image")
    assert str(caught.value).startswith("Wanted is an image")
    assert "secret" not in str(caught.value)


def test_one_and_several_give_what_they_were_given():
    assert given.one(IMAGE) is IMAGE
    assert given.several(IMAGE)[0] is IMAGE
    assert [d is IMAGE for d in given.several(d for d in (IMAGE, IMAGE))] == [True, True]
    assert given.several([]) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("folder", "read it first"),
        (Path("folder"), "read it first"),
        (READING, r"pass its \.dataset"),
        (None, "not None"),
        (7, "not of type int"),
        ([IMAGE, "scan.dcm"], r"number 2 is a path \(str\): read it first"),
        ([READING], r"number 1 is a Reading: pass its \.dataset"),
    ],
)
def test_several_are_datasets_or_a_remedy(value, message):
    with pytest.raises(InputError, match=f"Wanted are images.*{message}"):
        given.several(value, what="images")


def test_many_leaves_a_stream_a_stream():
    stream = iter([IMAGE])
    assert given.many(stream) is stream
    assert given.many(IMAGE) == [IMAGE]
