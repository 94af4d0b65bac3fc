"""Performed procedure steps in a folder, where they outlast the process.

Knows: one file of PS3.10 a step, what a file must have to be one.
Does not know: the states of a step, who asks.
"""

import logging
from contextlib import suppress
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from workbench.entities import counted, uid_checked
from workbench.errors import AttributeUnusable, FileError, InputError, StorageFull, UidInvalid
from workbench.files import INCOMPLETE_FILES, character_sets, read, save
from workbench.network._step_rules import FINAL, IN_PROGRESS, fault_at_end
from workbench.network.procedure_step import PERFORMED_STEP
from workbench.network.providing import Refused

__all__ = ["StepFolder"]

log = logging.getLogger(__name__)

_OWN = ("SOPClassUID", "SOPInstanceUID")


class StepFolder:
    """The files of steps, each named by its SOP Instance UID.

    Parameters
    ----------
    folder : Path or str
        Made where it is lacking, for its owner alone.

    Raises
    ------
    InputError
        If it can't be had.
    """

    def __init__(self, folder: Path | str) -> None:
        self._root = Path(folder)
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in self._root.glob(INCOMPLETE_FILES):
                with suppress(OSError):
                    left.unlink()
        except OSError as error:
            raise InputError(f"The folder for performed procedure steps can't be used: {error.strerror}.") from None

    def keep(self, uid: str, step: Dataset, *, is_new: bool) -> None:
        """Write a step so that it survives a loss of power, whole or not at all.

        Raises
        ------
        Refused
            If it can't be kept (PS3.7 C); what was there before still is.
        """
        file = Dataset()
        file.update({element.tag: element for element in step})
        file.SOPClassUID, file.SOPInstanceUID = PERFORMED_STEP, uid
        if not character_sets.is_ascii(file):  # N-SET may have brought characters that the set of N-CREATE lacks
            file.SpecificCharacterSet = "ISO_IR 192"
        file.file_meta = FileMetaDataset()
        file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        try:
            save(file, self._root / f"{uid}.dcm", exist_ok=not is_new)
        except FileExistsError:
            raise Refused(0x0111, "a file of this UID is there that can't be read") from None
        except StorageFull:
            raise Refused(0x0213, "no space is left to keep the step") from None
        except (AttributeUnusable, OSError) as error:
            raise Refused(0x0110, f"the step can't be kept ({type(error).__name__})") from None

    def steps(self) -> dict[str, Dataset]:
        """Return the steps that can be read, in the order in which they began; others are told in the log, and left."""
        found, damaged = {}, 0
        for path in sorted(self._root.glob("*.dcm")):
            try:
                uid = uid_checked(path.stem)
                found[uid] = _step(path, uid)
            except UidInvalid:
                damaged += 1  # whose name may be anything
            except (FileError, InputError, OSError) as error:
                damaged += 1
                log.warning("performed procedure step %s can't be read, its file is left as it is: %s", path.stem, error)
        if damaged:
            log.warning("%s of performed procedure steps can't be used", counted(damaged, "file"))
        return dict(sorted(found.items(), key=_began))


def _step(path: Path, uid: str) -> Dataset:
    reading = read(path)
    if not reading.is_complete:
        raise InputError("it ends too early.")
    step = Dataset()
    try:
        step.update({element.tag: element for element in reading.dataset})
        for _ in step.iterall():
            pass
        names = tuple(str(step.pop(keyword).value) for keyword in _OWN)
        is_one = names == (PERFORMED_STEP, uid) and step.PerformedProcedureStepStatus in {IN_PROGRESS, *FINAL}
        is_one = is_one and all(item.StudyInstanceUID for item in step.ScheduledStepAttributesSequence)
        is_one = is_one and (step.PerformedProcedureStepStatus == IN_PROGRESS or fault_at_end(step) is None)
    except Exception as error:  # noqa: BLE001 - whatever a file holds; the error's text may hold a value
        raise InputError(f"it has other values than a step ({type(error).__name__}).") from None
    if not is_one:
        raise InputError("it is no performed procedure step, or another one.")
    return step


def _began(named: tuple[str, Dataset]) -> tuple[str, str, str]:
    uid, step = named
    return str(step.get("PerformedProcedureStepStartDate") or ""), str(step.get("PerformedProcedureStepStartTime") or ""), uid
