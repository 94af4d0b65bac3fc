"""Which options of PS3.15 Annex E are applied on top of the basic profile.

Knows: their names, their codes (PS3.16 CID 7050), and which of them are offered.
Does not know: what they do to an attribute.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields

from pydicom.dataset import Dataset

from workbench.entities import Code
from workbench.errors import InputError

__all__ = ["BASIC_PROFILE", "METHOD_CODES", "Options"]

#: PS3.16 CID 7050, De-identification Method
BASIC_PROFILE = Code("113100", "DCM", "Basic Application Confidentiality Profile")
METHOD_CODES = {
    "clean_pixel_data": Code("113101", "DCM", "Clean Pixel Data Option"),
    "clean_recognizable_visual": Code("113102", "DCM", "Clean Recognizable Visual Features Option"),
    "clean_graphics": Code("113103", "DCM", "Clean Graphics Option"),
    "clean_structured_content": Code("113104", "DCM", "Clean Structured Content Option"),
    "clean_descriptors": Code("113105", "DCM", "Clean Descriptors Option"),
    "retain_longitudinal_full_dates": Code("113106", "DCM", "Retain Longitudinal Temporal Information Full Dates Option"),
    "retain_longitudinal_modified_dates": Code("113107", "DCM", "Retain Longitudinal Temporal Information Modified Dates Option"),
    "retain_patient_characteristics": Code("113108", "DCM", "Retain Patient Characteristics Option"),
    "retain_device_identity": Code("113109", "DCM", "Retain Device Identity Option"),
    "retain_uids": Code("113110", "DCM", "Retain UIDs Option"),
    "retain_safe_private": Code("113111", "DCM", "Retain Safe Private Option"),
    "retain_institution_identity": Code("113112", "DCM", "Retain Institution Identity Option"),
}
_NOT_OFFERED = frozenset(
    {
        "clean_descriptors", "clean_structured_content", "clean_graphics", "retain_safe_private", "clean_pixel_data",
        "clean_recognizable_visual",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of the confidentiality profiles (PS3.15 E.3); without any, the basic profile as it is.

    Parameters
    ----------
    retain_uids : bool
        UIDs stay (E.3.9).
    retain_device_identity : bool
        Serial numbers, station names and the like stay (E.3.8); descriptions of devices do not.
    retain_institution_identity : bool
        Names and addresses of institutions stay (E.3.11).
    retain_patient_characteristics : bool
        Age, sex, size, weight, pregnancy status and the like stay (E.3.7), which SUV needs; an age over 89 becomes 90;
        free text about the patient does not stay.
    retain_longitudinal_full_dates : bool
        Dates and times stay (E.3.6), but for the patient's own.
    retain_longitudinal_modified_dates : bool
        All dates of a patient are moved by one secret number of days (E.3.6): order and intervals stay.
    clean_descriptors, clean_structured_content, clean_graphics, retain_safe_private, clean_pixel_data,
    clean_recognizable_visual : bool
        Not offered yet: asking for one is refused.

    Raises
    ------
    InputError
        If an option is asked for that is not offered, or two that exclude each other.
    """

    retain_uids: bool = False
    retain_device_identity: bool = False
    retain_institution_identity: bool = False
    retain_patient_characteristics: bool = False
    retain_longitudinal_full_dates: bool = False
    retain_longitudinal_modified_dates: bool = False
    clean_descriptors: bool = False
    clean_structured_content: bool = False
    clean_graphics: bool = False
    retain_safe_private: bool = False
    clean_pixel_data: bool = False
    clean_recognizable_visual: bool = False

    def __post_init__(self) -> None:
        refused = sorted(_NOT_OFFERED.intersection(self.chosen))
        if refused:
            raise InputError(f"{', '.join(refused)}: not offered yet (PS3.15 E.3). Leave it out.")
        if self.retain_longitudinal_full_dates and self.retain_longitudinal_modified_dates:
            raise InputError("Dates are either retained in full or modified: choose one of the two options (PS3.15 E.3.6).")

    @property
    def chosen(self) -> tuple[str, ...]:
        """Names of the options that are set."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name))

    @property
    def codes(self) -> tuple[Code, ...]:
        """De-identification Method codes: the basic profile and the options (PS3.16 CID 7050)."""
        return BASIC_PROFILE, *sorted((METHOD_CODES[name] for name in self.chosen), key=lambda code: code.value)

    @classmethod
    def of(cls, released: Dataset) -> "Options":
        """Return the options that a de-identified dataset names in De-identification Method Code Sequence (0012,0064)."""
        values = {str(item.get("CodeValue", "")) for item in _items(released)}
        return cls(**{name: True for name, code in METHOD_CODES.items() if code.value in values and name not in _NOT_OFFERED})


def _items(released: Dataset) -> Iterable[Dataset]:
    return released.get("DeidentificationMethodCodeSequence") or ()
