"""One tree of exceptions: raise the leaf, catch the branch.

::

    WorkbenchError
    ├── InputError                     what was passed can't be used (also a ValueError)
    │   ├── AttributeUnusable          an attribute is missing, empty or out of range
    │   ├── BuildRefused               a derived object can't be built from this
    │   ├── KeyRefused                 a secret key is absent or badly kept
    │   ├── PixelDataUnusable          pixels can't be decoded or shown
    │   ├── ProfileInvalid             a device profile that is not written as one
    │   ├── ProfileUnknown             no device profile of that name
    │   ├── QueryKeyInvalid            a key that the query model does not have
    │   └── UidInvalid                 not a UID by PS3.5 9.1
    ├── FileError                      a file or a byte string
    │   ├── NotDicom                   no DICOM in it
    │   ├── DatasetIncomplete          it ends too early
    │   └── LimitExceeded              deeper or larger than the limit that was set
    ├── ArchiveError                   the archive
    │   ├── InstanceConflict           the same UID with other bytes
    │   ├── InstanceNotFound           no such instance
    │   └── StorageFull                no space left
    ├── NetworkError                   the other side, or the way to it
    │   ├── PeerUnreachable            no such name, or nobody answers
    │   ├── PeerTimeout                connected, then silent for too long
    │   ├── AssociationRejected        A-ASSOCIATE-RJ (PS3.8 9.3.4)
    │   ├── AssociationAborted         A-ABORT or a lost connection
    │   ├── ContextRejected            no presentation context for the task
    │   ├── OutcomeUnknown             sent, but no answer: may or may not be there
    │   ├── PeerUnknown                not in the address book
    │   ├── StatusFailure              a DIMSE or HTTP status that says no
    │   └── ServerRefused              our own server can't start
    ├── ToolMissing                    a program that is not installed
    ├── NotVerified                    a step of a flow whose result was not proven
    └── Cancelled                      the caller asked to stop

A message says what was wanted, what is lacking and where, by which section of the
standard, and what to do. It never holds a patient's value.
"""

from typing import Any

__all__ = [
    "ArchiveError",
    "AssociationAborted",
    "AssociationRejected",
    "AttributeUnusable",
    "BuildRefused",
    "Cancelled",
    "ContextRejected",
    "DatasetIncomplete",
    "FileError",
    "InputError",
    "InstanceConflict",
    "InstanceNotFound",
    "KeyRefused",
    "LimitExceeded",
    "NetworkError",
    "NotDicom",
    "NotVerified",
    "OutcomeUnknown",
    "PeerTimeout",
    "PeerUnknown",
    "PeerUnreachable",
    "PixelDataUnusable",
    "ProfileInvalid",
    "ProfileUnknown",
    "QueryKeyInvalid",
    "ServerRefused",
    "StatusFailure",
    "StorageFull",
    "ToolMissing",
    "UidInvalid",
    "WorkbenchError",
]


class WorkbenchError(Exception):
    """Anything that the workbench refuses or can't do."""


class InputError(WorkbenchError, ValueError):
    """What was passed can't be used."""


class AttributeUnusable(InputError):
    """An attribute is missing, empty or out of range."""


class BuildRefused(InputError):
    """A derived object can't be built from what was given."""


class KeyRefused(InputError):
    """A secret key is absent, too short or kept where others can read it."""


class PixelDataUnusable(InputError):
    """Pixels can't be decoded or shown."""


class ProfileInvalid(InputError):
    """A device profile that is not written as one, or lacks what is asked of it."""


class ProfileUnknown(InputError):
    """No device profile of that name."""


class QueryKeyInvalid(InputError):
    """A query key that the information model does not have at this level."""


class UidInvalid(InputError):
    """Not a unique identifier by PS3.5 9.1."""


class FileError(WorkbenchError):
    """A file or byte string can't be used."""


class NotDicom(FileError):
    """No DICOM dataset was found."""


class DatasetIncomplete(FileError):
    """A dataset ends too early."""


class LimitExceeded(FileError):
    """Deeper or larger than the limit that was set."""


class ArchiveError(WorkbenchError):
    """The archive can't do it."""


class InstanceConflict(ArchiveError):
    """An instance with the same UID and other bytes is already there; both are kept."""


class InstanceNotFound(ArchiveError):
    """The archive has no such instance."""


class StorageFull(ArchiveError):
    """No space is left on the device; nothing was kept of this instance."""


class NetworkError(WorkbenchError):
    """The other side, or the way to it.

    Attributes
    ----------
    layer : str
        Where it went wrong: name, tcp, tls, association, identity, context, dimse or web; empty where that is not known.
    remedy : str
        What to try: the end of the message.
    """

    layer: str = ""
    remedy: str = ""


class PeerUnreachable(NetworkError):
    """No such host name, or nobody answers at that port."""


class PeerTimeout(NetworkError):
    """The peer was connected, then silent for too long."""


class AssociationRejected(NetworkError):
    """The peer sent A-ASSOCIATE-RJ (PS3.8 9.3.4).

    Parameters
    ----------
    message : str
        What a person reads.
    result, source, reason : int
        As sent: result 1 is permanent and 2 transient.
    """

    def __init__(self, message: str, *, result: int = 0, source: int = 0, reason: int = 0) -> None:
        super().__init__(message)
        self.result, self.source, self.reason = result, source, reason

    @property
    def transient(self) -> bool:
        """Whether the peer says that trying again may help."""
        return self.result == 2

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rejected, (self.args[0], self.result, self.source, self.reason))


def _rejected(message: str, result: int, source: int, reason: int) -> AssociationRejected:
    return AssociationRejected(message, result=result, source=source, reason=reason)


class AssociationAborted(NetworkError):
    """A-ABORT, or the connection was lost.

    Attributes
    ----------
    by_peer : bool
        Whether it is known that the peer sent A-ABORT.
    """

    by_peer: bool = False


class ContextRejected(NetworkError):
    """The peer accepted no presentation context for the task."""


class OutcomeUnknown(NetworkError):
    """A request was sent and no answer came: it may or may not have been carried out."""


class PeerUnknown(NetworkError):
    """The address book has no peer of that name."""


class StatusFailure(NetworkError):
    """The peer answered with a status that says no.

    Parameters
    ----------
    message : str
        What a person reads.
    status : int
        DIMSE status (PS3.7 Annex C) or HTTP status code.
    """

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        return (_failed, (self.args[0], self.status))


def _failed(message: str, status: int) -> StatusFailure:
    return StatusFailure(message, status=status)


class ServerRefused(NetworkError):
    """Our own server can't start, for example because the port is taken."""


class ToolMissing(WorkbenchError):
    """A program that this needs is not installed."""


class NotVerified(WorkbenchError):
    """A step of a flow ended, but its result was not proven."""


class Cancelled(WorkbenchError):
    """The caller asked to stop; what was finished until then is kept."""
