"""The server of our own to which C-MOVE brings instances, for as long as a retrieval lasts.

Knows: which instances were asked for; nothing else is taken in.
Does not know: what asked for them, where they go.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from pydicom.dataset import Dataset

from workbench.entities import InstanceRef, Tls
from workbench.errors import AttributeUnusable, InstanceNotFound
from workbench.network._intake import Intake, Parcel
from workbench.network.server import Server

__all__ = ["landing"]


@contextmanager
def landing(
    intake: Intake, *, title: str, host: str, port: int, known: frozenset[str] | None, tls: Tls | None = None
) -> Iterator[int]:
    """Listen at `host` as `title` while the block lasts; yield the port.

    Parameters
    ----------
    known : frozenset of str or None
        The SOP Instance UIDs that may come; None takes what comes.
    tls : Tls, optional
        What is asked for in TLS comes in TLS too.

    Raises
    ------
    ServerRefused
        If the port can't be had.
    """
    with Server(_Ground(intake, known), ae_title=title, host=host, port=port, accept_unknown_classes=True, tls=tls) as server:
        yield server.port


class _Ground:
    """What the server needs of an archive, where instances only come."""

    def __init__(self, intake: Intake, known: frozenset[str] | None) -> None:
        self._intake, self._known = intake, known

    def receiving(
        self, *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str = ""
    ) -> Parcel:
        """Return a sink for an instance that was asked for."""
        if self._known is not None and sop_instance_uid not in self._known:
            raise AttributeUnusable("This instance was not asked for.")
        return self._intake.receiving(
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
            source_ae_title=source_ae_title,
        )

    def matches(self, identifier: Dataset, **_: Any) -> NoReturn:  # noqa: ARG002
        """Raise: nothing is here."""
        raise InstanceNotFound("Nothing can be had from the server of a retrieval.")

    def references(self, wanted: Any, *, model: str = "STUDY") -> list[InstanceRef]:  # noqa: ARG002
        """Return nothing."""
        return []

    def path(self, ref: InstanceRef, /) -> Path:  # noqa: ARG002
        """Raise: nothing is here."""
        raise InstanceNotFound("Nothing can be had from the server of a retrieval.")
