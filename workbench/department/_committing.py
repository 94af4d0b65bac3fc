"""How a system has its instances committed: what it does about reports and failures, by the tables of its statement.

Knows: which rows hold for reports that come, come late or do not come (PS3.4 J.3).
Does not know: how one asks and hears (network), the order of activities.
"""

import logging
from collections.abc import Sequence

from pydicom.dataset import Dataset

from workbench import devices
from workbench.department.performed import Outcome, Told, counted
from workbench.devices import Activity, Profile
from workbench.entities import Peer
from workbench.errors import NetworkError
from workbench.network import CommitmentReports, ReportPolicy, commit

__all__ = ["committed", "report_policy", "reporting"]

log = logging.getLogger(__name__)

_PUSH_MODEL = "1.2.840.10008.1.20.1"
_WAIT_S = 60.0  # for a report, where the statement does not say


def report_policy(profile: Profile) -> ReportPolicy:
    """Return how a system answers reports: by its table of statuses of N-EVENT-REPORT."""
    rows = [
        row
        for activity in profile.activities
        if activity.does == "commit"
        for row in devices.statuses(profile, entity=activity.entity, activity=activity.name)
    ]
    return ReportPolicy.of(rows)


def reporting(profile: Profile, entity: str) -> dict[str, set[str]]:
    """Return in which transfer syntaxes reports come to an entity on associations of the peer; empty where it asks for none."""
    found: dict[str, set[str]] = {}
    for activity in profile.activities:
        if activity.does == "commit" and activity.entity == entity:
            for context in devices.contexts(profile, entity=entity, activity=activity.name):
                found.setdefault(context.uid, set()).update(context.syntaxes)
    return {uid: syntaxes for uid, syntaxes in found.items() if uid == _PUSH_MODEL}


def committed(
    profile: Profile, activity: Activity, peer: Peer, made: Sequence[Dataset], *, reports: CommitmentReports, listen: int | None
) -> Told:
    """Ask a peer to answer for instances, and say what came of it.

    Parameters
    ----------
    peer : Peer
        Whom, as the system talks to it.
    reports : CommitmentReports
        What takes the reports, also those that come later.
    listen : int, optional
        Where reports can come on another association meanwhile.

    Raises
    ------
    NetworkError
        If no association comes about.

    Notes
    -----
    Where the statement goes on waiting for a report, what was not refused is ``awaited``.
    """
    rows = devices.events(profile, entity=activity.entity, activity=activity.name)
    wait_s = profile.entity(activity.entity).policy_of(activity.does).idle_s or _WAIT_S
    try:
        report = commit(peer, made, wait_s=wait_s, listen=listen, reports=reports)
    except NetworkError as error:
        row = devices.happening(rows, "ARTIM")
        if row is not None and row.action == "log":
            log.warning("%s: commitment was not asked for: %s (%s)", profile.name, error, row.source)
        raise
    count = report.counts().get("committed", 0)
    lacking = [row for row in report if row.outcome != "committed"]
    if not lacking:
        return Told(Outcome.DONE, count, f"{counted(count, 'instance')} committed.", peer.ae_title)
    waits = devices.happening(rows, "association", "time-out")
    awaited = reports.awaited
    lost = [row for row in lacking if row.reason is not None or row.transaction_uid not in awaited]
    if waits is None or waits.action != "continue" or lost:
        return Told(Outcome.FAILED, count, (lost or lacking)[0].message, peer.ae_title)
    return Told(Outcome.AWAITED, count, f"{lacking[0].message} The report is awaited still ({waits.source}).", peer.ae_title)
