"""A system's own provider: it accepts, grants, answers and limits what its statement says, and no more.

Knows: which parts of a profile say how an entity accepts associations.
Does not know: how a server does it (network), what the system does by itself (modality).
"""

from collections.abc import Collection, Mapping
from typing import Any

from workbench import devices
from workbench.archive import Archive
from workbench.department._committing import reporting
from workbench.department.performed import Outcome, Told, counted
from workbench.devices import Entity, Profile
from workbench.entities import InstanceRef, Peer, StudyRef, Timeouts
from workbench.errors import InputError
from workbench.files import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from workbench.network import CommitmentReports, QueryOptions, QueryPolicy, Server, find, free_port, retrieve

__all__ = ["accepting", "answered", "implementation_of", "provider", "query_policy"]

#: Features of tables of extended negotiation, as the first words of their names.
_FEATURES = {"relational": "relational", "date-time": "date_time", "fuzzy": "fuzzy", "timezone": "time_zone"}
_OPERATIONS = {
    "1.2.840.10008.5.1.4.1.2.1.1": "FIND", "1.2.840.10008.5.1.4.1.2.2.1": "FIND",
    "1.2.840.10008.5.1.4.1.2.1.2": "MOVE", "1.2.840.10008.5.1.4.1.2.2.2": "MOVE",
    "1.2.840.10008.5.1.4.1.2.1.3": "GET", "1.2.840.10008.5.1.4.1.2.2.3": "GET",
}  # fmt: skip
_VERIFICATION = "1.2.840.10008.1.1"
_LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")
_NO_LIMIT, _SHORTEST_PDU, _USUAL_PDU = 1_000, 4_096, 16_384


def accepting(profile: Profile, entity_id: str = "") -> Entity:
    """Return the entity of a system that accepts associations, the first where none is named.

    Raises
    ------
    InputError
        If none does.
    """
    found = next((e for e in profile.entities if e.accepts and entity_id in {"", e.id}), None)
    if found is None:
        raise InputError(f"{profile.title} accepts no associations.")
    return found


def query_policy(profile: Profile, entity: str) -> QueryPolicy:
    """Return how an entity answers queries: what it grants, its keys and its statuses.

    Notes
    -----
    A feature that a table of extended negotiation (PS3.4 C.5.1.1) does not offer, or does not name, is not granted. A key is
    matched where its row names more than universal matching.
    """
    rows = [row for table in profile.of_kind("extended", entity=entity, role="SCP") for row in table.records()]
    offered = {_FEATURES.get(str(row["feature"]).split()[0].lower().removesuffix("-queries")) for row in rows if row["offered"]}
    grants = QueryOptions(**{name: True for name in offered if name}) if rows else QueryPolicy().grants
    known = [key for key in devices.keys(profile, entity=entity, role="SCP") if key.uid in _OPERATIONS and "." not in key.path]
    keys = {
        level: {
            int(key.path.strip("()").replace(",", ""), 16): bool(set(key.matching.split()) - {"universal"})
            for key in known
            if key.level in {"", level}
        }
        for level in _LEVELS
    }
    storing = {context.uid for context in devices.contexts(profile, entity=entity, role="SCP")} - {*_OPERATIONS, _VERIFICATION}
    stores = {context.activity for context in devices.contexts(profile, entity=entity, role="SCP") if context.uid in storing}
    statuses = {
        operation: frozenset(int(row["code"], 16) for row in table.records() if _is_number(row["code"]))
        for table in profile.of_kind("statuses", entity=entity)
        if table.role != "SCU"
        and (operation := _OPERATIONS.get(table.uid) or ("STORE" if not table.uid and table.activity in stores else ""))
    }
    return QueryPolicy(grants=grants, keys=keys if known else None, statuses=statuses or None)


def implementation_of(entity: Entity) -> tuple[str, str]:
    """Return Implementation Class UID and Version Name of an entity: those of this library where its statement gives none."""
    if entity.implementation_class_uid is None:
        return IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
    return entity.implementation_class_uid, entity.implementation_version_name or ""


def provider(
    profile: Profile,
    archive: Archive,
    *,
    entity: Entity,
    ae_title: str,
    activity: str = "",
    port: int = 0,
    known: Mapping[str, Peer] | None = None,
    reports: CommitmentReports | None = None,
) -> Server:
    """Return the server that an entity of a system is; it is not started.

    Parameters
    ----------
    profile : Profile
        Which system.
    archive : Archive
        What it stores and answers from.
    entity : Entity
        One that accepts associations.
    ae_title : str
        What it calls itself.
    activity : str
        Only what it accepts for this activity.
    port : int
        Where it listens; 0 takes a free one.
    known : mapping of str to Peer, optional
        Whom it knows: where C-MOVE may send to and, where the statement says that calling AE titles are checked, who may come.
    reports : CommitmentReports, optional
        What takes reports of storage commitment, where the entity asks for that and no activity is given.
    """
    accepts: dict[str, set[str]] = {}
    for context in devices.contexts(profile, entity=entity.id, role="SCP", activity=activity):
        accepts.setdefault(context.uid, set()).update(context.syntaxes)
    own: dict[str, Any] = {}
    if reports is not None and not activity and (taken := reporting(profile, entity.id)):
        accepts, own["providers"] = accepts | taken, (reports,)
    if entity.implementation_class_uid:
        own["implementation_class_uid"] = entity.implementation_class_uid
        own["implementation_version_name"] = entity.implementation_version_name or ""
    if entity.max_accepted is not None:
        own["max_associations"] = entity.max_accepted or _NO_LIMIT
    policy, usual = entity.policy_of("receive"), Timeouts()
    titles: Collection[str] | None = {peer.ae_title for peer in (known or {}).values()} if policy.checks_calling else None
    return Server(
        archive, ae_title=ae_title, port=port, known_peers=known, accepts=accepts,
        max_pdu_bytes=max(entity.max_pdu_bytes or _USUAL_PDU, _SHORTEST_PDU),
        require_called_ae_title=policy.checks_called is not False, require_calling_ae_titles=titles,
        timeouts=Timeouts(
            usual.connect_s, policy.acse_s or usual.acse_s, policy.dimse_s or policy.service_s or usual.dimse_s,
            policy.network_s or usual.network_s,
        ),
        idle_s=policy.idle_s or policy.service_s or 60.0, queries=query_policy(profile, entity.id), **own,
    )  # fmt: skip


def answered(server: Server, archive: Archive, *, moves: bool) -> Told:
    """Ask a running provider for its studies, or for what it holds, and say what it answered."""
    if not moves:
        found = find(server.peer, level="STUDY")
        return Told(Outcome.DONE, len(found), f"Asked from here, it names {counted(len(found), 'study')}.", server.ae_title)
    port = free_port()
    server.know(Peer("asker", "ASKER", port=port))
    peer = server.peer.but(calling_ae_title="ASKER")
    got: list[bytes] = []
    studies: dict[str, list[InstanceRef]] = {}
    for ref in archive:
        studies.setdefault(ref.study_instance_uid, []).append(ref)
    for uid, refs in studies.items():  # what is there is known: where only C-MOVE is accepted nothing can be asked
        retrieve(peer, StudyRef(uid), into=got.append, method="move", move_port=port, expect=refs)
    if not got:
        return Told(Outcome.NOTHING, 0, "It has nothing that it could send.", server.ae_title)
    return Told(Outcome.DONE, len(got), f"Asked from here, it sent {counted(len(got), 'instance')}.", server.ae_title)


def _is_number(code: str) -> bool:
    return len(code) == 4 and all(character in "0123456789ABCDEF" for character in code)
