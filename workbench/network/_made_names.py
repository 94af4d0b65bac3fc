"""UIDs and identifiers of worklist items that have none: the same whenever the item is read again.

Knows: what tells one requested procedure from another, UIDs made from a UUID (PS3.5 B.2).
Does not know: tables, what else an item must have.
"""

import json
import uuid
from collections import Counter

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

__all__ = ["Places", "name_missing"]

_NAMESPACE = uuid.UUID("0c3b6a52-7e1d-5f4a-9a55-d4c1f0b7e2a9")
_DIGITS = 10**10

#: How many steps of each requested procedure have been named, by its Study Instance UID and Requested Procedure ID.
Places = Counter[tuple[str, str]]


def name_missing(item: Dataset, places: Places, *, number: int) -> None:
    """Name the study, the requested procedure and the scheduled step of an item, as far as it does not.

    Parameters
    ----------
    item : Dataset
        Ours to change, with one item in its Scheduled Procedure Step Sequence.
    places : Counter
        What was named before in the same worklist; the item is counted in.
    number : int
        Its place in the worklist, for names of what nothing else tells apart.

    Notes
    -----
    The study's UID is the SHA-1 name-based UUID of Patient ID, Accession Number and Requested Procedure ID, so that steps of one
    requested procedure share it; it is random where the item has neither of the latter two. The identifiers follow from the study,
    that of the step also from its place among the steps of the procedure. No value can be read back from them; who guesses all
    three values can see that the guess is right.
    """
    step = item.ScheduledProcedureStepSequence[0]
    known = [str(item.get(keyword) or "").strip() for keyword in ("PatientID", "AccessionNumber", "RequestedProcedureID")]
    is_stable = bool(item.get("StudyInstanceUID")) or any(known[1:])
    if not item.get("StudyInstanceUID"):
        item.StudyInstanceUID = f"2.25.{_hashed('study', *known).int}" if is_stable else generate_uid()
    study = str(item.StudyInstanceUID)
    if not item.get("RequestedProcedureID"):
        item.RequestedProcedureID = f"RP{_hashed('procedure', study).int % _DIGITS:010d}" if is_stable else f"RP{number:05d}"
    procedure = str(item.RequestedProcedureID)
    places[study, procedure] += 1
    if not step.get("ScheduledProcedureStepID"):
        place = str(places[study, procedure])
        made = _hashed("step", study, procedure, place).int % _DIGITS
        step.ScheduledProcedureStepID = f"SPS{made:010d}" if is_stable else f"SPS{number:05d}"


def _hashed(*names: str) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, json.dumps(names))
