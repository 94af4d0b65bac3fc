"""Pull: what is there, and bring it here.

Knows: the order of work of a query and a retrieval, and its audit line.
Does not know: DIMSE, files, SQL.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import pandas as pd

from workbench.archive import Archive
from workbench.entities import Peer, Reference, SeriesRef, StudyRef
from workbench.errors import AttributeUnusable
from workbench.flows.audit import Audit
from workbench.network import RetrieveReport
from workbench.network import find as network_find
from workbench.network import retrieve as network_retrieve

__all__ = ["find", "references", "retrieve"]


def find(
    peer: Peer,
    *,
    level: Literal["PATIENT", "STUDY", "SERIES", "IMAGE"] = "STUDY",
    model: Literal["PATIENT", "STUDY"] = "STUDY",
    via: Literal["dimse", "web"] = "dimse",
    limit: int | None = None,
    audit: Audit | None = None,
    **keys: Any,
) -> pd.DataFrame:
    """Ask a peer what it has.

    Parameters
    ----------
    peer : Peer
        Who is asked.
    level : str
        ``PATIENT``, ``STUDY``, ``SERIES`` or ``IMAGE``.
    model : str
        ``STUDY`` or ``PATIENT`` root (PS3.4 C.6).
    via : str
        ``dimse`` for C-FIND, ``web`` for QIDO-RS.
    limit : int, optional
        Stop after so many answers; ``frame.attrs["truncated"]`` says whether there were more.
    audit : Audit, optional
        Where the step is written down.
    **keys
        Query keys by keyword: a value, a wildcard such as ``"DOE*"``, a date range such as ``"20240101-20240131"``, a list
        of UIDs, or ``""`` to have the attribute returned.

    Returns
    -------
    pandas.DataFrame
        One row an answer, one column an attribute.

    Raises
    ------
    QueryKeyInvalid
        If the model has no such key at this level.
    NetworkError
        If the peer can't be asked; a leaf says why.
    """
    with (audit or Audit()).step(f"find {level.lower()}") as step:
        found = network_find(peer, level=level, keys=keys, model=model, via=via, limit=limit)
        frame = found.table()
        frame.attrs["truncated"] = found.truncated
        step.count, step.verified = len(frame), not found.truncated
        step.note = "more answers exist than the limit" if found.truncated else ""
    return frame


def references(frame: pd.DataFrame) -> list[Reference]:
    """Return the studies or series that the rows of a query's table stand for.

    Raises
    ------
    AttributeUnusable
        If the table has no column Study Instance UID (0020,000D).
    """
    if "StudyInstanceUID" not in frame:
        raise AttributeUnusable("The table has no column StudyInstanceUID (0020,000D): ask for it in the query.")
    studies = frame["StudyInstanceUID"].astype(str)
    if "SeriesInstanceUID" in frame:
        return [SeriesRef(study, series) for study, series in zip(studies, frame["SeriesInstanceUID"].astype(str), strict=True)]
    return [StudyRef(study) for study in studies]


def retrieve(
    peer: Peer,
    what: pd.DataFrame | Reference | Iterable[Reference],
    *,
    into: Archive,
    method: Literal["auto", "get", "move", "web"] | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancel: Callable[[], bool] | None = None,
    audit: Audit | None = None,
) -> RetrieveReport:
    """Bring instances from a peer into an archive.

    Parameters
    ----------
    peer : Peer
        Where they are.
    what : DataFrame, reference or references
        The table of a query, or references.
    into : Archive
        Where they shall be.
    method : str, optional
        ``get``, ``move`` or ``web``; without it as the peer is known to like it.
    progress, cancel : callable, optional
        Called with (done, total); asked whether to stop.
    audit : Audit, optional
        Where the step is written down: verified when every instance that the peer announced has arrived.

    Returns
    -------
    RetrieveReport
        One row an instance.
    """
    refs = references(what) if isinstance(what, pd.DataFrame) else what
    with (audit or Audit()).step("retrieve") as step:
        report = network_retrieve(peer, refs, into=into, method=method, progress=progress, cancel=cancel)
        step.count, step.verified = len(report), report.complete
        lacking = sum(1 for row in report if row.outcome not in {"retrieved", "already there"})
        step.note = f"{lacking} instances did not arrive" if lacking else ""
    return report
