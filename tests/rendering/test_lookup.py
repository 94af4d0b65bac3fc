"""Lookup tables and the ways in which they are written (PS3.3 C.11.1.1.1)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from workbench.errors import AttributeUnusable
from workbench.rendering import LookupTable
from workbench.rendering.lookup import lookup_table


def item(descriptor, data):
    dataset = Dataset()
    dataset.add_new("LUTDescriptor", "US", descriptor)
    dataset.add_new("LUTData", "OW" if isinstance(data, bytes) else "US", data)
    return dataset


def test_values_beyond_the_table_take_its_ends():
    table = LookupTable(first=-1, values=np.array([10, 20, 30], np.uint16), bits=8)
    assert table(np.array([-5, -1, 0, 1, 9])).tolist() == [10, 10, 20, 30, 30]
    assert table(np.array([-0.4, 0.6])).tolist() == [20, 30]


def test_0_entries_are_65536():
    table = lookup_table(item([0, 0, 16], np.arange(65536, dtype="<u2").tobytes()), is_signed=False)
    assert len(table.values) == 65536
    assert table(np.array([0, 65535])).tolist() == [0, 65535]


def test_the_first_value_is_signed_where_the_input_is():
    data = [1, 2, 3, 4]
    assert lookup_table(item([4, 65534, 8], data), is_signed=True).first == -2
    assert lookup_table(item([4, 65534, 8], data), is_signed=False).first == 65534


@pytest.mark.parametrize(
    "data",
    [bytes([1, 2, 3, 0]), [0x0201, 0x0003], [1, 2, 3], np.array([1, 2, 3], "<u2").tobytes()],
    ids=["bytes in OW", "two in a word of US", "US", "OW"],
)
def test_eight_bit_entries_in_every_packing(data):
    assert lookup_table(item([3, 0, 8], data), is_signed=False).values.tolist() == [1, 2, 3]


def test_big_endian_words():
    table = lookup_table(item([2, 0, 16], b"\x01\x00\x00\x02"), is_signed=False, is_little_endian=False)
    assert table.values.tolist() == [256, 2]


def test_entries_larger_than_the_bits_that_are_said_widen_the_range():
    """A maker of XA writes 12-bit entries under a descriptor of 8 bits."""
    table = lookup_table(item([2, 0, 8], [0, 4095]), is_signed=False)
    assert table.bits == 12
    assert table.fraction(np.array([0, 1])).tolist() == [0.0, 1.0]


def test_a_few_missing_entries_repeat_the_last():
    assert lookup_table(item([4, 0, 16], [5, 6, 7]), is_signed=False).values.tolist() == [5, 6, 7, 7]


@pytest.mark.parametrize(
    ("descriptor", "data", "message"),
    [
        ([4, 0], [1, 2, 3, 4], "three values"),
        ([4, 0, 0], [1, 2, 3, 4], "1 to 16 bits"),
        ([4, 0, 17], [1, 2, 3, 4], "1 to 16 bits"),
        ([4, 0, 16], [1], "1 entries where its descriptor says 4"),
        ([4, 0, 16], b"", "0 entries"),
    ],
)
def test_malformed_tables_are_refused(descriptor, data, message):
    with pytest.raises(AttributeUnusable, match=message):
        lookup_table(item(descriptor, data), is_signed=False)


@given(st.integers(-40000, 70000), st.lists(st.integers(0, 65535), min_size=1, max_size=9), st.integers(-100000, 100000))
def test_every_input_has_an_output_of_the_table(first, values, x):
    table = LookupTable(first, np.array(values, np.uint16), 16)
    assert int(table(np.array([x]))[0]) == values[min(max(x - first, 0), len(values) - 1)]


def test_a_table_is_frozen():
    table = LookupTable(0, np.array([1, 2], np.uint16), 8)
    with pytest.raises(ValueError, match="read-only"):
        table.values[0] = 9
