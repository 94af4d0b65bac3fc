"""Objects checked: dciodvfy, references, identifiers, text, and how the file was read.

Knows: which checks there are.
Does not know: how to fix what they find.
"""

import contextlib
import logging
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from pydicom import Dataset

from workbench.conformance import _dciodvfy
from workbench.conformance.contradictions import reconciled
from workbench.conformance.identifiers import file_meta_findings, text_findings, uid_findings
from workbench.conformance.references import reference_findings
from workbench.entities import Finding, Findings, Severity
from workbench.errors import FileError, InputError
from workbench.files import read, save

__all__ = ["check", "check_many"]

_LOG = logging.getLogger(__name__)
_CHECKS: tuple[Callable[[Dataset], Iterator[Finding]], ...] = (file_meta_findings, uid_findings, text_findings, reference_findings)
# attributes that all instances of one study or series must share (PS3.3 A.1.2, C.7.2, C.7.3)
_SHARED = {
    "StudyInstanceUID": ("PatientID", "PatientName", "PatientBirthDate", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
    "SeriesInstanceUID": ("StudyInstanceUID", "Modality", "SeriesNumber", "Laterality", "SeriesDescription"),
}


def check(source: Dataset | Path | str, *, validator: bool = True, timeout_s: float = 30.0) -> Findings:
    """Return what is wrong with an object.

    Parameters
    ----------
    source : pydicom.Dataset, Path or str
        A dataset, or a file; a file is also checked for how it is written.
    validator : bool
        Whether dciodvfy is run for the IOD's modules (PS3.3 A); the checks of references, UIDs and text always are.
    timeout_s : float
        How long dciodvfy may take, in seconds.

    Returns
    -------
    Findings
        In the order: file, dciodvfy, file meta information, UIDs, text, references. None of them holds a patient's value.
        What dciodvfy asks for in one module and refuses in another is a note.

    Raises
    ------
    ToolMissing
        If dciodvfy is wanted and not installed.
    NotDicom, LimitExceeded
        If a file holds no dataset, or one that is nested too deeply.
    """
    if isinstance(source, Dataset):
        return Findings([*(_validated(source, timeout_s) if validator else ()), *_own(source)])
    reading = read(source)
    feigned = _dciodvfy.feigned_lines(reading.dataset) if validator else ()
    said = _dciodvfy.findings_of(Path(source), timeout_s=timeout_s, feigned=feigned) if validator else []
    return Findings([*reading.findings, *reconciled(said, reading.dataset), *_own(reading.dataset)])


def _validated(dataset: Dataset, timeout_s: float) -> list[Finding]:
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder:  # mode 0700
        path = Path(folder) / "object.dcm"
        try:
            save(dataset, path, durable=False)
        except InputError as error:
            return [Finding(Severity.ERROR, "", "PS3.10 7.1", f"The dataset can't be written as a file: {error}")]
        said = _dciodvfy.findings_of(path, timeout_s=timeout_s, feigned=_dciodvfy.feigned_lines(dataset))
        return reconciled(said, dataset)


def _own(dataset: Dataset) -> list[Finding]:
    findings: list[Finding] = []
    for one in _CHECKS:
        try:
            findings += one(dataset)
        except Exception as error:  # noqa: BLE001 - a value that can't be had at all
            # the parser's text may repeat the value, so only its kind is told
            message = f"An attribute can't be read, so that a check could not end ({type(error).__name__} in {one.__name__})."
            findings.append(Finding(Severity.ERROR, "", "PS3.5 6.2", message, "Look at the dataset with inspection.tree."))
    return findings


def check_many(
    sources: Iterable[Dataset | Path | str],
    *,
    validator: bool = True,
    timeout_s: float = 30.0,
    progress: Callable[[int, int], None] | None = None,
) -> Findings:
    """Return what is wrong with several objects, and between them.

    Parameters
    ----------
    sources : iterable of pydicom.Dataset, Path or str
        As for :func:`check`.
    validator : bool
        Whether dciodvfy is run.
    timeout_s : float
        How long dciodvfy may take an object, in seconds.
    progress : callable, optional
        Called with how many are done and how many there are.

    Returns
    -------
    Findings
        As of :func:`check`, each path after the object's SOP Instance UID or file name; then attributes that differ
        within one study or series, and SOP Instance UIDs that occur twice. What is not DICOM is an error, not an exception.

    Raises
    ------
    ToolMissing
        If dciodvfy is wanted and not installed.
    """
    waiting = list(sources)
    findings: list[Finding] = []
    between = _Between()
    for done, source in enumerate(waiting, 1):
        name = _name(source)
        try:
            findings += [_named(f, name) for f in check(source, validator=validator, timeout_s=timeout_s)]
            between.add(source if isinstance(source, Dataset) else read(source, stop_before_pixels=True).dataset)
        except (FileError, OSError) as error:
            text = str(error) if isinstance(error, FileError) else f"The file can't be read ({type(error).__name__})."
            findings.append(Finding(Severity.ERROR, name, "PS3.10 7", text))
        if progress:
            progress(done, len(waiting))
    findings += between.findings()
    _LOG.info("checked %d objects: %d findings", len(waiting), len(findings))
    return Findings(findings)


def _name(source: Dataset | Path | str) -> str:
    return str(source.get("SOPInstanceUID") or "dataset") if isinstance(source, Dataset) else Path(source).name


def _named(finding: Finding, name: str) -> Finding:
    return replace(finding, path=f"{name}: {finding.path}" if finding.path and finding.path != name else name)


class _Between:
    """What only shows when several objects are seen together."""

    def __init__(self) -> None:
        self._instances: dict[str, int] = defaultdict(int)
        self._shared: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))

    def add(self, dataset: Dataset) -> None:
        self._instances[str(dataset.get("SOPInstanceUID") or "")] += 1
        for entity, keywords in _SHARED.items():
            if uid := str(dataset.get(entity) or ""):
                for keyword in keywords:
                    with contextlib.suppress(Exception):  # an unreadable value is a finding of check already
                        self._shared[entity, uid][keyword].add(str(dataset.get(keyword) or ""))

    def findings(self) -> Iterator[Finding]:
        for uid, count in self._instances.items():
            if uid and count > 1:
                yield Finding(Severity.ERROR, uid, "PS3.3 C.12.1", f"SOP Instance UID (0008,0018) occurs {count} times.")
        for (entity, uid), values in self._shared.items():
            for keyword, different in values.items():
                if len(different) > 1:
                    message = f"{keyword} differs between instances of one {'study' if entity.startswith('Study') else 'series'}."
                    yield Finding(Severity.ERROR, f"{uid}: {keyword}", "PS3.3 A.1.2", message, "Give all of them the same value.")
