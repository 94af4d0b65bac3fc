"""Headers that lie: whatever stands in an element, the answer is a picture or a refusal in words."""

import io
import warnings

import numpy as np
import pydicom
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.errors import InputError
from workbench.rendering import orientation, render, resolve, spacing

TAGS = """
    00080016 00180050 00181164 00181600 00181602 00181604 00181620 00200020 00200037 00280002 00280004 00280006
    00280008 00280010 00280011 00280030 00280034 00280100 00280101 00280102 00280103 00280120 00281050 00281051
    00281052 00281053 00281054 00281056 00281101 00281201 00283000 00283010 20500020 52009229 52009230 60000010
    60000011 60000050 60003000 7FE00010
"""
ELEMENTS = [int(tag, 16) for tag in TAGS.split()]
VALUES = st.one_of(
    st.binary(max_size=24),
    st.sampled_from([b"", b"1", b"0", b"-1", b"1e400", b"NaN", b"1\\2", b"RGB", b"abc", b"\xff" * 8, b"RECTANGULAR"]),
    st.integers(0, 65535).map(lambda n: n.to_bytes(2, "little")),
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from(ELEMENTS), VALUES, min_size=1, max_size=4), st.sampled_from(["full", "first", "percentile", 0])
)
def test_any_bytes_in_any_element_give_a_picture_or_a_refusal(make, lies, voi):
    """F05: any lie about the pixels."""
    image = make(
        np.arange(64, dtype=np.uint16).reshape(8, 8), WindowCenter="20", WindowWidth="30", RescaleSlope="1", RescaleIntercept="0"
    )
    image.ensure_file_meta()
    buffer = io.BytesIO()
    image.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    image.save_as(buffer, enforce_file_format=True)
    content = buffer.getvalue()
    read = pydicom.dcmread(io.BytesIO(content))
    for tag, value in lies.items():  # as a reader finds them: raw, not yet looked at
        raw = pydicom.dataelem.RawDataElement(pydicom.tag.Tag(tag), None, len(value), value, 0, True, True)
        read._dict[pydicom.tag.Tag(tag)] = raw
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        orientation(read)
        spacing(read)
        try:
            plan = resolve(read, voi=voi, limit_bytes=2**20)
            assert render(plan).dtype == np.uint8
        except InputError as error:
            assert "PS3" in str(error) or "voi is" in str(error) or "limit" in str(error)  # noqa: PT017
