"""Where dciodvfy contradicts itself: what it asks for in one module and refuses in another is no error of the object.

Knows: the Ophthalmic Tomography Image module (PS3.3 C.8.17.7) and the rules for concatenations (PS3.3 C.7.6.16).
Does not know: how dciodvfy is run.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import replace

from pydicom import Dataset
from pydicom.uid import OphthalmicTomographyImageStorage

from workbench.entities import Finding, Severity

__all__ = ["reconciled"]

_FORBIDDEN = "Attribute present when condition unsatisfied (which may not be present otherwise) for Type 1C Conditional"
_GENERAL = "Module=<MultiFrameFunctionalGroupsCommon>"
_UNSPLIT = {
    "ConcatenationFrameOffsetNumber": f"{_FORBIDDEN} - {_GENERAL}.",
    "InConcatenationNumber": f"{_FORBIDDEN} - {_GENERAL}.",
    "InConcatenationTotalNumber": "Cannot be less than or equal to one since then not a Concatenation.",
}


def reconciled(findings: Iterable[Finding], dataset: Dataset) -> list[Finding]:
    """Return the findings of dciodvfy about `dataset`, those that no object could avoid made notes.

    An Ophthalmic Tomography Image has In-concatenation Number (0020,9162), In-concatenation Total Number (0020,9163) and
    Concatenation Frame Offset Number (0020,9228) always, since they are Type 1 in its own module (PS3.3 C.8.17.7), and the
    total is 1. The general rule, which allows them in the parts of a split object only, is dciodvfy's other word on them.

    Parameters
    ----------
    findings : iterable of Finding
        As dciodvfy gives them.
    dataset : Dataset
        What they are about.
    """
    if str(dataset.get("SOPClassUID") or "") != OphthalmicTomographyImageStorage:
        return list(findings)
    return [_note(finding) if _is_contradicted(finding, dataset) else finding for finding in findings]


def _is_contradicted(finding: Finding, dataset: Dataset) -> bool:
    if finding.message != _UNSPLIT.get(finding.path):
        return False
    if finding.path != "InConcatenationTotalNumber":
        return True
    with contextlib.suppress(Exception):  # a value that can't be read stays an error
        return bool(dataset.InConcatenationTotalNumber == 1)
    return False


def _note(finding: Finding) -> Finding:
    message = (
        f"dciodvfy contradicts the module: {finding.path} is Type 1 in Ophthalmic Tomography Image (PS3.3 C.8.17.7), and its check "
        "of the Multi-frame Functional Groups module refuses it in an image that is not split."
    )
    return replace(
        finding, severity=Severity.NOTE, section="PS3.3 C.8.17.7", message=message, remedy=f"Leave {finding.path} as it is."
    )
