"""Coded concepts as datasets (PS3.3 8.8).

Knows: the attributes of a code sequence item.
Does not know: which codes there are.
"""

from pydicom import Dataset

from workbench.entities import Code

__all__ = ["coded"]


def coded(code: Code) -> Dataset:
    """Return the item of a code sequence (PS3.3 Table 8.8-1).

    Examples
    --------
    >>> coded(Code("mm2", "UCUM", "square millimeter")).CodeValue
    'mm2'
    """
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme, code.meaning
    return item
