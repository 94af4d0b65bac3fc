"""References within structured reports and key object selections (PS3.3 C.17).

Knows: content trees, evidence sequences, references by position.
Does not know: templates.
"""

from collections.abc import Iterator

from pydicom import Dataset

from workbench.entities import Finding, Severity

__all__ = ["report_findings"]

_EVIDENCE = ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")


def report_findings(dataset: Dataset) -> Iterator[Finding]:
    """Yield an error for each instance that the content names and the evidence does not, and each position that is not there."""
    if "ContentSequence" not in dataset or "ValueType" not in dataset:
        return
    evidence = {uid: sop_class for uid, sop_class in _evidence(dataset) if uid}
    missing: set[str] = set()
    positions: set[tuple[int, ...]] = set()
    by_position: list[tuple[str, tuple[int, ...]]] = []
    for path, position, node in _nodes(dataset):
        positions.add(position)
        if "ReferencedContentItemIdentifier" in node:
            target = node.ReferencedContentItemIdentifier
            by_position.append((path, tuple(target) if hasattr(target, "__iter__") else (target,)))
        for i, item in enumerate(node.get("ReferencedSOPSequence") or ()):
            uid, sop_class = str(item.get("ReferencedSOPInstanceUID") or ""), str(item.get("ReferencedSOPClassUID") or "")
            place = f"{path}.ReferencedSOPSequence[{i}]"
            if uid not in evidence:
                if uid not in missing:
                    yield _missing(place, uid)
                missing.add(uid)
            elif evidence[uid] != sop_class:
                message = f"The SOP class of instance {uid} differs between content and evidence."
                yield Finding(Severity.ERROR, place, "PS3.3 C.17.2.3", message, "Use the SOP class of the instance itself in both.")
    for path, wanted in by_position:
        if wanted not in positions:
            message = "A reference by position leads to no content item."
            yield Finding(Severity.ERROR, f"{path}.ReferencedContentItemIdentifier", "PS3.3 C.17.3.2.5", message)


def _missing(path: str, uid: str) -> Finding:
    name = f"Instance {uid}" if uid else "An instance without UID"
    return Finding(
        Severity.ERROR, path, "PS3.3 C.17.2.3", f"{name} is referenced in the content, but not listed as evidence.",
        "Add it to CurrentRequestedProcedureEvidenceSequence with its study and series.",
    )  # fmt: skip


def _evidence(dataset: Dataset) -> Iterator[tuple[str, str]]:
    for keyword in _EVIDENCE:
        for study in dataset.get(keyword) or ():
            for series in study.get("ReferencedSeriesSequence") or ():
                for item in series.get("ReferencedSOPSequence") or ():
                    yield str(item.get("ReferencedSOPInstanceUID") or ""), str(item.get("ReferencedSOPClassUID") or "")


def _nodes(dataset: Dataset) -> Iterator[tuple[str, tuple[int, ...], Dataset]]:
    """Yield path, position (from 1, the root first) and item of every content item below the root."""
    stack: list[tuple[str, tuple[int, ...], Dataset]] = [("", (1,), dataset)]
    while stack:
        path, position, node = stack.pop()
        if path:
            yield path, position, node
        else:
            yield "", position, Dataset()
        children = node.get("ContentSequence") or ()
        prefix = f"{path}." if path else ""
        stack += [(f"{prefix}ContentSequence[{i}]", (*position, i + 1), child) for i, child in reversed(list(enumerate(children)))]
