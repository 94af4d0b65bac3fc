"""Who and what a dataset names: the texts that must not outlive de-identification.

Knows: where identities stand, and when a text holds one.
Does not know: what is done about it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from workbench.deid._walk import Place
from workbench.standard import confidentiality_of

__all__ = ["CERTAIN", "SHORTEST", "TEXT", "VOCABULARY", "Needle", "identities", "texts"]

TEXT = frozenset({"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_PATIENTS = re.compile("^(PatientID|OtherPatientIDs|Patient.*Address|PatientTele.*|.*InsurancePlan.*)$")
_IDENTIFYING = re.compile("(ID|IDs|Number|Numbers|Identifier|Address|InstitutionName|StationName|DepartmentName)$")
#: attributes in which words of the standard and of makers stand, so that a word in common is no proof
VOCABULARY = frozenset(
    {
        "CodeMeaning", "CodeValue", "CodingSchemeDesignator", "LongCodeValue", "Manufacturer", "ManufacturerModelName",
        "SoftwareVersions",
    }
)  # fmt: skip
#: fewest characters that are looked for in values, and in encoded bytes
SHORTEST = {
    "name": (3, 5), "part of a name": (3, 5), "patient identifier": (4, 6), "identifier": (4, 6), "UID": (9, 9),
    "private text": (6, 8), "date": (8, 8), "given text": (1, 3),
}  # fmt: skip
CERTAIN = frozenset({"name", "patient identifier", "UID", "given text"})


@dataclass(frozen=True, slots=True)
class Needle:
    """Something that must not be found; `text` is in lower case."""

    kind: str
    text: str

    def is_in(self, text: str) -> bool:
        """Whether a text in lower case holds it: given and non-Latin text anywhere, other text as whole words."""
        if self.kind == "given text" or not self.text.isascii():
            return self.text in text
        return self.text in text and bool(re.search(rf"(?<![^\W_]){re.escape(self.text)}(?![^\W_])", text))

    def __repr__(self) -> str:  # an identity does not belong in a traceback
        return f"<{self.kind}>"


def identities(place: Place) -> Iterator[tuple[str, str]]:
    """Yield what identifies somebody in one element, with its kind."""
    element = place.element
    if element is None:
        return
    values = list(texts(element.value))
    row = confidentiality_of(place.tag)
    if element.VR == "PN":
        for text in values:
            parts = [part for part in re.split(r"[\^= ]+", text) if part]
            yield ("name" if len(parts) > 1 else "part of a name"), text
            yield from (("part of a name", part) for part in parts)
    elif place.tag.is_private:
        yield from (("private text", text) for text in values if element.VR in TEXT)
    elif row is None:
        return
    elif element.VR == "UI":
        yield from (("UID", text) for text in values if "U" in row.basic)
    elif element.VR == "DA":
        yield from (("date", text) for text in values)
    elif element.VR in TEXT and _PATIENTS.search(element.keyword):
        yield from (("patient identifier", text) for text in values)
    elif element.VR in TEXT and _IDENTIFYING.search(element.keyword):
        yield from (("identifier", text) for text in values)


def texts(value: object) -> Iterator[str]:
    if isinstance(value, (MultiValue, list, tuple)) and not isinstance(value, Sequence):
        for single in value:
            yield from texts(single)
    elif value is not None and not isinstance(value, (bytes, bytearray, Sequence)):
        yield str(value)
