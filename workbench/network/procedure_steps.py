"""Who keeps performed procedure steps: a provider of Modality Performed Procedure Step (PS3.4 F.7).

Knows: the states of a step and the way between them, the statuses that refuse one, the worklist that follows.
Does not know: how a modality makes its steps (`procedure_step` does), how they are kept in files.
"""

import copy
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom.dimse_primitives import N_CREATE, N_SET
from pynetdicom.presentation import PresentationContext

from workbench.entities import counted, html_table, uid_checked
from workbench.errors import InputError, InstanceNotFound, UidInvalid
from workbench.inspection import lines, table
from workbench.network._guard import Acceptor
from workbench.network._step_folder import StepFolder
from workbench.network._step_rules import FINAL, IN_PROGRESS, Fault, fault_at_end, fault_in_creation, fault_in_setting
from workbench.network.procedure_step import PERFORMED_STEP
from workbench.network.providing import Refused, answer, dataset_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ProcedureSteps"]

log = logging.getLogger(__name__)

_NO_LONGER = "Performed Procedure Step Object may no longer be updated"
_NO_LONGER_ID = 0xA710
_MARKS = {IN_PROGRESS: "STARTED"}
_SAID = {0x0105: "may not be set", 0x0106: "has a wrong value", 0x0120: "is missing", 0x0121: "has no value"}
_SHOWN = ("PerformedProcedureStepStatus", "PerformedStationAETitle", "Modality", "PatientID", "PatientName",
          "PerformedProcedureStepID", "PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime",
          "PerformedProcedureStepEndDate", "PerformedProcedureStepEndTime", "SOPInstanceUID")  # fmt: skip


class Schedule(Protocol):
    """What is told how far a scheduled step is: a :class:`workbench.network.Worklist`."""

    def mark(self, study_instance_uid: str, step_id: str, status: str) -> bool:
        """Note the state of a scheduled step; whether there is such a step."""


class ProcedureSteps:
    """Performed procedure steps: a provider for :class:`workbench.network.Server`.

    Parameters
    ----------
    worklist : Worklist, optional
        Its items are marked STARTED, COMPLETED or DISCONTINUED as the steps are that perform them.
    on_change : callable, optional
        Called with the SOP Instance UID and a copy of the attributes after each N-CREATE and N-SET that was accepted.
    strict : bool
        Whether an attribute of type 2 must be there too, as PS3.4 Table F.7.2-1 says; some devices leave them out.
    most : int
        So many steps are kept; more are refused with 0x0213.
    folder : Path or str, optional
        Where each step is kept in a file, so that it outlasts the process: a step is accepted once its file is whole. What is
        there is taken up, and the worklist's items marked. A file that can't be read is told in the log, and left; its UID is
        refused (0x0111). Without a folder the steps end with the process.

    Raises
    ------
    InputError
        If `most` is less than 1, or `folder` can't be had.

    Notes
    -----
    A step begins IN PROGRESS, and ends COMPLETED or DISCONTINUED; then nothing may change. Refused are: a UID that is there
    (0x0111), one that is not (0x0112), a step that does not begin IN PROGRESS (0x0106), an attribute that is lacking (0x0120)
    or empty (0x0121), one that N-SET may not touch (0x0105), and N-SET of a final step (0x0110 with Error ID 0xA710). What
    was refused has changed nothing. An attribute that N-CREATE did not name may be set all the same.

    Examples
    --------
    >>> steps = ProcedureSteps()
    >>> len(steps)
    0
    """

    sop_classes = (PERFORMED_STEP,)

    def __init__(
        self,
        worklist: Schedule | None = None,
        *,
        on_change: Callable[[str, Dataset], object] | None = None,
        strict: bool = True,
        most: int = 100_000,
        folder: Path | str | None = None,
    ) -> None:
        if most < 1:
            raise InputError(f"most must be 1 or more, not {most}.")
        self._lock = threading.Lock()
        self._steps: dict[str, Dataset] = {}
        self._worklist, self._on_change, self._strict, self._most = worklist, on_change, strict, most
        self._folder = None if folder is None else StepFolder(folder)
        if self._folder is not None:
            self._steps.update(self._folder.steps())
            log.info("%s kept", counted(len(self._steps), "performed procedure step"))
            for step in self._steps.values():
                self._mark(step)

    # ------------------------------------------------------------ the states
    def create(self, sop_instance_uid: str | None, attributes: Dataset) -> str:
        """Take a new step; return its UID, made here where none is given.

        Raises
        ------
        Refused
            With the status that PS3.4 F.7.2.1 and PS3.7 10.1.5 have for what is wrong.
        """
        try:
            uid = uid_checked(sop_instance_uid or generate_uid(), name="SOP Instance UID")
        except UidInvalid:
            raise Refused(0x0117, "the SOP Instance UID is none by PS3.5 9.1") from None
        new = _own(attributes)
        with self._lock:
            if uid in self._steps:
                raise Refused(0x0111, "there is a step of this UID")
            _refuse(fault_in_creation(new, strict=self._strict))
            if len(self._steps) >= self._most:
                raise Refused(0x0213, f"{self._most} steps are kept")
            self._keep(uid, new)
        self._tell(uid, new)
        return uid

    def set(self, sop_instance_uid: str, changes: Dataset) -> None:
        """Change a step.

        Raises
        ------
        Refused
            With the status that PS3.4 F.7.2.2 and PS3.7 10.1.3 have for what is wrong.
        """
        wanted = _own(changes)
        with self._lock:
            step = self._steps.get(sop_instance_uid)
            if step is None:
                raise Refused(0x0112, "there is no step of this UID")
            if step.PerformedProcedureStepStatus in FINAL:
                raise Refused(0x0110, _NO_LONGER, ErrorID=_NO_LONGER_ID)
            _refuse(fault_in_setting(wanted, strict=self._strict), with_list=True)
            now = copy.deepcopy(step)
            wanted.pop("SpecificCharacterSet", None)
            now.update(wanted)
            if now.PerformedProcedureStepStatus in FINAL:
                _refuse(fault_at_end(now), with_list=True)
            self._keep(sop_instance_uid, now)
        self._tell(sop_instance_uid, now)

    def _keep(self, uid: str, step: Dataset) -> None:
        if self._folder is not None:
            self._folder.keep(uid, step, is_new=uid not in self._steps)
        self._steps[uid] = step

    def _tell(self, uid: str, step: Dataset) -> None:
        status = str(step.PerformedProcedureStepStatus)
        log.info("performed procedure step %s is %s, %d series", uid, status, len(step.get("PerformedSeriesSequence") or ()))
        self._mark(step)
        if self._on_change is not None:
            try:
                self._on_change(uid, copy.deepcopy(step))
            except Exception as error:  # noqa: BLE001 - the step is taken, whatever others make of it
                log.warning("performed procedure step %s: on_change failed (%s)", uid, type(error).__name__)

    def _mark(self, step: Dataset) -> None:
        if self._worklist is None:
            return
        status = str(step.PerformedProcedureStepStatus)
        for item in step.ScheduledStepAttributesSequence:
            planned = str(item.get("ScheduledProcedureStepID") or "")
            self._worklist.mark(str(item.StudyInstanceUID), planned, _MARKS.get(status, status))

    # ------------------------------------------------------------ the service
    def serve(self, association: Acceptor, request: Any, context: PresentationContext) -> bool:
        """Serve an N-CREATE or N-SET request; refuse what else the class does not have."""
        if str(context.abstract_syntax) != PERFORMED_STEP:
            return False
        if isinstance(request, N_CREATE):
            uid = self.create(str(request.AffectedSOPInstanceUID or "") or None, dataset_of(request, context))
            answer(association, request, context, 0x0000, AffectedSOPInstanceUID=uid)
        elif isinstance(request, N_SET):
            self.set(str(request.RequestedSOPInstanceUID), dataset_of(request, context))
            answer(association, request, context, 0x0000)
        else:
            raise Refused(0x0211, "N-CREATE and N-SET are served")
        return True

    def ended(self, association: Acceptor) -> None:
        """Nothing belongs to an association."""

    # ------------------------------------------------------------ looking at them
    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, sop_instance_uid: str) -> Dataset:
        """Return a copy of the attributes of a step.

        Raises
        ------
        InstanceNotFound
            If there is none of this UID.
        """
        with self._lock:
            step = self._steps.get(sop_instance_uid)
        if step is None:
            raise InstanceNotFound("There is no performed procedure step of this UID.")
        return copy.deepcopy(step)

    def status(self, sop_instance_uid: str) -> str:
        """Return the status of a step.

        Raises
        ------
        InstanceNotFound
            If there is none of this UID.
        """
        return str(self[sop_instance_uid].PerformedProcedureStepStatus)

    def table(self) -> "pd.DataFrame":
        """Return a DataFrame with one row a step, in the order in which they began."""
        with self._lock:
            steps = list(self._steps.items())
        frame = table([_shown(uid, step) for uid, step in steps], _SHOWN)
        frame["series"] = [len(step.get("PerformedSeriesSequence") or ()) for _, step in steps]
        frame["instances"] = [_instances(step) for _, step in steps]
        return frame

    def __repr__(self) -> str:
        return f"<ProcedureSteps: {len(self)} steps>"

    def _repr_html_(self) -> str:
        return html_table(lines(self.table()), caption=f"Performed procedure steps: {len(self)}")


def _own(attributes: Dataset) -> Dataset:
    """Return a copy whose values are read: nothing in it depends on how they were encoded."""
    own = copy.deepcopy(attributes)
    for _ in own.iterall():  # each value is decoded as it is looked at
        pass
    return own


def _refuse(fault: Fault | None, *, with_list: bool = False) -> None:
    if fault is None:
        return
    name = fault.where[0].rsplit(".", 1)[-1]
    more = f" and {len(fault.where) - 1} more" if len(fault.where) > 1 else ""
    tags = [tag for path in fault.where if (tag := tag_for_keyword(path.rsplit(".", 1)[-1])) is not None]
    fields: dict[str, Any] = {"AttributeIdentifierList": tags} if with_list else {}
    raise Refused(fault.status, f"{name}{more} {_SAID[fault.status]}", **fields)


def _shown(uid: str, step: Dataset) -> Dataset:
    shown = Dataset()
    shown.update({element.tag: element for element in step if element.VR != "SQ"})
    shown.SOPInstanceUID = uid
    return shown


def _instances(step: Dataset) -> int:
    kinds = ("ReferencedImageSequence", "ReferencedNonImageCompositeSOPInstanceSequence")
    return sum(len(series.get(kind) or ()) for series in step.get("PerformedSeriesSequence") or () for kind in kinds)
