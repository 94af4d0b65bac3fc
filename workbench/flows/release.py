"""Release: plan, de-identify, verify, and only then hand out.

Knows: the order of work of a release, and its audit line.
Does not know: which attributes are affected; that is deid's.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from pydicom.dataset import Dataset

from workbench import deid
from workbench.entities import Rows, Severity
from workbench.files import save
from workbench.flows.audit import Audit

__all__ = ["Release", "ReleasedInstance", "release"]


@dataclass(frozen=True, slots=True)
class ReleasedInstance:
    """What came of one instance.

    Parameters
    ----------
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
    """

    sop_instance_uid: str
    sop_class: str
    attributes: int
    errors: int
    warnings: int
    outcome: str
    file: str = ""


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
    datasets: Iterable[Dataset],
    *,
    keys: deid.Keys,
    options: deid.Options | None = None,
    folder: Path | None = None,
    progress: Callable[[int], None] | None = None,
    audit: Audit | None = None,
) -> Release:
    """De-identify instances and prove that nothing is left of the identities; hold back what can't be proven.

    Parameters
    ----------
    datasets : iterable of Dataset
        The originals; they are not changed.
    keys : Keys
        The secret behind new UIDs and pseudonyms.
    options : Options, optional
        Of PS3.15 Annex E; by default the basic profile as it is.
    folder : Path, optional
        Where files are written, named by their new SOP Instance UIDs.
    progress : callable, optional
        Called with how many are done.
    audit : Audit, optional
        Where the step is written down: verified when no instance was held back.

    Returns
    -------
    Release
        One row an instance, and the new datasets.

    Raises
    ------
    KeyRefused
        If there is no key.
    """
    rows: list[ReleasedInstance] = []
    kept: list[Dataset] = []
    with (audit or Audit()).step("de-identify") as step:
        for done, original in enumerate(datasets, 1):
            row, dataset = _one(original, keys=keys, options=options, folder=folder)
            rows.append(row)
            if row.outcome == "released":
                kept.append(dataset)
            if progress:
                progress(done)
        result = Release.of(rows, kept)
        step.count, step.verified = len(result), result.complete
        step.note = f"{len(rows) - len(kept)} held back" if len(rows) > len(kept) else "no identity found in any value or byte"
    return result


def _one(
    original: Dataset, *, keys: deid.Keys, options: deid.Options | None, folder: Path | None
) -> tuple[ReleasedInstance, Dataset]:
    plan = deid.plan(original, options)
    released = deid.apply(plan, original, keys=keys)
    findings = [*released.findings, *deid.verify(original, released)]
    errors = sum(1 for f in findings if f.severity is Severity.ERROR)
    warnings = sum(1 for f in findings if f.severity is Severity.WARNING)
    dataset = released.dataset
    sop_class = dataset.SOPClassUID.name
    if errors:
        return ReleasedInstance("", sop_class, len(plan), errors, warnings, "held back"), dataset
    file = ""
    if folder is not None:
        file = save(dataset, folder / f"{dataset.SOPInstanceUID}.dcm").name
    return ReleasedInstance(str(dataset.SOPInstanceUID), sop_class, len(plan), errors, warnings, "released", file), dataset
