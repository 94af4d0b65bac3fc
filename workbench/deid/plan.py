"""What will be done to each attribute, as a table that a person can read and change before it is done.

Knows: Table E.1-1 with the options, and how an action with several codes is resolved.
Does not know: keys, files, how an action is carried out.
"""

import re
from collections import Counter
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import ClassVar, Self

from pydicom.datadict import dictionary_has_tag, dictionary_VM, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from workbench.deid._identities import SHORTEST, TEXT, VOCABULARY, Needle, identities, texts
from workbench.deid._walk import Place, places
from workbench.deid.options import Options
from workbench.entities import Rows, html_table
from workbench.files import given
from workbench.standard import ConfidentialityRow, attribute_type, confidentiality_of

__all__ = ["ACTIONS", "Plan", "Step", "plan"]

#: PS3.15 Table E.1-1a
ACTIONS = {
    "D": "replaced by a dummy value",
    "Z": "emptied, or replaced by a pseudonym",
    "X": "removed",
    "K": "kept",
    "C": "moved in time",
    "U": "UIDs replaced consistently",
}
_RETAIN = (
    "retain_uids", "retain_device_identity", "retain_institution_identity", "retain_patient_characteristics",
    "retain_longitudinal_full_dates",
)  # fmt: skip
_SECTIONS = {
    "retain_longitudinal_full_dates": "PS3.15 E.3.6",
    "retain_longitudinal_modified_dates": "PS3.15 E.3.6",
    "retain_patient_characteristics": "PS3.15 E.3.7",
    "retain_device_identity": "PS3.15 E.3.8",
    "retain_uids": "PS3.15 E.3.9",
    "retain_institution_identity": "PS3.15 E.3.11",
}
_CONTENT = frozenset({"ContentSequence", "GraphicAnnotationSequence", "WaveformAnnotationSequence"})
_FREE_TEXT = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT", "UN"})
_CODE = frozenset(
    {
        "CodeValue",
        "LongCodeValue",
        "URNCodeValue",
        "CodingSchemeDesignator",
        "CodingSchemeVersion",
        "CodeMeaning",
        "MappingResource",
    }
)
#: conditional attributes that go with the one that they depend on (PS3.3 C.7.1.1)
_DEPENDENT = {"ResponsiblePersonRole": "Responsible Person"}
_PERSONAL = frozenset({"name", "part of a name", "patient identifier"})
_BYTES = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_NUMBERS = frozenset({"AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"})
_DECIMALS = re.compile(rb"[0-9eE+.\\ \x00-]*")
_INDEX = re.compile(r"\[\d+\]")
_TABLE = "PS3.15 Table E.1-1"


@dataclass(frozen=True, slots=True)
class Step:
    """What will be done to one attribute.

    Parameters
    ----------
    path : str
        Such as ``RequestAttributesSequence[0].ScheduledProcedureStepID``.
    tag, name : str
        Of the attribute.
    action : str
        One of :data:`ACTIONS`.
    section : str
        By what right.
    reason : str
        In words; never a value.
    """

    path: str
    tag: str
    name: str
    action: str
    section: str
    reason: str


class Plan(Rows[Step]):
    """Steps in order of tag, and the options that they come from; attributes that are not named stay as they are."""

    row_type: ClassVar[type | None] = Step
    options: Options

    def __new__(cls, rows: Iterable[Step] = (), options: Options | None = None) -> Self:  # noqa: D102 - the class says it
        made = super().__new__(cls, rows)
        made.options = options or Options()
        return made

    @property
    def actions(self) -> dict[str, str]:
        """Action by path."""
        return {step.path: step.action for step in self}

    def shown(self) -> list[dict[str, object]]:
        """Return rows for reading: the action first, the sequences around an attribute apart from it."""
        return [
            {
                "action": step.action,
                "tag": step.tag,
                "name": step.name,
                "inside": step.path.rpartition(".")[0].replace(".", " › "),
                "reason": step.reason,
                "section": step.section,
            }
            for step in self
        ]

    def __str__(self) -> str:
        counted = Counter(step.action for step in self)
        counts = ", ".join(f"{counted[a]} {text}" for a, text in ACTIONS.items() if counted[a])
        return f"Plan for {len(self)} attributes: {counts or 'nothing to do'}"

    def __repr__(self) -> str:
        return f"<{self}; .table() shows it>"

    def _repr_html_(self) -> str:
        return html_table(self.shown(), caption=str(self))


def plan(dataset: Dataset, options: Options | None = None) -> Plan:
    """Return what de-identifying a dataset will do to it.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Any composite instance.
    options : Options, optional
        Without them the basic profile as it is.

    Returns
    -------
    Plan
        One row an affected attribute, at any depth. An action that Table E.1-1 leaves to the attribute's type is resolved by
        the type that the IOD gives it at the top level: X for type 3, Z for type 2, D for type 1. Where the type is not
        known (in some sequences, in private SOP classes) X/Z becomes Z and everything with D becomes D, which is conformant in
        every case. What the table removes or empties although the IOD requires it (type 1, or 2 for removal) gets a
        dummy or is emptied. A sequence whose action is D keeps its items with their values replaced; of Content Sequence, Graphic
        Annotation Sequence and Waveform Annotation Sequence codes and numbers stay.

    Raises
    ------
    InputError
        If it is not a dataset.
    LimitExceeded
        If sequences are nested deeper than 64 levels.

    Notes
    -----
    Beyond the table, what can't be judged is removed: private attributes, attributes that the data dictionary does not have,
    values that can't be decoded or are not of the dictionary's kind, overlay groups as a whole, and group lengths. Free text
    that the table leaves alone is replaced where it mentions a name or an identifier of a patient that stands elsewhere in
    the same object.
    """
    given.one(dataset)
    options = options or Options()
    sop_class = str(dataset.get("SOPClassUID", ""))
    people = _people(dataset)
    steps: list[Step] = []
    replaced: set[str] = set()  # paths of sequences whose action is D
    for place, enter in places(dataset):
        action, section, reason = _decided(place, options, sop_class, replaced)
        if not action and _mentions(place, people):
            action, section, reason = "D", "PS3.15 E.1", "mentions a name or an identifier that stands elsewhere in this object"
        if action:
            tag = f"({place.tag.group:04X},{place.tag.element:04X})"
            steps.append(Step(place.path, tag, _name(place), action, section, reason))
        if action == "D":
            replaced.add(place.path)
        if action not in {"X", "Z"}:
            enter.append(True)
    return Plan(steps, options)


def _people(dataset: Dataset) -> set[Needle]:
    """Return the names and patient identifiers of a dataset, at any depth."""
    found = set()
    for place, enter in places(dataset):
        enter.append(True)
        found |= {Needle(kind, text.strip().lower()) for kind, text in identities(place) if kind in _PERSONAL}
    return {needle for needle in found if len(needle.text) >= SHORTEST[needle.kind][0]}


def _mentions(place: Place, people: set[Needle]) -> bool:
    element = place.element
    if element is None or element.VR not in TEXT or element.keyword in VOCABULARY:
        return False
    return any(needle.is_in(text.lower()) for text in texts(element.value) for needle in people)


def _name(place: Place) -> str:
    if place.tag.is_private:
        return "private"
    return place.element.name if place.element is not None else keyword_for_tag(place.tag)


def _decided(place: Place, options: Options, sop_class: str, replaced: AbstractSet[str]) -> tuple[str, str, str]:
    """Return action, section and reason; an empty action where the attribute is not affected."""
    unknown = _beyond_the_table(place)
    if unknown[0]:
        return unknown
    row, in_content = confidentiality_of(place.tag), _in_content(place, replaced)
    if row is None:
        return ("D", _TABLE, in_content) if in_content else ("", "", "")
    chosen = _by_options(row, place, options)
    if chosen[0]:
        return chosen
    action = _basic(row, place, sop_class)
    kept = "" if action in row.basic else ", but the IOD requires it"
    return action, _TABLE, f"basic profile: {row.basic}{kept}"


def _beyond_the_table(place: Place) -> tuple[str, str, str]:
    """Return the removal of what can't be judged by the table."""
    tag, why = place.tag, ("", "")
    if tag.is_private:
        why = (_TABLE, "private attribute")
    elif place.element is None:
        why = ("PS3.15 E.1", "its value can't be decoded, so nobody knows what is in it")
    elif _is_misshapen(place.element):
        why = ("PS3.6 6", "its VR or number of values is not that of the data dictionary, so other content may hide in it")
    elif tag.element == 0 or tag.group in {0x0000, 0x0002}:
        why = ("PS3.5 7.2", "group length, or not an attribute of a dataset")
    elif 0x6000 <= tag.group <= 0x60FF:
        why = (_TABLE, "overlay: removed as a whole")
    elif keyword_for_tag(tag) in _DEPENDENT:
        why = ("PS3.3 C.7.1.1", f"goes with {_DEPENDENT[keyword_for_tag(tag)]}, which is removed")
    elif confidentiality_of(tag) is None and not dictionary_has_tag(tag):
        why = ("PS3.15 E.1", "not in the data dictionary (PS3.6 6)")
    return ("X" if why[0] else "", *why)


def _is_misshapen(element: DataElement) -> bool:
    """Whether bytes stand in place of text or items, or numbers in a number that the attribute can't have."""
    if not dictionary_has_tag(element.tag):
        return False
    expected = set(dictionary_VR(element.tag).split(" or "))
    if element.VR in _BYTES and not _BYTES & expected:  # long lists of numbers are encoded as UN (PS3.5 6.2.2)
        content = element.value
        is_numbers = expected <= {"DS", "IS"} and isinstance(content, bytes) and _DECIMALS.fullmatch(content)
        return not is_numbers
    most = dictionary_VM(element.tag).rpartition("-")[2]
    return element.VR in _NUMBERS and most.isdigit() and int(most) < element.VM


def _in_content(place: Place, replaced: AbstractSet[str]) -> str:
    """Return why an attribute that is not in the table is replaced nevertheless: the sequence around it is to be."""
    for number, (around, path) in enumerate(place.within):
        if path not in replaced:
            continue
        name, inner = keyword_for_tag(around), place.within[number + 1 :]
        vr = place.element.VR if place.element is not None else "UN"
        if name not in _CONTENT:
            return "" if vr in {"SQ", "UI", "CS"} else f"inside {name}, which is to be replaced"
        in_code = bool(inner) and keyword_for_tag(inner[-1][0]).endswith("CodeSequence") and keyword_for_tag(place.tag) in _CODE
        if vr in _FREE_TEXT and not in_code:
            return f"free text inside {name}, which is to be replaced"
    return ""


def _by_options(row: ConfidentialityRow, place: Place, options: Options) -> tuple[str, str, str]:
    vr = place.element.VR if place.element is not None else ""
    if options.retain_longitudinal_modified_dates and row.retain_longitudinal_modified_dates == "C":
        name = "retain_longitudinal_modified_dates"
        if vr in {"DA", "DT"}:
            return "C", _SECTIONS[name], name
        if vr == "TM" or keyword_for_tag(place.tag) == "TimezoneOffsetFromUTC":
            return "K", _SECTIONS[name], f"{name}: days are moved, times of day stay"
    for name in _RETAIN:
        if getattr(options, name) and getattr(row, name) == "K":
            age = " (over 89 years becomes 90)" if keyword_for_tag(place.tag) == "PatientAge" else ""
            return "K", _SECTIONS[name], name + age
    return "", "", ""


def _basic(row: ConfidentialityRow, place: Place, sop_class: str) -> str:
    codes = row.basic.replace("*", "").split("/")
    if "U" in codes:
        return "U"  # references to images stay, with their new UIDs
    kind = attribute_type(sop_class, _INDEX.sub("", place.path))
    if len(codes) == 1:
        return {"X1": "D", "Z1": "D", "X2": "Z"}.get(codes[0] + kind, codes[0])
    wanted = {"1": "DZ", "1C": "DZ", "2": "ZD", "2C": "ZD", "3": "XZD"}.get(kind, "Z" if row.basic == "X/Z" else "D")
    return next(code for code in wanted if code in codes)
