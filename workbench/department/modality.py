"""A real system at work, as its profile describes it: its activities in the order of its statement.

Knows: which service each kind of activity needs, and what a profile says of it.
Does not know: how a service is spoken (network), how objects are filled (creating).
"""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from workbench import devices, phantoms
from workbench.archive import Archive
from workbench.department._asking import (
    a_series,
    as_system,
    asked,
    asked_by,
    deadline,
    keeper_of,
    readable,
    scheduled_items,
    verified,
    worklist_keys,
)
from workbench.department._committing import committed, report_policy
from workbench.department._fetching import fetched
from workbench.department._printing import printable, printed
from workbench.department._providing import accepting, answered, implementation_of, provider
from workbench.department._settings import configured
from workbench.department._telling import step_begun, step_ended
from workbench.department._writing import beyond
from workbench.department.creating import Step, buildable, create
from workbench.department.performed import Activities, Done, NotHere, Outcome, Told, counted
from workbench.devices import Activity, Entity, Policy, Profile
from workbench.entities import Peer, html_safe
from workbench.errors import BuildRefused, InputError, NetworkError, WorkbenchError
from workbench.network import (
    CommitmentReports,
    Found,
    Sending,
    Server,
    StoreReport,
    as_peer,
    echo,
    free_port,
    procedure_step,
    store,
)

__all__ = ["Modality"]

Receiving = tuple[Server, Archive]

log = logging.getLogger(__name__)
_CANCELLED = Told(Outcome.CANCELLED, 0, "The run was cancelled before.")
_PATIENT_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
_FIND = frozenset({_PATIENT_ROOT_FIND, "1.2.840.10008.5.1.4.1.2.2.1"})
_MOVE = frozenset({"1.2.840.10008.5.1.4.1.2.1.2", "1.2.840.10008.5.1.4.1.2.2.2"})


class Modality:
    """One of the five systems, performing its real-world activities.

    Parameters
    ----------
    profile : Profile or str
        Which system, or its profile's name.
    archive : Peer or str, optional
        A peer, its name in the address book, or ``AETITLE@HOST:PORT``: where it sends, asks and fetches, and who commits.
    ris : Peer or str, optional
        Who keeps the worklist and is told of performed steps.
    printer : Peer or str, optional
        Where it prints.
    known_to : callable, optional
        Called with a :class:`Peer` of this system before somebody is asked to send to it: the archive has to know it.
    port : int
        Where the archive knows this system for C-MOVE; with `known_to`, by default any that is free.
    listen : int, optional
        Where the archive knows this system for reports of storage commitment; by default they come on its own associations.
    settings : mapping of str to str, optional
        How it is configured, of what its statement lists: ``transfer syntax`` (a UID) and ``modality`` of the images it creates.

    Raises
    ------
    InputError
        If a setting is not one that its statement lists.

    Attributes
    ----------
    mpps : Peer or None
        Who is told of performed steps, where that is not who keeps the worklist; to be set.
    item : Dataset or None
        The worklist item that is being performed.
    made, fetched : list of Dataset
        What it has made, and what it got from the archive.
    found : Found or None
        What it asked for last.
    sent : StoreReport or None
        What became of what it sent last.
    reports : CommitmentReports
        What it was told of instances that are to be committed, also later: while :meth:`receiving` it takes reports too.

    Examples
    --------
    >>> Modality("topcon-sp1p")
    Modality(Topcon SP-1P specular microscope)
    """

    def __init__(
        self,
        profile: Profile | str,
        *,
        archive: Peer | str | None = None,
        ris: Peer | str | None = None,
        printer: Peer | str | None = None,
        known_to: Callable[[Peer], object] | None = None,
        port: int = 0,
        listen: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.profile = profile if isinstance(profile, Profile) else devices.profile(profile)
        self.archive, self.ris, self.printer = (None if who is None else as_peer(who) for who in (archive, ris, printer))
        self.mpps: Peer | None = None
        self.known_to = known_to
        self.port, self.listen = port, listen
        self._settings = configured(self.profile, settings or {})
        self.found: Found | None = None
        self.sent: StoreReport | None = None
        self.reports = CommitmentReports(policy=report_policy(self.profile))
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.item: Dataset | None = None
        self.made: list[Dataset] = []
        self.fetched: list[Dataset] = []
        self._step: procedure_step.ProcedureStep | None = None
        self._not_begun = self._began_with = self._asked_by = ""
        self._began, self._study_uid = datetime.now(), generate_uid()  # noqa: DTZ005 - DICOM has local times

    def __repr__(self) -> str:
        return f"Modality({self.profile.title})"

    def _repr_html_(self) -> str:
        doing = "".join(f"<li>{html_safe(a.name)} <i>({html_safe(a.source)})</i></li>" for a in self.profile.activities)
        return f"<p><b>{html_safe(self.profile.title)}</b>: {html_safe(self.profile.summary)}</p><ol>{doing}</ol>"

    # ------------------------------------------------------------ all of it
    def run(self, *, cancel: Callable[[], bool] | None = None, progress: Callable[[Done], object] | None = None) -> Activities:
        """Perform every activity in the order of the statement; one that fails does not keep the others from being tried.

        Parameters
        ----------
        cancel : callable, optional
            Polled between activities; once it is true, no further one is begun, and each has a row that says so.
        progress : callable, optional
            Called with the row of each activity when it is over.

        Returns
        -------
        Activities
            One row an activity.
        """
        self._begin_anew()
        rows: list[Done] = []
        for activity in self.profile.activities:
            is_over = (bool(rows) and rows[-1].outcome is Outcome.CANCELLED) or (cancel is not None and cancel())
            rows.append(self._done(activity, _CANCELLED, 0.0) if is_over else self.perform(activity))
            if progress is not None:
                progress(rows[-1])
        return Activities(rows)

    def perform(self, activity: Activity) -> Done:
        """Perform one activity of the profile and say what became of it."""
        acts: dict[str, Callable[[Activity], Told]] = {
            "verify": self._verify, "worklist": self._worklist, "query": self._query, "retrieve": self._retrieve,
            "receive": self._receive, "acquire": self._acquire, "store": self._store, "step": self._report,
            "commit": self._commit, "print": self._print,
        }  # fmt: skip
        act, began = acts.get(activity.does), time.monotonic()
        try:
            told = act(activity) if act else Told(Outcome.NOT_YET, 0, "The workbench does not do this yet.")
        except NotHere as lacking:
            told = Told(Outcome.NOT_HERE, 0, str(lacking))
        except WorkbenchError as error:
            told = Told(Outcome.FAILED, 0, str(error), self._other_side(activity))
        return self._done(activity, told, round(time.monotonic() - began, 3))

    def _done(self, activity: Activity, told: Told, seconds: float) -> Done:
        log.info("%s: %s %s, %d", self.profile.name, activity.name, told.outcome, told.count)
        return Done(
            activity.name, activity.does, activity.entity, told.peer, self._calling(activity, told), told.outcome, told.count,
            seconds, told.message, activity.source,
        )  # fmt: skip

    # ------------------------------------------------------------ the activities
    def ask(self, peer: Peer | str, entity: str = "", *, query: str = "", values: Mapping[str, Any] | None = None) -> Found:
        """Ask the worklist for what the system asks, and nothing else.

        Parameters
        ----------
        peer : Peer or str
            Who keeps it.
        entity : str
            Which entity asks; by default the one that the profile names.
        query : str
            Which of its queries, where it has several that do not mix: ``broad`` or ``patient`` of the Optos.
        values : mapping, optional
            Values by path of tags, such as ``(0010,0010)``, as its user enters them; by default what the system fills in when it
            asks by itself: its own station, or its modality, where it can match them. The system's wildcards and form of names
            are applied, and a date that it must have is today's.

        Returns
        -------
        Found
            As many answers as the system takes, without those whose character set it discards.

        Raises
        ------
        InputError
            If it has no worklist or no such query, does not match by a key, or keys of two queries are mixed.
        """
        peer, entity = as_peer(peer), entity or self._entity_of("worklist")
        keys = worklist_keys(self.profile, entity, title=self._title(self.profile.entity(entity)), query=query, values=values)
        policy, peer = self.profile.entity(entity).policy_of("worklist"), self._as(entity, peer, self._named("worklist"))
        self._asked_by = asked_by(keys)
        found = scheduled_items(self.profile, entity, peer, keys)
        return readable(self.profile, found) if policy.unsupported_character_set == "discard" else found

    def acquire(self, activity: str = "") -> list[Dataset]:
        """Make the objects of one activity that can be made here, and keep them in :attr:`made`.

        Raises
        ------
        BuildRefused
            If one is refused; the others are made all the same.
        """
        made, refused = self._created(activity)
        if refused:
            raise refused[0]
        return made

    def _created(self, activity: str) -> tuple[list[Dataset], list[BuildRefused]]:
        item = self.item if self.item is not None else Dataset()
        sources = tuple(self.fetched) or tuple(self.made)
        performed = self._step.sop_instance_uid if self._step else ""
        step = Step(
            item, self._began, sources, procedure_step_uid=performed, study_uid=self._study_uid, modality=self._settings.modality
        )
        acquiring = {a.name for a in self.profile.activities if a.does == "acquire"}
        during = {table.source: table.activity for table in self.profile.of_kind("iod")}
        new: list[Dataset] = []
        refused = []
        for claimed in buildable(self.profile):
            if not activity or during[claimed.source] == activity or during[claimed.source] not in acquiring:
                try:
                    new += create(self.profile, claimed, step, transfer_syntax_uid=self._settings.syntaxes.get(claimed.entity, ""))
                except BuildRefused as error:
                    refused.append(error)
        self.made += new
        return new, refused

    @contextmanager
    def receiving(
        self,
        entity_id: str = "",
        *,
        activity: str = "",
        folder: Path | str | None = None,
        port: int = 0,
        known: Mapping[str, Peer] | None = None,
    ) -> Iterator[Receiving]:
        """Run the system's own provider on loopback while the block lasts: it accepts what its statement says, and no more.

        Parameters
        ----------
        entity_id : str
            Which entity; by default the first that accepts associations.
        activity : str
            Only what it accepts for this activity.
        folder : Path or str, optional
            Where what comes is kept; by default it goes with the block.
        port : int
            Where it listens; by default any that is free.
        known : mapping of str to Peer, optional
            Where it may be told to send, and who may come where the statement says that it checks who calls.

        Yields
        ------
        Server, Archive

        Raises
        ------
        InputError
            If no entity of the system accepts associations.
        """
        entity = accepting(self.profile, entity_id)
        with (
            tempfile.TemporaryDirectory(prefix="workbench-") as temporary,
            Archive(folder or temporary, implementation=implementation_of(entity)) as archive,
            provider(
                self.profile, archive, entity=entity, ae_title=self._title(entity), activity=activity, port=port, known=known,
                reports=self.reports,
            ) as server,
        ):  # fmt: skip
            yield server, archive

    # ------------------------------------------------------------ one kind of activity each
    def _verify(self, activity: Activity) -> Told:
        peer = self._as(activity.entity, self._needed(self._side(activity)), activity.name)
        report = verified(peer, self._policy(activity))
        return Told(Outcome.DONE if report.ok else Outcome.FAILED, int(report.ok), report.message, peer.ae_title)

    def _worklist(self, activity: Activity) -> Told:
        peer = self._needed("ris")
        self.found = self.ask(peer, activity.entity)
        self.item = self.found[0] if self.found else None
        said = f"{counted(len(self.found), 'item')} scheduled"
        if not self.found:
            said += f" for what was asked: {self._asked_by}" if self._asked_by else ", whatever was asked for"
        return Told(Outcome.DONE, len(self.found), f"{said}.", peer.ae_title)

    def _acquire(self, activity: Activity) -> Told:
        entity, begun, keeper = self._entity_of("step"), "", self.mpps or self.ris
        if keeper is not None and self.item is not None and self._step is None and entity:
            try:
                self._step = self._told_begun(self._as(entity, keeper, self._named("step")), self.item)
                self._began_with, begun = activity.name, "The step was begun (N-CREATE). "
            except (InputError, NetworkError) as error:  # what is to be acquired is acquired all the same
                self._not_begun = f" The step could not be begun: {error}"
        made, refused = self._created(activity.name)
        whose = " No item was scheduled: the patient is the phantom's." if self._is_nobody(made) else ""
        told = [
            f"{begun}{counted(len(made), 'instance')} made.{whose}{self._not_begun}",
            beyond(self.profile, made, [*filter(None, [self.item]), *self.fetched]),
            *map(str, refused),
        ]
        return Told(Outcome.FAILED if refused else Outcome.DONE, len(made), " ".join(filter(None, told)))

    def _is_nobody(self, made: list[Dataset]) -> bool:
        """Whether what was made is of no patient that was scheduled or fetched, where the system asks a worklist."""
        return bool(made and self._named("worklist")) and self.item is None and not self.fetched

    def _store(self, activity: Activity) -> Told:
        peer = self._needed("archive")
        if not self.made:
            return Told(Outcome.NOTHING, 0, "There is nothing to send.", peer.ae_title)
        policy, names = self._policy(activity), {"entity": activity.entity, "activity": activity.name}
        sending = Sending.of(policy, devices.statuses(self.profile, **names), devices.events(self.profile, **names))
        self.sent = store(
            self._as(activity.entity, peer, activity.name), self.made, policy=sending, cancel=deadline(policy),
            transcode="never" if policy.converts is False else "lossless",
        )  # fmt: skip
        troubles = self.sent.troubles
        outcome = Outcome.FAILED if troubles else Outcome.DONE
        message = troubles[0].message if troubles else f"{counted(len(self.sent), 'instance')} stored."
        return Told(outcome, len(self.sent) - len(troubles), message, peer.ae_title)

    def _report(self, activity: Activity) -> Told:
        peer = self._needed(self._side(activity))
        if self._step is None and self._not_begun:
            return Told(Outcome.FAILED, 0, self._not_begun.strip(), peer.ae_title)
        if self._step is None:
            return Told(Outcome.NOTHING, 0, "Nothing was scheduled, so no step is reported.", peer.ae_title)
        self._step = self._told_ended(self._as(activity.entity, peer, activity.name), self._step)
        told = f"The step, begun with '{self._began_with}', is {self._step.status} (N-SET)."
        return Told(Outcome.DONE, len(self.made), told, peer.ae_title)

    def _told_begun(self, peer: Peer, item: Dataset) -> procedure_step.ProcedureStep:
        """Tell what the statement lists of a step that begins; where it lists nothing, what is usual."""
        step = Step(item, self._began, study_uid=self._study_uid)
        told = step_begun(self.profile, step, station=peer.calling_ae_title)
        if told is None:
            return procedure_step.begin(peer, item, started=self._began)
        return procedure_step.begin(peer, attributes=_by_keyword(told), only=True)

    def _told_ended(self, peer: Peer, begun: procedure_step.ProcedureStep) -> procedure_step.ProcedureStep:
        """Tell what the statement lists of a step that ends."""
        ended = datetime.now()  # noqa: DTZ005 - DICOM has local times
        item = self.item if self.item is not None else Dataset()
        told = step_ended(self.profile, Step(item, self._began, study_uid=self._study_uid), self.made, ended=ended)
        if told is None:
            return procedure_step.finish(peer, begun, series=procedure_step.performed_series(self.made), ended=ended)
        return procedure_step.finish(peer, begun, attributes=_by_keyword(told), ended=ended)

    def _query(self, activity: Activity) -> Told:
        peer = self._as(activity.entity, self._needed("archive"), activity.name)
        self.found, told = asked(self.profile, activity, peer)
        return Told(Outcome.DONE, len(self.found), told, peer.ae_title)

    def _retrieve(self, activity: Activity) -> Told:
        archive = self._needed("archive")
        if self.known_to is None and not self.port:
            return Told(Outcome.NOT_HERE, 0, "The archive does not know where this system is.")
        querying = next(each for each in self.profile.activities if each.does == "query")
        wanted = a_series(self.profile, querying, self._as(querying.entity, archive, querying.name))
        if isinstance(wanted, str):
            return Told(Outcome.NOTHING, 0, f"There is nothing to fetch: {wanted}.", archive.ae_title)
        peer, port = self._as(activity.entity, archive, activity.name), self.port or free_port()
        keeper = keeper_of(self.profile)
        title = self._title(keeper) if keeper else peer.calling_ae_title
        if self.known_to is not None:
            self.known_to(Peer(self.profile.name, title, port=port))
        self.fetched, told = fetched(self.profile, activity, peer, wanted, title=title, port=port)
        return told

    def _receive(self, activity: Activity) -> Told:
        """Be asked: the system's own provider runs, and each service that it accepts in this activity is used once."""
        accepted = {c.uid for c in devices.contexts(self.profile, entity=activity.entity, role="SCP", activity=activity.name)}
        sent = [d for d in (*self.made, *self.fetched, phantoms.fundus()) if str(d.SOPClassUID) in accepted][:1]
        with self.receiving(activity.entity, activity=activity.name) as (server, archive):
            for dataset in self.fetched[:1]:
                archive.add(dataset)
            if accepted & _FIND or accepted & _MOVE:
                return answered(server, archive, moves=bool(accepted & _MOVE))
            if not sent:
                report = echo(server.peer)
                return Told(Outcome.DONE if report.ok else Outcome.FAILED, int(report.ok), report.message, server.ae_title)
            stored = store(server.peer, sent)
            told = stored.troubles[0].message if stored.troubles else f"{counted(len(stored), 'instance')} received."
            return Told(Outcome.DONE if stored.complete else Outcome.FAILED, len(stored), told, server.ae_title)

    def _commit(self, activity: Activity) -> Told:
        peer = self._needed("archive")
        if not self.made:
            return Told(Outcome.NOTHING, 0, "There is nothing to be committed.", peer.ae_title)
        as_system = self._as(activity.entity, peer, activity.name)
        return committed(self.profile, activity, as_system, self.made, reports=self.reports, listen=self.listen)

    def _print(self, activity: Activity) -> Told:
        """Print one film of each kind, gray and colour, that the system prints."""
        peer = self._needed("printer")
        jobs = printable(self.profile, activity, (*self.fetched, *self.made))
        if not jobs:
            return Told(Outcome.NOTHING, 0, "There is nothing to print.", peer.ae_title)
        return printed(self._as(activity.entity, peer, activity.name), self.profile, activity, jobs)

    def _other_side(self, activity: Activity) -> str:
        """Return the AE title of whom an activity talks to."""
        peer: Peer | None = getattr(self, self._side(activity))
        return peer.ae_title if peer and activity.does != "receive" else ""

    def _side(self, activity: Activity) -> str:
        """Return with whom an activity is done: the first of those that the statement names who is here, or who serves it."""
        keeper = "mpps" if self.mpps is not None else "ris"
        usual = {"worklist": "ris", "step": keeper, "print": "printer", "acquire": keeper}.get(activity.does, "archive")
        named = activity.peers or (usual,)
        return next((role for role in named if getattr(self, role) is not None), named[0])

    def _calling(self, activity: Activity, told: Told) -> str:
        """Return the AE title under which an activity has called."""
        calls = told.peer and activity.entity and activity.does not in {"acquire", "receive"}
        return self._title(self.profile.entity(activity.entity)) if calls else ""

    def _needed(self, role: str) -> Peer:
        peer: Peer | None = getattr(self, role)
        if peer is None:
            raise NotHere(role)
        return peer

    # ------------------------------------------------------------ how the profile says it is done
    def _as(self, entity_id: str, peer: Peer, activity: str) -> Peer:
        """Return a peer as this entity talks to it in an activity."""
        if not entity_id:
            return peer
        entity = self.profile.entity(entity_id)
        does = next((each.does for each in self.profile.activities if each.name == activity), "")
        return as_system(self.profile, entity, peer, title=self._title(entity), does=does, activity=activity)

    def _policy(self, activity: Activity) -> Policy:
        return self.profile.entity(activity.entity).policy_of(activity.does)

    def _title(self, entity: Entity) -> str:
        return self.profile.title_of(entity)

    def _entity_of(self, does: str) -> str:
        return next((a.entity for a in self.profile.activities if a.does == does), "")

    def _named(self, does: str) -> str:
        return next((a.name for a in self.profile.activities if a.does == does), "")


def _by_keyword(dataset: Dataset) -> dict[str, Any]:
    return {element.keyword: element.value for element in dataset}
