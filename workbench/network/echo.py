"""C-ECHO, and which layer failed.

Knows: the Verification service (PS3.4 Annex A).
Does not know: how to mend what it finds; it says what to try.
"""

import time
from dataclasses import dataclass

from workbench.entities import Peer, html_safe
from workbench.errors import NetworkError
from workbench.network import contexts
from workbench.network._normalized import Conversation
from workbench.network.addressbook import as_peer
from workbench.network.association import associate

__all__ = ["EchoReport", "echo"]

_VERIFICATION = "1.2.840.10008.1.1"


@dataclass(frozen=True, slots=True)
class EchoReport:
    """What came of a C-ECHO; true where the peer answered with success.

    Parameters
    ----------
    ok : bool
        Whether the peer verified.
    layer : str
        ``verified``, or the layer that failed: ``name``, ``tcp``, ``tls``,
        ``association``, ``identity``, ``context`` or ``dimse``.
    message : str
        What happened.
    remedy : str
        What to try, where something can be tried.
    seconds : float
        How long it took, association and release included.
    """

    ok: bool
    layer: str
    message: str
    remedy: str
    seconds: float

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        return (
            f"{'OK' if self.ok else 'Failed at ' + self.layer}: {self.message} {self.remedy}".strip() + f" ({self.seconds:.2f} s)"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        mark, colour = ("✓", "#187a3c") if self.ok else ("✗", "#b3261e")
        layer = "" if self.ok else f"<b>{html_safe(self.layer)}</b> · "
        remedy = f"<br><i>{html_safe(self.remedy)}</i>" if self.remedy else ""
        return (
            f"<div><span style='color:{colour};font-weight:bold'>{mark}</span> {layer}{html_safe(self.message)} "
            f"<span style='opacity:.6'>{self.seconds:.2f} s</span>{remedy}</div>"
        )


def echo(peer: Peer | str) -> EchoReport:
    """Ask a peer whether it is there, and say which layer failed if it is not. Never raises for network trouble.

    Parameters
    ----------
    peer : Peer or str
        Whom to ask: a peer, its name in the address book, or ``AETITLE@HOST:PORT``.

    Returns
    -------
    EchoReport
        With the layer, what happened and what to try.

    Raises
    ------
    PeerUnknown, InputError
        If it is not known whom to ask.
    """
    peer = as_peer(peer)
    start = time.monotonic()
    try:
        with associate(peer, contexts.service(_VERIFICATION)) as association, Conversation(association, peer) as talk:
            answer = talk.verify(_VERIFICATION)
            if answer.status != 0:
                raise answer.refusal(peer, "C-ECHO")
    except NetworkError as error:
        message = str(error).removesuffix(error.remedy).rstrip()
        return EchoReport(False, error.layer or "dimse", message, error.remedy, time.monotonic() - start)
    return EchoReport(True, "verified", f"{peer} verified.", "", time.monotonic() - start)
