"""How a system asks: as whom it calls, what it proposes, which keys it sends, how patient it is, all by its statement.

Knows: contexts, extended negotiation, keys and policies of a profile, and what they are to the network's functions.
Does not know: the order of activities, what becomes of the answers.
"""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, TypeVar, cast

from pydicom.datadict import dictionary_description, keyword_for_tag
from pydicom.dataset import Dataset

from workbench import devices
from workbench.department._repertoire import character_set_for
from workbench.devices import Entity, Key, Policy, Profile
from workbench.entities import Calling, InstanceRef, Peer, SeriesRef, Timeouts, plain
from workbench.errors import AssociationRejected, InputError, NetworkError
from workbench.network import EchoReport, Found, QueryOptions, Sending, echo, find, worklist
from workbench.standard import WORKLIST, Level, Model, storage_classes

__all__ = [
    "a_series",
    "as_system",
    "asked",
    "asked_by",
    "deadline",
    "keeper_of",
    "keeping_on",
    "offered",
    "readable",
    "scheduled_items",
    "verified",
    "worklist_keys",
]

log = logging.getLogger(__name__)
_T = TypeVar("_T")

_PATIENT_ROOT_FIND, _STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.1.1", "1.2.840.10008.5.1.4.1.2.2.1"
_STATION, _MODALITY = "(0040,0100).(0040,0001)", "(0040,0100).(0008,0060)"
_STUDY_UID, _SERIES_UID = "(0020,000D)", "(0020,000E)"
#: Keys of a worklist that say nothing of a patient.
_OPEN = frozenset({
    "ScheduledStationAETitle", "ScheduledStationName", "Modality", "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepStartTime",
})  # fmt: skip
_START_DATE, _NAME = "(0040,0100).(0040,0002)", "(0010,0010)"
_CHARACTER_SET = "(0008,0005)"
_NOT_KEYS = frozenset({"(0008,0052)", _CHARACTER_SET})  # the level, and how the others are encoded
_MAX_CONTEXTS = 128  # PS3.8 9.3.2.2
#: Features of PS3.4 Table C.5.1-1 by how statements name them.
_FEATURES = {
    "relational-queries": "relational", "relational-retrieval": "relational", "date-time matching": "date_time",
    "fuzzy semantic matching of person names": "fuzzy",
}  # fmt: skip


# ---------------------------------------------------------------- as whom
def as_system(profile: Profile, entity: Entity, peer: Peer, *, title: str, does: str = "", activity: str = "") -> Peer:
    """Return a peer as an entity talks to it: its AE title, implementation, PDU length and patience, and what it proposes.

    Notes
    -----
    What is proposed are the rows of the activity's table of contexts, all of them, in its order and with the syntaxes in
    theirs. Of one presentation context a peer accepts one transfer syntax (PS3.8 9.3.3.2), so that a system that sends
    instances as they are stored, compressed next to uncompressed, proposes each syntax of a row by itself: its policy says so
    (``contexts_per = "syntax"``), by the section of its statement that the profile cites. Nothing else is proposed.
    """
    calling = Calling(
        entity.implementation_class_uid or "",
        entity.implementation_version_name or "",
        _proposed(profile, entity, activity, entity.policy_of(does)) if activity else (),
    )
    size = {"max_pdu_bytes": max(entity.max_pdu_bytes, 4_096)} if entity.max_pdu_bytes else {}
    timeouts = _patience(entity.policy_of(does), peer.timeouts)
    return peer.but(calling_ae_title=title, timeouts=timeouts, web_url="", calling=calling, **size)


def _proposed(profile: Profile, entity: Entity, activity: str, policy: Policy) -> tuple[tuple[str, tuple[str, ...]], ...]:
    rows = tuple((c.uid, c.syntaxes) for c in devices.contexts(profile, entity=entity.id, role="SCU", activity=activity))
    pairs = tuple((uid, (syntax,)) for uid, syntaxes in rows for syntax in syntaxes)
    return pairs if policy.contexts_per == "syntax" and len(pairs) <= _MAX_CONTEXTS else rows


def _patience(policy: Policy, usual: Timeouts) -> Timeouts:
    """Return the time-outs of a policy; a service that goes on without data waits neither for a response nor for a PDU longer."""
    return Timeouts(
        connect_s=policy.connect_s or usual.connect_s,
        acse_s=policy.acse_s or usual.acse_s,
        dimse_s=policy.dimse_s or policy.service_s or usual.dimse_s,
        network_s=policy.network_s or policy.service_s or usual.network_s,
    )


def deadline(policy: Policy) -> Callable[[], bool] | None:
    """Return what is true once an operation that begins now has gone on for as long as the policy lets it; None for ever."""
    if not policy.operation_s:
        return None
    end = time.monotonic() + policy.operation_s
    return lambda: time.monotonic() >= end


def keeping_on(policy: Policy, ask: Callable[[], _T], *, pause: Callable[[float], None] = time.sleep) -> _T:
    """Do what needs a connection, as often as the policy tries to establish one, with its waits between.

    Raises
    ------
    NetworkError
        Of the last attempt; at once, where trying again would not help, or where the peer was reached.
    """
    retry = Sending.of(policy).retry
    attempts = retry.attempts if policy.attempts is not None else 1
    for failures in range(1, attempts):
        try:
            return ask()
        except NetworkError as error:
            if error.layer != "tcp" and not (isinstance(error, AssociationRejected) and error.transient):
                raise
            log.info("attempt %d of %d at a connection failed", failures, attempts)
            pause(retry.wait_s(failures))
    return ask()


def scheduled_items(profile: Profile, entity: str, peer: Peer, keys: Mapping[str, Any]) -> Found:
    """Return what a worklist answers; what has come, where the statement logs a lost association and shows what there is.

    Raises
    ------
    InputError
        If the system has no character set for the keys; nobody is asked then.
    """
    rows = devices.keys(profile, entity=entity, uid=WORKLIST, role="SCU")
    said = character_set_for(profile, WORKLIST, keys.values(), is_listed=any(row.path == _CHARACTER_SET for row in rows))
    policy = profile.entity(entity).policy_of("worklist")
    names = [each.name for each in profile.activities if each.does == "worklist" and each.entity == entity]
    lost = [devices.happening(devices.events(profile, entity=entity, activity=name), "aborted") for name in names]
    partial = any(row is not None and row.action == "log" for row in lost)
    return keeping_on(
        policy,
        lambda: worklist(
            peer, keys=keys, only=True, limit=policy.limit, cancel=deadline(policy), partial=partial, character_set=said
        ),
    )


def readable(profile: Profile, found: Found) -> Found:
    """Return the answers without those whose character set the system does not have; how many were left out is logged."""
    has = {str(row["term"]) for table in profile.of_kind("character_sets") for row in table.records()} | {"", "ISO_IR 6"}
    kept = tuple(dataset for dataset in found if set(_terms(dataset)) <= has)
    if len(kept) < len(found):
        log.warning("%s discarded %d items in another character set", profile.name, len(found) - len(kept))
    return Found(kept, found.level, found.keywords, found.truncated, found.cancelled, found.notes, found.seconds)


def _terms(dataset: Dataset) -> list[str]:
    value = dataset.get("SpecificCharacterSet") or ""
    return [value] if isinstance(value, str) else [str(term) for term in value]


def verified(peer: Peer, policy: Policy, *, pause: Callable[[float], None] = time.sleep) -> EchoReport:
    """Verify (C-ECHO), with the attempts and within the time of the policy."""
    most = policy.operation_s or peer.timeouts.dimse_s
    usual = peer.timeouts
    peer = peer.but(timeouts=Timeouts(usual.connect_s, usual.acse_s, min(usual.dimse_s, most), min(usual.network_s, most)))

    def ask() -> EchoReport:
        report = echo(peer)
        if report.layer == "tcp":
            raise _NotReached(report)
        return report

    try:
        return keeping_on(policy, ask, pause=pause)
    except _NotReached as error:
        return error.report


class _NotReached(NetworkError):
    """Nothing listens."""

    def __init__(self, report: EchoReport) -> None:
        super().__init__(report.message)
        self.report, self.layer = report, report.layer


# ---------------------------------------------------------------- queries
def asked(
    profile: Profile, activity: devices.Activity, peer: Peer, *, level: Level | None = None, values: Mapping[str, Any] | None = None
) -> tuple[Found, str]:
    """Query as a system does: exactly the keys of its statement's table, and what it negotiates; return also what to say of it.

    Parameters
    ----------
    level : str, optional
        By default the highest of the model that it proposes.
    values : mapping, optional
        Values of keys, by tag.

    Raises
    ------
    InputError
        If the system has no character set for the keys; nobody is asked then.
    """
    listed = devices.keys(profile, entity=activity.entity, activity=activity.name, role="SCU")
    rows = [row for row in listed if row.uid != WORKLIST and row.path not in _NOT_KEYS]
    claimed = devices.contexts(profile, entity=activity.entity, role="SCU", activity=activity.name)
    model: Model = "PATIENT" if any(context.uid == _PATIENT_ROOT_FIND for context in claimed) else "STUDY"
    level = level or cast("Level", model)
    policy = profile.entity(activity.entity).policy_of("query")
    keys = _leaves({row.path: None for row in rows if row.level == level}) | dict(values or {})
    uid = _PATIENT_ROOT_FIND if model == "PATIENT" else _STUDY_ROOT_FIND
    is_listed = any(row.path == _CHARACTER_SET for row in listed if row.uid != WORKLIST)
    said = character_set_for(profile, uid, keys.values(), is_listed=is_listed)
    options = offered(profile, activity)
    found = keeping_on(
        policy,
        lambda: find(
            peer, level=level, model=model, keys=keys, only=bool(rows), limit=policy.limit, cancel=deadline(policy),
            options=options, character_set=said,
        ),
    )  # fmt: skip
    usual = "" if rows else "; the statement lists no keys, so the usual ones were asked for"
    granted = f"; {', '.join(sorted(found.granted))} granted" if found.granted else ""
    return found, f"{len(found)} at {level} level{usual}{granted}{_more(found)}."


def _more(found: Found) -> str:
    return "; " + "; ".join(found.notes) if found.notes else ""


def offered(profile: Profile, activity: devices.Activity) -> QueryOptions:
    """Return what the system proposes beyond the baseline."""
    proposed = {
        _FEATURES[name]: True
        for table in profile.of_kind("extended", entity=activity.entity, activity=activity.name, role="SCU")
        for row in table.records()
        if row["offered"] and (name := str(row["feature"]).lower()) in _FEATURES
    }
    return QueryOptions(**proposed)


def a_series(profile: Profile, activity: devices.Activity, peer: Peer) -> tuple[SeriesRef, list[InstanceRef]] | str:
    """Return a series of CT images that a peer has, which is what a viewer opens, and what is in it: level by level.

    Where it has none, return why, with no more than what modalities there are.
    """
    studies, seen = asked(profile, activity, peer, level="STUDY")[0], set[str]()
    for study in studies:
        modalities = study.get("ModalitiesInStudy")
        listed = {modalities} if isinstance(modalities, str) else {str(each) for each in modalities or ()}
        seen |= listed
        if (listed - {""} and "CT" not in listed) or not study.get("StudyInstanceUID"):
            continue
        above = {_STUDY_UID: str(study.StudyInstanceUID)}
        for series in asked(profile, activity, peer, level="SERIES", values=above)[0]:
            seen.add(str(series.get("Modality") or ""))
            if series.get("Modality") == "CT" and series.get("SeriesInstanceUID"):
                uids = above[_STUDY_UID], str(series.SeriesInstanceUID)
                images = asked(profile, activity, peer, level="IMAGE", values=above | {_SERIES_UID: uids[1]})[0]
                return SeriesRef(*uids), [
                    InstanceRef(*uids, str(image.get("SOPClassUID") or ""), str(image.SOPInstanceUID))
                    for image in images
                    if image.get("SOPInstanceUID")
                ]
    if not studies:
        return "no study was found"
    known = ", ".join(plain(each)[:16] for each in sorted(seen - {""}))
    return f"none of {len(studies)} studies has a series of CT images ({f'there are {known}' if known else 'no modality is told'})"


# ---------------------------------------------------------------- the worklist
def keeper_of(profile: Profile) -> Entity | None:
    """Return the entity to which instances are sent: the first that accepts storage; None where none does."""
    storage = {row.uid for row in storage_classes()}
    for entity in profile.entities:
        if entity.accepts and any(context.uid in storage for context in devices.contexts(profile, entity=entity.id, role="SCP")):
            return entity
    return None


def worklist_keys(
    profile: Profile, entity: str, *, title: str, query: str = "", values: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the keys of a system's worklist query by path, with the values that it sends.

    Parameters
    ----------
    title : str
        AE title of the system: the station whose steps it asks for.
    query : str
        Which of its queries, where it has several: a word of :attr:`workbench.devices.Key.query`.
    values : mapping, optional
        Values by path, instead of those that the system fills in by itself.

    Raises
    ------
    InputError
        If the system has no worklist or no such query, does not match by a key, or its queries are mixed.
    """
    rows = {row.path: row for row in devices.keys(profile, entity=entity, uid=WORKLIST, role="SCU") if row.path not in _NOT_KEYS}
    if not rows:
        raise InputError(f"{profile.title} has no keys for a worklist.")
    of_query = {path: row.query for path, row in rows.items() if row.query}
    if query and query not in of_query.values():
        has = " and ".join(dict.fromkeys(of_query.values())) or "one query only"
        raise InputError(f"{profile.title} has no worklist query {query[:32]!r}: it has {has}.")
    wanted = _by_itself(rows, profile, title, query) if values is None else dict(values)
    _can_be_asked(profile, rows, {path for path, value in wanted.items() if value not in (None, "")}, query)
    if _START_DATE in rows and rows[_START_DATE].matching == "single" and not wanted.get(_START_DATE):
        wanted[_START_DATE] = f"{date.today():%Y%m%d}"  # noqa: DTZ011 - always a value, and DICOM has local dates
    policy = profile.entity(entity).policy_of("worklist")
    keys = dict.fromkeys(rows) | {path: _wild(rows[path], value, policy) for path, value in wanted.items()}
    return _leaves(keys)


def asked_by(keys: Mapping[str, Any]) -> str:
    """Return by which keys a worklist is asked: the values of those that name no patient.

    Examples
    --------
    >>> asked_by({"(0040,0100).(0008,0060)": "OP", "(0010,0010)": "DOE*", "(0010,0020)": None})
    "Modality 'OP', Patient's Name"
    """
    told = []
    for path, value in keys.items():
        if value not in (None, ""):
            tag = int(path.rpartition(".")[2].strip("()").replace(",", ""), 16)
            told.append(f"{dictionary_description(tag)}{f' {plain(str(value))!r}' if keyword_for_tag(tag) in _OPEN else ''}")
    return ", ".join(told)


def _can_be_asked(profile: Profile, rows: Mapping[str, Key], given: set[str], query: str) -> None:
    """Check that a system would ask so."""
    for path in sorted(given):
        if path not in rows or not set(rows[path].matching.split()) - {"sequence"}:
            what = f"{rows[path].name} {path} is only returned" if path in rows else f"{path} is no key of it"
            raise InputError(f"{profile.title} does not match its worklist by that: {what}.")
    mixed = {rows[path].query: rows[path] for path in sorted(given) if rows[path].query}
    if query and set(mixed) - {query}:
        other = next(row for name, row in mixed.items() if name != query)
        raise InputError(f"{other.name} {other.path} belongs to the {other.query} query of {profile.title}, not the {query} one.")
    if len(mixed) > 1:
        told = ", ".join(f"{row.name} to the {name} query" for name, row in mixed.items())
        raise InputError(f"{profile.title} asks by one of its queries at a time: {told} ({next(iter(mixed.values())).source}).")


def _by_itself(rows: Mapping[str, Key], profile: Profile, title: str, query: str) -> dict[str, Any]:
    """Return what the system fills in: its own station, or else its modality, where it can match them."""
    matched = {
        path
        for path, row in rows.items()
        if {"single", "wildcard"} & set(row.matching.split()) and (not query or row.query in {"", query})
    }
    if _STATION in matched:
        return {_STATION: title}
    return {_MODALITY: profile.modality} if _MODALITY in matched and profile.modality else {}


def _wild(row: Key, value: Any, policy: Policy) -> Any:
    """Return a value with the wildcards that the system itself adds; the user's own are left alone."""
    if not isinstance(value, str) or not value or set(value) & set("*?") or "wildcard" not in row.matching.split():
        return value
    if row.path == _NAME and policy.name_form:
        return _wild_name(value, policy.name_form)
    return {"both": f"*{value}*", "trailing": f"{value}*"}.get(policy.wildcards or "", value)


def _wild_name(value: str, form: str) -> str:
    """Return a name in the form of both its parts, where both are given, or with wildcards about the only one, group by group.

    Parts after the given name stand with it, so that none is lost; a group that is empty before one that is not may hold anything
    (PS3.5 6.2.1). Of a name without parts nothing is left: it matches all.
    """
    groups = []
    for group in value.split("="):
        family, *others = (part.strip() for part in group.split("^"))
        rest = "*".join(filter(None, others))
        both = form.format(family=family, given=rest) if family and rest else f"*{family or rest}*"
        groups.append(both if family or rest else "*")
    while groups and groups[-1] == "*":
        groups.pop()
    return "=".join(groups)


def _leaves(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys without the sequences whose items have keys of their own."""
    return {path: value for path, value in keys.items() if not any(other.startswith(f"{path}.") for other in keys)}
