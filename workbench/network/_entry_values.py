"""Whether the values of a worklist item can stand in an item.

Knows: what each value representation can hold (PS3.5 6.2), how many values an attribute has (PS3.6), what nobody could ask for.
Does not know: which attributes an item must have, how tables become items.
"""

from pydicom.config import RAISE
from pydicom.datadict import dictionary_VM
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import validate_value

from workbench.entities import ae_title_checked, uid_checked
from workbench.errors import InputError

__all__ = ["values_checked"]

_TEXTS = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI", "UT"})
_LINES = frozenset({"AE", "CS", "LO", "PN", "SH"})
#: What a worklist is asked by (PS3.4 Table K.6-1): a literal ``*`` or ``?`` there could not be told from a wildcard.
_ASKED_BY = frozenset({
    "PatientName", "PatientID", "AccessionNumber", "RequestedProcedureID", "ScheduledProcedureStepID", "ScheduledStationAETitle",
})  # fmt: skip


def values_checked(item: Dataset, *, where: str) -> None:
    """Check that each value of an item is one that an object could have, which is more than what a query could ask for.

    Parameters
    ----------
    item : Dataset
        With its sequences.
    where : str
        Where the item stands, which begins the message.

    Raises
    ------
    InputError
        With `where` and the attribute, never with its value.
    """
    for element in item:
        if element.VR == "SQ":
            for part in element.value:
                values_checked(part, where=where)
        elif element.VR in _TEXTS and not element.is_empty:
            name = element.keyword or str(element.tag)
            values = list(element.value) if element.VM > 1 else [element.value]
            if len(values) > 1 and _is_single(element):
                raise InputError(f"{where}: {name} has {len(values)} values where one can stand (PS3.6).")
            for value in values:
                if value not in {None, ""} and not _can_stand(str(value), str(element.VR), name):
                    raise InputError(f"{where}: {name} can't have this value{_hint(name)} (PS3.5 6.2, {element.VR}).")


def _is_single(element: DataElement) -> bool:
    return bool(element.keyword) and dictionary_VM(element.tag) == "1"


def _can_stand(text: str, representation: str, name: str) -> bool:
    try:
        if representation == "UI":
            uid_checked(text)
        elif representation == "AE":
            ae_title_checked(text)
        else:
            validate_value(representation, text, RAISE)
    except ValueError:
        return False
    if representation in _LINES and any(letter < " " or letter == "\x7f" for letter in text):
        return False
    return not (name in _ASKED_BY and ("*" in text or "?" in text))


def _hint(name: str) -> str:
    return ", nor a wildcard: an item says what is, a query what is looked for" if name in _ASKED_BY else ""
