"""References and UIDs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from workbench.entities import InstanceRef, PatientRef, uid_checked
from workbench.errors import AttributeUnusable, UidInvalid

HOSTILE = [
    "",
    "../../x",
    "/etc/x",
    "..",
    "1." + "2" * 64,
    "1.02.3",
    "1.2\0",
    "1.2\n",
    "CON",
    "1..2",
    ".1",
    "1.",
    "1",
    " 1.2",
    "१.२",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_what_is_no_uid_is_refused_without_being_repeated(value):
    with pytest.raises(UidInvalid, match="not a valid UID") as refusal:
        uid_checked(value, name="SOP Instance UID")
    assert len(value) < 3 or value not in str(refusal.value)


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=6))
def test_numbers_joined_by_dots_are_uids(parts):
    text = ".".join(map(str, parts))
    assert uid_checked(text) == text


def test_a_reference_needs_both_uids():
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    with pytest.raises(AttributeUnusable, match="SOPInstanceUID"):
        InstanceRef.of(dataset)


def test_a_reference_to_a_patient_does_not_show_who():
    assert "DOE" not in repr(PatientRef("DOE-1"))
