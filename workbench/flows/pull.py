"""Pull: what is there, and bring it here.

Knows: the order of work of a query and a retrieval, and its audit line.
Does not know: DIMSE, files, SQL.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import pandas as pd
from pydicom.dataset import Dataset

from workbench.archive import Archive
from workbench.entities import InstanceRef, Peer, Reference, SeriesRef, StudyRef, counted, uid_checked
from workbench.errors import AttributeUnusable, InputError
from workbench.flows.audit import Audit
from workbench.network import RetrieveReport
from workbench.network import find as network_find
from workbench.network import retrieve as network_retrieve

__all__ = ["find", "references", "retrieve"]

_BECAME = MappingProxyType({"conflict": "in conflict with what is kept"})
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


def find(
    peer: Peer | str,
    *,
    level: str = "STUDY",
    model: str = "STUDY",
    via: Literal["dimse", "web"] = "dimse",
    limit: int | None = None,
    audit: Audit | None = None,
    **keys: Any,
) -> pd.DataFrame:
    """Ask a peer what it has.

    Parameters
    ----------
    peer : Peer or str
        Who is asked: a peer, its name in the address book, or ``AETITLE@HOST:PORT``.
    level : str
        ``PATIENT``, ``STUDY``, ``SERIES`` or ``IMAGE``, in any case.
    model : str
        ``STUDY`` or ``PATIENT`` root (PS3.4 C.6), in any case.
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
        One row an answer, one column an attribute; ``frame.attrs["notes"]`` says what the peer left in doubt.

    Raises
    ------
    QueryKeyInvalid
        If the model has no such key at this level.
    InputError
        If `peer` is none.
    NetworkError
        If the peer can't be asked; a leaf says why.
    """
    with (audit or Audit()).step(f"find {str(level).lower()}") as step:
        found = network_find(peer, level=level, keys=keys, model=model, via=via, limit=limit)
        frame = found.table()
        frame.attrs["truncated"], frame.attrs["notes"] = found.truncated, list(found.notes)
        step.count, step.verified = len(frame), not found.truncated
        step.note = "; ".join([*(["more answers exist than the limit"] if found.truncated else []), *found.notes])
    return frame


def references(frame: pd.DataFrame) -> list[Reference]:
    """Return the studies, series or instances that the rows of a query's table stand for, each once.

    Raises
    ------
    AttributeUnusable
        If the table has no column Study Instance UID (0020,000D), or a row has no UID there.
    """
    if "StudyInstanceUID" not in frame:
        raise AttributeUnusable("The table has no column StudyInstanceUID (0020,000D): ask for it in the query.")
    uids = [name for name in _UIDS if name in frame]
    classes = frame["SOPClassUID"].fillna("").astype(str) if "SOPClassUID" in frame else [""] * len(frame)
    found: dict[Reference, None] = {}
    for row, sop_class in zip(frame[uids].fillna("").astype(str).to_dict("records"), classes, strict=True):
        study, series, instance = (uid_checked(row[name], name=name, strict=False) if row.get(name) else "" for name in _UIDS)
        if not study or (instance and not series):
            raise AttributeUnusable("A row of the table lacks StudyInstanceUID or SeriesInstanceUID, so it refers to nothing.")
        ref = (
            InstanceRef(study, series, sop_class, instance) if instance else SeriesRef(study, series) if series else StudyRef(study)
        )
        found[ref] = None
    return list(found)


def retrieve(
    peer: Peer | str,
    what: pd.DataFrame | Reference | Iterable[Reference],
    *,
    into: Archive,
    method: Literal["auto", "get", "move", "web"] | None = None,
    move_port: int = 0,
    progress: Callable[[int, int], None] | None = None,
    cancel: Callable[[], bool] | None = None,
    audit: Audit | None = None,
) -> RetrieveReport:
    """Bring instances from a peer into an archive.

    Parameters
    ----------
    peer : Peer or str
        Where they are: a peer, its name in the address book, or ``AETITLE@HOST:PORT``.
    what : DataFrame, reference or references
        The table of a query, or references.
    into : Archive
        Where they shall be.
    method : str, optional
        ``get``, ``move`` or ``web``; without it as the peer is known to like it.
    move_port : int
        The port at which C-MOVE brings instances to us: the one that the peer knows for ``peer.calling_ae_title``; 0 takes
        one that is free.
    progress, cancel : callable, optional
        Called with (done, total); asked whether to stop.
    audit : Audit, optional
        Where the step is written down: verified when every instance that the peer announced has arrived.

    Returns
    -------
    RetrieveReport
        One row an instance.

    Raises
    ------
    InputError
        If `what` refers to nothing, or `into` is no archive.
    NetworkError
        If nothing could be asked for at all; a leaf says why.
    """
    refs = _asked(what)
    _refuse_other_than_archive(into)
    with (audit or Audit()).step("retrieve") as step:
        report = network_retrieve(peer, refs, into=into, method=method, progress=progress, cancel=cancel, move_port=move_port)
        step.count, step.verified = len(report), report.complete
        others = {outcome: number for outcome, number in report.counts().items() if outcome not in {"retrieved", "already there"}}
        step.note = ", ".join(
            f"{counted(number, 'instance')} {_BECAME.get(outcome, outcome)}" for outcome, number in others.items()
        )
    return report


def _asked(what: Any) -> list[Reference]:
    if isinstance(what, pd.DataFrame):
        return references(what)
    if isinstance(what, pd.Series):
        raise InputError("what is a row or a column of a table: pass rows as a table, such as studies.iloc[[0]].")
    found: list[Any] = list(what) if isinstance(what, Iterable) and not isinstance(what, str | Dataset) else [what]
    for one in found:
        if isinstance(one, str):
            raise InputError("what is text: pass a reference, StudyRef(uid) or SeriesRef(study_uid, series_uid), or a table.")
        if isinstance(one, Dataset):
            raise InputError("what is an answer of a query: pass its table, found.table(), or a reference, StudyRef(uid).")
        if not isinstance(one, Reference):
            raise InputError(f"what is the table of a query, or references such as StudyRef(uid), not {type(one).__name__}.")
    return found


def _refuse_other_than_archive(into: Any) -> None:
    if isinstance(into, str | Path):
        raise InputError("into is an archive, not the path of a folder: pass Archive(path).")
    if not callable(into) and not hasattr(into, "receiving"):
        remedy = "pass its .archive" if isinstance(getattr(into, "archive", None), Archive) else "pass Archive(path)"
        raise InputError(f"into is an archive, not {type(into).__name__}: {remedy}.")
