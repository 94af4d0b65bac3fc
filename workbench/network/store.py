"""Storing instances at a peer: verbatim where it takes them so, losslessly recoded otherwise.

Knows: presentation contexts for sending, the statuses of C-STORE (PS3.4 B.2.3), when another attempt makes sense.
Does not know: how bytes are framed (`bulk`), what a source looks like inside (`_outgoing`).
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace

from pydicom.uid import UID
from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from workbench.entities import Peer
from workbench.errors import (
    Cancelled,
    DatasetIncomplete,
    InputError,
    NetworkError,
    WorkbenchError,
)
from workbench.network._job import Job, Retry, Sender, Sending, StoreOutcome, StoreReport, StoreRow
from workbench.network._outgoing import Outgoing, Source, look_at, opened
from workbench.network.addressbook import as_peer
from workbench.network.association import MAX_CONTEXTS, associate, take_over
from workbench.network.bulk import Channel, Content, Response, store_request
from workbench.network.statuses import words
from workbench.network.transcode import TARGETS
from workbench.network.web_store import WebSender

__all__ = ["Retry", "Sending", "StoreOutcome", "StoreReport", "StoreRow", "store"]

log = logging.getLogger(__name__)


def store(  # noqa: PLR0913 - each is a choice of its own
    peer: Peer | str,
    sources: Iterable[Source],
    *,
    via: str = "dimse",
    associations: int = 1,
    transcode: str = "lossless",
    retry: Retry | None = None,
    policy: Sending | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> StoreReport:
    """Store instances at a peer with C-STORE (PS3.4 B) or STOW-RS (PS3.18 10.5).

    Parameters
    ----------
    peer : Peer or str
        Where to: a peer, its name in the address book, or ``AETITLE@HOST:PORT``.
    sources : iterable of Path, str, bytes, Dataset or Part10
        One instance each: a file's path or content, a dataset, or a file that was located already.
    via : str
        ``dimse`` or ``web``. The web has no negotiation: there every instance goes out as it is.
    associations : int
        How many associations, or requests, to hold at once; a peer may allow fewer, which is no failure.
    transcode : str
        ``lossless``: what the peer does not take as it is, is sent uncompressed. ``never``: it is refused.
    retry : Retry, optional
        How often and when to try again; instead of what the policy says.
    policy : Sending, optional
        One association or many, what a failure and a warning mean: as another system does it.
    progress : callable, optional
        Called with how many are done and how many there are, never by two threads at once.
    cancel : callable, optional
        Polled; where it returns True, what was not sent is reported as failed.

    Returns
    -------
    StoreReport
        One row a source, whatever happened to it.

    Raises
    ------
    InputError
        If an argument is not one of those above.

    Notes
    -----
    An instance goes out byte for byte in its own transfer syntax if the peer accepts that, else decompressed in
    Explicit or Implicit VR Little Endian, or in Explicit VR Big Endian if the peer takes nothing else. Nothing is ever
    compressed, so nothing is lost. Where no answer comes the outcome is unknown; the instance is offered again in the
    next attempt, which is safe since a C-STORE of the same instance changes nothing.

    File preambles are not sent. Trailing padding (FFFC,FFFC) (PS3.10 7.2) is part of the dataset and goes with it.
    """
    if transcode not in {"lossless", "never"}:
        raise InputError(f"transcode is 'lossless' or 'never', not {transcode!r}.")
    if via not in {"dimse", "web"}:
        raise InputError(f"via is 'dimse' or 'web', not {via!r}.")
    if associations < 1:
        raise InputError(f"associations is 1 or more, not {associations}.")
    peer = as_peer(peer)
    items, bad = look_at(sources)
    policy = policy or Sending()
    policy = replace(policy, retry=retry or policy.retry)
    if (policy.per == "instance" or policy.no_context == "abort") and associations > 1:
        what = "one association per instance" if policy.per == "instance" else "aborting where a context lacks"
        raise InputError(f"A policy of {what} holds one at once: associations is 1 with it.")
    job = Job(peer, len(items) + len(bad), transcode == "lossless", policy, progress, cancel)
    for index, name, reason in bad:
        job.settle(index, StoreRow(name, "", "", StoreOutcome.REFUSED, None, reason, "", "", 0))
    batches: Iterable[tuple[Sequence[PresentationContext], list[Outgoing]]] = [((), items)]
    if via == "dimse":
        groups = ([item] for item in items) if policy.per == "instance" else [items]
        batches = (batch for group in groups for batch in _batches(group, recode=job.recode))
    for contexts, batch in batches:
        job.start(batch)
        if not job.halted:
            _run([_Associated(job, contexts) if contexts else WebSender(job) for _ in range(min(associations, len(batch)))])
        job.finish()
    report = StoreReport(row for _, row in sorted(job.rows.items()))
    log.info("stored %d of %d instances at %s", len(report) - len(report.troubles), len(report), peer)
    return report


def _batches(items: Sequence[Outgoing], *, recode: bool) -> Iterator[tuple[list[PresentationContext], list[Outgoing]]]:
    """Yield what can go through one association: 128 contexts at most, one a pair of SOP class and transfer syntax."""
    groups: dict[tuple[str, str], list[Outgoing]] = {}
    for item in items:
        groups.setdefault((item.sop_class_uid, item.transfer_syntax_uid), []).append(item)
    wanted: dict[tuple[str, str], None] = {}
    batch: list[Outgoing] = []
    for (sop_class_uid, syntax), group in groups.items():
        targets = TARGETS if recode and group[0].can_change else ()
        more = dict.fromkeys((sop_class_uid, each) for each in (syntax, *targets))
        if len(wanted | more) > MAX_CONTEXTS:
            yield [build_context(UID(uid), one) for uid, one in wanted], batch
            wanted, batch = {}, []
        wanted |= more
        batch += group
    if batch:
        yield [build_context(UID(uid), one) for uid, one in wanted], batch


def _run(senders: Sequence[Sender]) -> None:
    if len(senders) < 2:
        for sender in senders:
            sender.run()
        return
    with ThreadPoolExecutor(len(senders), thread_name_prefix="store") as pool:
        runs = [pool.submit(copy_context().run, sender.run) for sender in senders]  # a trace goes with them
        try:
            for run in runs:
                run.result()
        except BaseException:
            senders[0].job.stopped.set()
            raise


class _Associated(Sender):
    """Sends through associations, one after the other."""

    def __init__(self, job: Job, contexts: Sequence[PresentationContext]) -> None:
        super().__init__(job)
        self.contexts = contexts
        self.message_id = 0

    def attempt(self) -> None:
        """Send what waits through one association."""
        with associate(self.job.peer, self.contexts) as association:
            self._send_all(association)

    def _send_all(self, association: Association) -> None:
        """Send through one association; the next instance is opened while the peer works on the last one."""
        accepted = {
            (str(context.abstract_syntax), str(context.transfer_syntax[0])): int(context.context_id or 0)
            for context in association.accepted_contexts
        }
        maximum = int(association.acceptor.maximum_length or 0)
        channel = Channel(take_over(association), maximum_bytes=maximum, timeouts=self.job.peer.timeouts)
        if self.job.policy.no_context == "abort" and self._refuse_unfit(accepted):
            channel.abort()
            return
        ready = self._next(accepted)
        try:
            while ready and not self.job.halted:
                sent, ready = ready, None
                if not self._send(channel, sent):
                    return
                ready = self._next(accepted)
                self._settle(channel, sent)
            if not self.job.aborts:
                channel.release()
        finally:
            if ready:
                ready.content.close()
                self.job.waiting.appendleft(ready.item)
            if channel.is_open:
                channel.abort()

    def _refuse_unfit(self, accepted: dict[tuple[str, str], int]) -> bool:
        """Settle what waits and has no context here; whether there is any."""
        unfit = [item for item in self.job.waiting if not self._syntax(item, accepted)]
        for item in unfit:
            self.job.waiting.remove(item)
            self.job.row(item, StoreOutcome.REFUSED, f"{_no_context(self.job, item)} The association was aborted.")
        return bool(unfit)

    def _syntax(self, item: Outgoing, accepted: dict[tuple[str, str], int]) -> str:
        """Return in which transfer syntax an instance can go; empty where in none."""
        syntaxes = (item.transfer_syntax_uid, *(TARGETS if self.job.recode and item.can_change else ()))
        return next((syntax for syntax in syntaxes if (item.sop_class_uid, syntax) in accepted), "")

    def _next(self, accepted: dict[tuple[str, str], int]) -> "_Ready | None":
        """Return the next instance that can be sent, opened."""
        while item := self.job.take():
            syntax = self._syntax(item, accepted)
            if not syntax:
                self.job.row(item, StoreOutcome.REFUSED, _no_context(self.job, item))
                continue
            try:
                named, content = opened(item, transfer_syntax_uid=syntax)
            except OSError as error:
                self.job.row(item, StoreOutcome.REFUSED, f"The file can't be read: {error.strerror}.")
            except WorkbenchError as error:
                self.job.row(item, StoreOutcome.REFUSED, str(error))
            else:
                return _Ready(named, content, syntax, accepted[item.sop_class_uid, syntax])
        return None

    def _send(self, channel: Channel, ready: "_Ready") -> bool:
        """Send one instance; return whether the association can go on."""
        item, self.message_id = ready.item, self.message_id % 65_535 + 1
        command = store_request(item.sop_class_uid, item.sop_instance_uid, message_id=self.message_id)
        try:
            channel.send(ready.context_id, command, ready.content, cancel=self.job.is_cancelled)
        except Cancelled:
            self.job.row(item, StoreOutcome.FAILED, "Cancelled while it was sent; the association was aborted.")
            return False
        except (DatasetIncomplete, OSError) as error:
            self.job.row(item, StoreOutcome.REFUSED, f"It could not be read to its end: {error}")
            return False
        except NetworkError as error:
            self.no_answer(item, error)
            raise
        finally:
            ready.content.close()
        return True

    def _settle(self, channel: Channel, sent: "_Ready") -> None:
        try:
            response = channel.response(self.message_id)
        except NetworkError as error:
            self.no_answer(sent.item, error)
            raise
        self.answered += 1
        outcome, message = _judged(response)
        if sent.syntax != sent.item.transfer_syntax_uid:
            message += f" Sent in {UID(sent.syntax).name}, since the peer does not take {UID(sent.item.transfer_syntax_uid).name}."
        self.job.row(sent.item, outcome, message, status=response.status, sent=sent.syntax, size=sent.content.size)


@dataclass(frozen=True, slots=True)
class _Ready:
    """An instance that can be sent."""

    item: Outgoing
    content: Content
    syntax: str
    context_id: int


def _judged(response: Response) -> tuple[StoreOutcome, str]:
    """Return outcome and words for a response (PS3.4 B.2.3); an empty status proves nothing."""
    status = response.status
    said = f" The peer says: {response.comment!r}." if response.comment else ""
    if status is None:
        return StoreOutcome.UNKNOWN, f"The response has no status (PS3.7 9.3.1.2): it may or may not be stored.{said}"
    if status == 0:
        return StoreOutcome.STORED, f"Stored.{said}"
    is_warning = status >> 12 == 0xB or status in {0x0001, 0x0107, 0x0116}
    text = f"Status 0x{status:04X}, {words(status)} (PS3.4 B.2.3).{said}"
    return (StoreOutcome.WARNING, f"Stored, with a warning. {text}") if is_warning else (StoreOutcome.FAILED, text)


def _no_context(job: Job, item: Outgoing) -> str:
    name, syntax = UID(item.sop_class_uid).name, UID(item.transfer_syntax_uid)
    text = f"{job.peer} takes {name} in no transfer syntax in which it can be sent without loss; its own is {syntax.name}."
    if not job.recode:
        return f"{text} Pass transcode='lossless' to send it uncompressed where that loses nothing."
    if not item.can_change:
        return f"{text} That one can't be left without a decoder, and is sent verbatim or not at all (PS3.5 A)."
    return text
