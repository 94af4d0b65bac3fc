"""How a system fetches, and what it says of it: by the final status of the peer, as the table of its statement has it.

Knows: which row holds for a final status of C-MOVE (PS3.4 C.4.2.1.5), and what has come by then.
Does not know: how instances are retrieved (network), where the archive thinks that the system is.
"""

import tempfile

from pydicom.dataset import Dataset

from workbench import devices
from workbench.archive import Archive
from workbench.department._asking import deadline, offered
from workbench.department.performed import Outcome, Told, counted
from workbench.devices import Activity, Profile
from workbench.entities import InstanceRef, Peer, SeriesRef
from workbench.network import RetrieveReport, retrieve

__all__ = ["fetched"]


def fetched(
    profile: Profile, activity: Activity, peer: Peer, wanted: tuple[SeriesRef, list[InstanceRef]], *, title: str, port: int
) -> tuple[list[Dataset], Told]:
    """Fetch a series by C-MOVE; return what came, and what is said of it.

    Parameters
    ----------
    peer : Peer
        Who has it, as the system talks to it.
    wanted : tuple of SeriesRef and list of InstanceRef
        Which, and what the peer says is in it.
    title : str
        AE title to which it is sent.
    port : int
        Where that listens.

    Raises
    ------
    NetworkError
        If nothing came, and the peer says why or does not answer.
    """
    policy, relational = profile.entity(activity.entity).policy_of(activity.does), offered(profile, activity).relational
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder, Archive(folder) as kept:
        report = retrieve(
            peer, wanted[0], into=kept, method="move", move_port=port, relational=relational, expect=wanted[1],
            cancel=deadline(policy), destination=title,
        )  # fmt: skip
        came = [kept.open(ref) for ref in kept]
    outcome, message = _said(profile, activity, report, len(came))
    return came, Told(outcome, len(came), message, peer.ae_title)


def _said(profile: Profile, activity: Activity, report: RetrieveReport, count: int) -> tuple[Outcome, str]:
    """Return what a retrieval counts as: a final status that is not success is named, and what it is taken for holds."""
    message, status = f"{counted(count, 'instance')} came.", report.status
    rows = devices.statuses(profile, entity=activity.entity, activity=activity.name)
    row = None if not status else devices.reaction(rows, status)
    if row is not None:
        message += f" The peer ended with status 0x{status:04X}, {row.meaning} ({row.source})."
        is_done = row.action in {"success", "warning"} and count > 0
    else:
        is_done = report.complete
        lacking = next((each.message for each in report.troubles), "")
        message += f" {lacking}" if lacking else ""
    return Outcome.DONE if is_done else Outcome.FAILED, message
