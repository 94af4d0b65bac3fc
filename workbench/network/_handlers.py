"""Query/Retrieve as a service class provider (PS3.4 C.4): C-FIND, C-GET and C-MOVE over an archive.

Knows: the information models, identifiers, the statuses of PS3.4 C.4.1.1.4, C.4.2.1.5 and C.4.3.1.4.
Does not know: how the archive finds, how sub-operations are sent.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian
from pynetdicom.dimse_primitives import C_FIND, C_GET, C_MOVE
from pynetdicom.presentation import PresentationContext

from workbench.entities import InstanceRef, Peer, Timeouts
from workbench.errors import ArchiveError, AttributeUnusable, InputError, QueryKeyInvalid, StorageFull, WorkbenchError
from workbench.network._answering import Answers
from workbench.network._guard import Acceptor
from workbench.network._suboperations import OwnAssociation, Progress, destination, encode
from workbench.network.negotiation import QueryOptions, QueryPolicy, agreed
from workbench.network.providing import Refused, answer, dataset_of
from workbench.network.receiving import Sink, one_line
from workbench.network.statuses import status_of
from workbench.standard import UNIQUE_KEYS

__all__ = ["MODELS", "QueryRetrieve", "Shelves"]

log = logging.getLogger(__name__)

#: SOP class: information model and operation (PS3.4 C.6).
MODELS = {
    "1.2.840.10008.5.1.4.1.2.1.1": ("PATIENT", "FIND"),
    "1.2.840.10008.5.1.4.1.2.1.2": ("PATIENT", "MOVE"),
    "1.2.840.10008.5.1.4.1.2.1.3": ("PATIENT", "GET"),
    "1.2.840.10008.5.1.4.1.2.2.1": ("STUDY", "FIND"),
    "1.2.840.10008.5.1.4.1.2.2.2": ("STUDY", "MOVE"),
    "1.2.840.10008.5.1.4.1.2.2.3": ("STUDY", "GET"),
}
_OPERATIONS = {"FIND": C_FIND, "MOVE": C_MOVE, "GET": C_GET}
_LEVELS = {"PATIENT": tuple(UNIQUE_KEYS), "STUDY": tuple(UNIQUE_KEYS)[1:]}
PENDING, PENDING_KEYS_UNSUPPORTED = 0xFF00, 0xFF01
OUT_OF_RESOURCES, NOT_COUNTED, NOT_PERFORMED, DESTINATION_UNKNOWN = 0xA700, 0xA701, 0xA702, 0xA801
NOT_THE_MODEL, UNABLE = 0xA900, 0xC001
_RETRIEVE_AE_TITLE = Tag(0x0008, 0x0054)
#: How to read the keys, at which level, in which view: none of them is matched (PS3.4 C.4.1.1.3).
_NOT_MATCHED = {Tag(0x0008, 0x0005), Tag(0x0008, 0x0052), Tag(0x0008, 0x0053), Tag(0x0008, 0x0201), _RETRIEVE_AE_TITLE}


class Shelves(Protocol):
    """What the server needs of an archive."""

    def receiving(self, *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str = "") -> Sink:
        """Return where the bytes of an instance go."""

    def matches(
        self, identifier: Dataset, *, model: str = "STUDY", date_time: bool = False, fuzzy: bool = False, stored_time_zone: str = ""
    ) -> "Matching":
        """Return what matches."""

    def references(self, wanted: Any, *, model: str = "STUDY") -> list[InstanceRef]:
        """Return the instances that an identifier with unique keys names."""

    def path(self, ref: InstanceRef, /) -> Path:
        """Return where an instance lies."""


class Matching(Protocol):
    """What matches a query."""

    @property
    def tags(self) -> Collection[int]:
        """Which keys are answered."""

    def __iter__(self) -> Iterator[Dataset]:
        """Yield the answers."""

    def encoded(self, *, is_implicit: bool, also: Mapping[str, str] | None = None) -> Iterator[bytes]:
        """Yield the answers in little endian."""


@dataclass(frozen=True)
class QueryRetrieve:
    """Serves the queries and retrievals of associations.

    Parameters
    ----------
    archive : Shelves
        What is asked.
    destination : callable
        The peer of an AE title, None where it is not known.
    timeouts : Timeouts
        `dimse_s` for the answers to C-GET's sub-operations.
    ae_title : str
        Where what was found can be retrieved: our own.
    policy : QueryPolicy
        What is granted to those who propose it, and limits.
    """

    archive: Shelves
    destination: Callable[[str], Peer | None]
    timeouts: Timeouts
    ae_title: str
    policy: QueryPolicy = field(default_factory=QueryPolicy)

    def negotiate(self, event: Any) -> dict[str, bytes]:
        """Answer SOP Class Extended Negotiation (PS3.4 C.5.1.1, C.5.2.1, C.5.3.1), for pynetdicom's EVT_SOP_EXTENDED."""
        proposed = {str(uid): bytes(information) for uid, information in event.app_info.items()}
        answers = agreed(proposed, self.policy, {uid: operation for uid, (_, operation) in MODELS.items()})
        for uid, (_, granted) in answers.items():
            asked = QueryOptions.of(proposed[uid]).names
            log.info(
                "%s: %s proposed for %s, granted: %s",
                event.assoc.caller, ", ".join(asked) or "nothing", " ".join(MODELS[uid]), ", ".join(granted.names) or "nothing",
            )  # fmt: skip
        return {uid: information for uid, (information, _) in answers.items()}

    def _granted(self, association: Acceptor, context: PresentationContext) -> QueryOptions:
        uid = str(context.abstract_syntax)
        proposed = {str(name): information for name, information in association.requestor.sop_class_extended.items()}
        return self.policy.granted(bytes(proposed.get(uid, b"")), operation=MODELS[uid][1])

    def serve(self, association: Acceptor, request: Any, context: PresentationContext) -> bool:
        """Serve a request if it is one of ours; return whether it was."""
        model, operation = MODELS.get(str(context.abstract_syntax), ("", ""))
        if not model or not isinstance(request, _OPERATIONS[operation]):
            return False
        acts: dict[str, Callable[..., None]] = {"FIND": self._find, "MOVE": self._move, "GET": self._get}
        try:
            acts[operation](association, request, context, model)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong becomes a status; its text may hold a value
            status, comment = _status(error)
            status = self.policy.answered(operation, status)
            log.warning("%s: C-%s refused with 0x%04X: %s", association.caller, operation, status, comment)
            answer(association, request, context, status, comment=comment)
        return True

    def _find(self, association: Acceptor, request: C_FIND, context: PresentationContext, model: str) -> None:
        identifier = _identifier(request, context)
        level = _level(identifier, model)
        granted = self._granted(association, context)
        self._check_hierarchy(identifier, model, level)
        identifier, is_all = self.policy.supported(identifier, level=level)
        keys = [tag for tag in identifier.keys() if tag not in _NOT_MATCHED and tag.element]  # noqa: SIM118
        found = self.archive.matches(
            identifier, model=model, date_time=granted.date_time, fuzzy=granted.fuzzy,
            stored_time_zone=self.policy.time_zone if granted.time_zone else "",
        )  # fmt: skip
        # PS3.4 C.4.1.1.3.2
        also = {"RetrieveAETitle": self.ae_title} if _RETRIEVE_AE_TITLE in identifier else {}
        pending = PENDING if is_all and set(found.tags).issuperset(keys) else PENDING_KEYS_UNSUPPORTED
        answers = Answers(association, request, context, self.policy.answered("FIND", pending))
        if answers.is_little_endian:
            matches = found.encoded(is_implicit=answers.is_implicit, also=also)
        else:
            matches = (_in_big_endian(match, also) for match in found)
        for match in self._limited(matches):
            if not answers.go_on:
                break
            answers.add(match)
        status = answers.finish()
        log.info(
            "%s: C-FIND at level %s, %d matches%s", association.caller, level, answers.count, ", cancelled" if status else ""
        )  # fmt: skip

    def _limited(self, found: Iterator[bytes]) -> Iterable[bytes]:
        """Return what was found, unless there are more than may be."""
        most = self.policy.most_matches
        if most is None:
            return found
        kept = list(islice(found, most + 1))
        if len(kept) > most:
            raise Refused(OUT_OF_RESOURCES, f"more than {most} matches: ask for less")
        return kept

    def _check_hierarchy(self, identifier: Dataset, model: str, level: str) -> None:
        """Refuse what only a relational query may leave out, where we grant none (PS3.4 C.4.1.2.1, C.4.2.2.1)."""
        if self.policy.grants.relational:
            return
        for upper in _LEVELS[model][: _LEVELS[model].index(level)]:
            value = identifier.get(UNIQUE_KEYS[upper])
            if not isinstance(value, str) or not value or set(value) & set("*?"):
                raise Refused(NOT_THE_MODEL, f"not relational: {UNIQUE_KEYS[upper]} must have a single value")

    def _move(self, association: Acceptor, request: C_MOVE, context: PresentationContext, model: str) -> None:
        refs = self._wanted(request, context, model)
        title = str(request.MoveDestination or "").strip()
        peer = self.destination(title)
        if peer is None:
            raise Refused(DESTINATION_UNKNOWN, "the move destination is not known here")
        progress = Progress(association, request, context, len(refs))
        originator = (str(association.requestor.ae_title), int(request.MessageID or 0))
        destination(peer, refs, self.archive.path, originator=originator, progress=progress)
        self._finished(association, f"C-MOVE to {one_line(title)!r}", progress)

    def _get(self, association: Acceptor, request: C_GET, context: PresentationContext, model: str) -> None:
        refs = self._wanted(request, context, model)
        progress = Progress(association, request, context, len(refs))
        send = OwnAssociation(association, self.timeouts)
        for ref in refs:
            if not progress.is_wanted:
                break
            try:
                status = send(ref, self.archive.path(ref))
            except (WorkbenchError, OSError) as error:
                log.warning("%s: C-GET could not send %s (%s)", association.caller, ref.sop_instance_uid, type(error).__name__)
                status = None
            progress.count(ref, status)
        self._finished(association, "C-GET", progress)

    def _finished(self, association: Acceptor, what: str, progress: Progress) -> None:
        status = progress.finish()
        log.info(
            "%s: %s ended with 0x%04X, %d completed, %d warnings, %d failed, %d remaining",
            association.caller, what, status, progress.completed, progress.warnings, len(progress.failed), progress.remaining,
        )  # fmt: skip

    def _wanted(self, request: Any, context: PresentationContext, model: str) -> list[InstanceRef]:
        """Return the instances that an identifier names by unique keys alone (PS3.4 C.4.2.1.4, C.4.3.1.3)."""
        identifier = _identifier(request, context)
        level = _level(identifier, model)
        keyword = UNIQUE_KEYS[level]
        value = identifier.get(keyword)
        if not value or "*" in str(value) or "?" in str(value):
            raise Refused(NOT_THE_MODEL, f"the identifier needs {keyword} at level {level}")
        self._check_hierarchy(identifier, model, level)
        try:
            refs = list(self.archive.references(identifier, model=model))
        except (ArchiveError, MemoryError):  # StorageFull is one
            raise Refused(NOT_COUNTED, "the number of matches can't be told: the index can't be read") from None
        if self.policy.most_matches is not None and len(refs) > self.policy.most_matches:
            raise Refused(NOT_PERFORMED, f"more than {self.policy.most_matches} instances: ask for less")
        return refs


def _in_big_endian(match: Dataset, also: Mapping[str, str]) -> bytes:
    for keyword, text in also.items():
        setattr(match, keyword, text)
    return encode(match, ExplicitVRBigEndian).getvalue()


def _identifier(request: Any, context: PresentationContext) -> Dataset:
    if request.Identifier is None:
        raise Refused(NOT_THE_MODEL, "there is no identifier")
    try:
        return dataset_of(request, context)
    except AttributeUnusable:
        raise Refused(UNABLE, "the identifier can't be read") from None


def _level(identifier: Dataset, model: str) -> str:
    level = str(identifier.get("QueryRetrieveLevel") or "").strip()
    if level not in _LEVELS[model]:
        raise Refused(NOT_THE_MODEL, f"Query/Retrieve Level is not one of {', '.join(_LEVELS[model])}")
    return level


def _status(error: Exception) -> tuple[int, str]:
    """Return status and comment; only our own words go into the comment."""
    if isinstance(error, Refused):
        return error.status, error.comment
    told = status_of(
        error,
        (QueryKeyInvalid, NOT_THE_MODEL, "a key that the model does not have at this level"),
        (AttributeUnusable, NOT_THE_MODEL, "a key whose value can't be matched"),
        (InputError, NOT_THE_MODEL, "the identifier does not match the model"),
        (StorageFull, OUT_OF_RESOURCES, "no space left"),
        (MemoryError, OUT_OF_RESOURCES, "no memory left"),
    )
    return told or (UNABLE, f"unable to process ({type(error).__name__})")
