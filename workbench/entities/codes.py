"""Coded concepts (PS3.3 8.8, PS3.16).

Knows: value, scheme and meaning.
Does not know: context groups, datasets.
"""

from dataclasses import dataclass

__all__ = ["Code"]


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept: two codes are the same concept when value and scheme are.

    Parameters
    ----------
    value, scheme, meaning : str
        Code Value, Coding Scheme Designator and Code Meaning (PS3.3 Table 8.8-1).

    Examples
    --------
    >>> str(Code("mm2", "UCUM", "square millimeter"))
    '(mm2, UCUM, "square millimeter")'
    """

    value: str
    scheme: str
    meaning: str

    def __str__(self) -> str:
        return f'({self.value}, {self.scheme}, "{self.meaning}")'
