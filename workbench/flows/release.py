"""Release: plan, de-identify, verify, and only then hand out.

Knows: the order of work of a release, and its audit line.
Does not know: which attributes are affected; that is deid's.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from pydicom.dataset import Dataset

from workbench import deid
from workbench.entities import Findings, InstanceRef, Rows, Severity, uid_checked
from workbench.errors import InputError, KeyRefused
from workbench.files import given, read, save
from workbench.flows.audit import Audit
from workbench.inspection import differences

__all__ = ["Release", "ReleasedInstance", "release"]

_TOLD = 3  # errors that a row names; their number is beside


@dataclass(frozen=True, slots=True)
class ReleasedInstance:
    """What came of one instance.

    Parameters
    ----------
    number : int
        Which of the originals it was, counted from 1: a row never names the original's UID.
    sop_instance_uid : str
        Its new SOP Instance UID, or empty where it was held back.
    sop_class : str
        Its SOP class in words.
    attributes : int
        How many attributes the plan affects.
    errors, warnings : int
        What verification and de-identification found; an instance with errors is held back.
    outcome : str
        ``released`` or ``held back``.
    file : str
        Name of its file, where a folder was given.
    message : str
        Why it was held back: places and kinds of identity, never a value.
    """

    number: int
    sop_instance_uid: str
    sop_class: str
    attributes: int
    errors: int
    warnings: int
    outcome: str
    file: str = ""
    message: str = ""


class Release(Rows[ReleasedInstance]):
    """One row an instance; :attr:`datasets` are those that were released."""

    row_type: ClassVar[type | None] = ReleasedInstance
    datasets: tuple[Dataset, ...] = ()

    @classmethod
    def of(cls, rows: Iterable[ReleasedInstance], datasets: Iterable[Dataset]) -> Self:
        """Return a release with its datasets."""
        release = cls(rows)
        release.datasets = tuple(datasets)
        return release

    @property
    def complete(self) -> bool:
        """Whether there are instances and none was held back."""
        return bool(self) and all(row.outcome == "released" for row in self)

    def __repr__(self) -> str:
        return f"Release({len(self.datasets)} released, {len(self) - len(self.datasets)} held back)"


def release(
    datasets: Dataset | Iterable[Dataset],
    *,
    keys: deid.Keys,
    options: deid.Options | None = None,
    folder: Path | str | None = None,
    progress: Callable[[int], None] | None = None,
    audit: Audit | None = None,
) -> Release:
    """De-identify instances and prove that nothing is left of the identities; hold back what can't be proven.

    Parameters
    ----------
    datasets : Dataset or iterable of Dataset
        The originals; they are not changed.
    keys : Keys
        The secret behind new UIDs and pseudonyms.
    options : Options, optional
        Of PS3.15 Annex E; by default the basic profile as it is.
    folder : Path or str, optional
        Where files are written, named by their new SOP Instance UIDs.
    progress : callable, optional
        Called with how many are done.
    audit : Audit, optional
        Where the step is written down: verified when no instance was held back.

    Returns
    -------
    Release
        One row an instance, and the new datasets. What can't be de-identified at all is held back too.

    Raises
    ------
    InputError
        If a path or anything else stands in place of datasets.
    KeyRefused
        If there is no key.
    StorageFull
        If there is no space left; what was written until then is whole.
    """
    originals, into = given.many(datasets), None if folder is None else Path(folder)
    rows: list[ReleasedInstance] = []
    kept: list[Dataset] = []
    before: dict[str, Dataset] = {}
    with (audit or Audit()).step("de-identify") as step:
        for done, original in enumerate(originals, 1):
            row, dataset = _one(done, original, keys=keys, options=options, folder=into, before=before)
            rows.append(row)
            if dataset is not None:
                kept.append(dataset)
            if progress:
                progress(done)
        result = Release.of(rows, kept)
        step.count, step.verified = len(result), result.complete
        step.note = f"{len(rows) - len(kept)} held back" if len(rows) > len(kept) else "no identity found in any value or byte"
    return result


def _one(
    number: int,
    original: Dataset,
    *,
    keys: deid.Keys,
    options: deid.Options | None,
    folder: Path | None,
    before: dict[str, Dataset],
) -> tuple[ReleasedInstance, Dataset | None]:
    try:
        given.one(original)
        sop_class = InstanceRef.of(original).sop_class_name
        plan = deid.plan(original, options)
        released = deid.apply(plan, original, keys=keys)
        findings = Findings([*released.findings, *deid.verify(original, released)])
    except KeyRefused:
        raise
    except InputError as error:
        return ReleasedInstance(number, "", "", 0, 1, 0, "held back", message=str(error)), None
    errors = findings.errors
    warnings = sum(1 for f in findings if f.severity is Severity.WARNING)
    if errors:
        message = "; ".join(f"{f.path}: {f.message}" for f in errors[:_TOLD])
        more = f"; and {len(errors) - _TOLD} more" if len(errors) > _TOLD else ""
        row = ReleasedInstance(number, "", sop_class, len(plan), len(errors), warnings, "held back", message=message + more)
        return row, None
    dataset = released.dataset
    uid = uid_checked(dataset.SOPInstanceUID)
    file = f"{uid}.dcm" if folder is not None else ""
    if not _is_kept(dataset, folder / file if folder is not None else None, before):
        message = "Another instance with the same SOP Instance UID and other content was released before it (PS3.3 C.12.1)."
        return ReleasedInstance(number, "", sop_class, len(plan), 1, warnings, "held back", message=message), None
    before[uid] = dataset
    return ReleasedInstance(number, uid, sop_class, len(plan), 0, warnings, "released", file), dataset


def _is_kept(dataset: Dataset, path: Path | None, before: Mapping[str, Dataset]) -> bool:
    """Keep a release under its UID, in its file where there is one; say whether nothing else is there."""
    uid = str(dataset.SOPInstanceUID)
    if uid in before:
        return not differences(before[uid], dataset)
    if path is None:
        return True
    try:
        save(dataset, path, exist_ok=False)
    except FileExistsError:
        return not differences(read(path).dataset, dataset)
    return True
