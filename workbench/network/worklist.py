"""Modality Worklist: asking for what is scheduled, and a worklist that answers (PS3.4 K).

Knows: which items match, and that those that are over are left out.
Does not know: how tables become items, how values are matched (the archive does), what becomes of a step once it has begun.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.presentation import PresentationContext

from workbench.archive import criteria
from workbench.entities import Peer, counted, html_table
from workbench.errors import InputError
from workbench.inspection import lines, table
from workbench.network._answering import Answers
from workbench.network._entries import STEP, item_of, items_of
from workbench.network._guard import Acceptor
from workbench.network._items import ItemEncoder, Remembered
from workbench.network._made_names import Places
from workbench.network._repertoire import declare
from workbench.network.addressbook import as_peer
from workbench.network.find import MOST_RESULTS, Found, by_dimse, columns_of
from workbench.network.providing import Refused, dataset_of
from workbench.standard import WORKLIST, worklist_identifier, worklist_path

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Worklist", "worklist"]

log = logging.getLogger(__name__)

#: A step in one of these states is no longer asked for (PS3.3 C.4.10, Scheduled Procedure Step Status).
_OVER = frozenset({"COMPLETED", "DISCONTINUED", "CANCELED"})
_SHOWN = ("PatientName", "PatientID", "AccessionNumber", f"{STEP}.Modality", f"{STEP}.ScheduledStationAETitle",
          f"{STEP}.ScheduledProcedureStepStartDate", f"{STEP}.ScheduledProcedureStepStartTime",
          f"{STEP}.ScheduledProcedureStepID", f"{STEP}.ScheduledProcedureStepStatus")  # fmt: skip


def worklist(
    peer: Peer | str,
    *,
    keys: Mapping[str, Any] | None = None,
    only: bool = False,
    limit: int | None = None,
    cancel: Callable[[], bool] | None = None,
    partial: bool = False,
    character_set: str | None = None,
) -> Found:
    """Ask a worklist what is scheduled.

    Parameters
    ----------
    peer : Peer or str
        Whom to ask: a peer, its name in the address book, or ``AETITLE@HOST:PORT``.
    keys : mapping, optional
        What to match, as in :func:`workbench.network.find`; keys of the Scheduled Procedure Step such as ``Modality`` may be
        named without their sequence.
    only : bool
        Whether to ask for nothing but `keys`, as a device does; by default for all that a worklist must return.
    limit : int, optional
        How many answers are enough.
    cancel : callable, optional
        Polled; when it is true the query is cancelled and what has come until then is returned.
    partial : bool
        Whether to return what has come, as truncated, where the association ends before the last answer.
    character_set : str, optional
        Specific Character Set (0008,0005) of the query, as in :func:`workbench.network.find`.

    Returns
    -------
    Found
        One dataset an item; in its table the step's attributes have paths.

    Raises
    ------
    QueryKeyInvalid
        For a key that the model does not have (PS3.4 K.6.1.2.2).
    InputError
        If `character_set` is none, or lacks characters of the keys.
    NetworkError
        The leaf that says what went wrong.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit must be 1 or more, not {limit}.")
    identifier = worklist_identifier(keys, only=only)
    declare(identifier, character_set)
    start = time.monotonic()
    answers = by_dimse(as_peer(peer), identifier, WORKLIST, most=limit or MOST_RESULTS, cancel=cancel, partial=partial)
    asked = {".".join(worklist_path(name, strict=not only)): None for name in keys or {}}
    return answers.found("WORKLIST", columns_of(asked, identifier), time.monotonic() - start)


class Worklist:
    """A modality worklist: a provider for :class:`workbench.network.Server`.

    Parameters
    ----------
    items : DataFrame, Path to a CSV file, or iterable of Dataset or mapping
        What is scheduled. Columns are keywords; those of the Scheduled Procedure Step need no path. What is lacking of
        Study Instance UID, Requested Procedure ID and Scheduled Procedure Step ID is made: from Patient ID, Accession Number and
        Requested Procedure ID where the item has one of the latter two, so that it is the same when the item is read again, and
        steps of one requested procedure share a study; else at random. A start time that is lacking is 000000, since each item
        must have one (type 1 in PS3.4 Table K.6-1). A CSV file is UTF-8, and its cells
        are taken as they stand. In a DataFrame, a column of numbers has lost its leading zeros (pass ``dtype=str`` where you
        read it); whole numbers that became floats because a cell is missing are whole numbers again.
    most : int, optional
        More matches than this are refused with 0xA700 (PS3.4 K.4.1.1.4).

    Raises
    ------
    QueryKeyInvalid
        If a column is no attribute of a worklist item.
    InputError
        If an item lacks what every item must have, or a file is no table; the message says which item or line, and what.

    Examples
    --------
    >>> rows = [{"PatientName": "Doe^Jane", "PatientID": "1", "Modality": "OP", "ScheduledStationAETitle": "FUNDUS",
    ...          "ScheduledProcedureStepStartDate": "20261121"}]
    >>> len(Worklist(rows).items)
    1
    """

    sop_classes = (WORKLIST,)

    def __init__(
        self, items: "pd.DataFrame | Path | str | Iterable[Dataset | Mapping[str, Any]]" = (), *, most: int | None = None
    ) -> None:
        self._lock = threading.Lock()
        self._items: list[Dataset] = []
        self._remembered: Remembered = {}
        self._most = most
        self._places = Places()
        self._items.extend(items_of(items, self._places))

    @property
    def items(self) -> tuple[Dataset, ...]:
        """All items, in the order in which they were added."""
        with self._lock:
            return tuple(self._items)

    def add(self, entry: Dataset | Mapping[str, Any]) -> Dataset:
        """Add an item and return it.

        Raises
        ------
        QueryKeyInvalid, InputError
            As for the constructor.
        """
        with self._lock:
            self._items.append(item_of(entry, len(self._items) + 1, self._places))
            return self._items[-1]

    def mark(self, study_instance_uid: str, step_id: str, status: str) -> bool:
        """Note the state of a scheduled step; whether there is such a step.

        SCHEDULED and STARTED are defined terms of Scheduled Procedure Step Status (0040,0020, PS3.3 C.4.10), which may be extended:
        COMPLETED and DISCONTINUED are those of the performed step, and of steps that no answer has unless they are asked for.
        """
        found = False
        with self._lock:
            for item in self._items:
                step = item.ScheduledProcedureStepSequence[0]
                if item.StudyInstanceUID == study_instance_uid and step.ScheduledProcedureStepID == step_id:
                    step.ScheduledProcedureStepStatus, found = status, True
                    self._remembered.clear()
        return found

    def find(self, identifier: Dataset) -> Iterator[Dataset]:
        """Yield an answer for each item that matches and is not over, with the keys that were asked for.

        Raises
        ------
        AttributeUnusable, QueryKeyInvalid
            If a key can't be matched.
        """
        encoded = ItemEncoder(identifier, syntax=ExplicitVRLittleEndian, remembered=self._remembered)
        for item in self._matching(identifier):
            yield read_dataset(BytesIO(encoded(item)), is_implicit_VR=False, is_little_endian=True)

    def _matching(self, identifier: Dataset) -> Iterator[Dataset]:
        asked_state, keys = _asked_state(identifier), [key for key in criteria(identifier) if not key.universal]
        for item in self.items:
            is_over = item.ScheduledProcedureStepSequence[0].get("ScheduledProcedureStepStatus") in _OVER
            if (asked_state or not is_over) and all(key.accepts_in(item) for key in keys):
                yield item

    def serve(self, association: Acceptor, request: Any, context: PresentationContext) -> bool:
        """Serve a C-FIND request."""
        if str(context.abstract_syntax) != WORKLIST or not isinstance(request, C_FIND):
            return False
        answers = Answers(association, request, context)
        try:
            identifier = dataset_of(request, context)
            found = list(self._matching(identifier))
        except InputError:
            raise Refused(0xA900, "the identifier does not match the worklist model") from None
        if self._most is not None and len(found) > self._most:
            raise Refused(0xA700, f"more than {self._most} items match")
        encoded = ItemEncoder(identifier, syntax=context.transfer_syntax[0], remembered=self._remembered)
        for item in found:
            if not answers.go_on:
                break
            answers.add(encoded(item))
        status = answers.finish()
        cancelled = ", cancelled" if status else ""
        log.info("%s: C-FIND of the worklist, %s%s", association.caller, counted(answers.count, "match"), cancelled)
        return True

    def ended(self, association: Acceptor) -> None:
        """Nothing belongs to an association."""

    def __len__(self) -> int:
        return len(self.items)

    def table(self) -> "pd.DataFrame":
        """Return a DataFrame with one row an item."""
        return table(self.items, _SHOWN)

    def __repr__(self) -> str:
        return f"<Worklist: {len(self)} items>"

    def _repr_html_(self) -> str:
        shown = [{name.split(".")[-1]: value for name, value in line.items()} for line in lines(self.table())]
        return html_table(shown, caption=f"Worklist: {len(self)} items")


def _asked_state(identifier: Dataset) -> bool:
    steps = identifier.get(STEP)
    return bool(steps and steps[0].get("ScheduledProcedureStepStatus"))
