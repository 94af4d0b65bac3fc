"""Storage SOP classes and transfer syntaxes: PS3.6 A, and the private ones that real systems name.

Knows: the tables beside it.
Does not know: what a peer supports.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal

from workbench.entities import Rows

__all__ = [
    "StorageClass",
    "StorageClasses",
    "TransferSyntax",
    "TransferSyntaxes",
    "storage_classes",
    "transfer_syntax",
    "transfer_syntaxes",
]

Origin = Literal["standard", "retired", "private"]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A UID of a table.

    Parameters
    ----------
    uid, name : str
        As PS3.6 or the source says.
    origin : str
        ``standard``, ``retired`` or ``private``.
    source : str
        Document, edition and table.
    """

    uid: str
    name: str
    origin: Origin
    source: str


@dataclass(frozen=True, slots=True)
class StorageClass(_Entry):
    """A storage SOP class (PS3.4 B.5) with its `uid`, `name`, `origin` and `source`."""


@dataclass(frozen=True, slots=True)
class TransferSyntax(_Entry):
    """A transfer syntax (PS3.5 10 and A) with its `uid`, `name`, `origin` and `source`, and how it encodes.

    Parameters
    ----------
    is_explicit, is_little_endian, is_deflated : bool
        How the dataset is encoded.
    is_encapsulated : bool
        Whether Pixel Data is a sequence of fragments (PS3.5 A.4).
    is_lossy : bool
        Whether the process can lose information; False where it is lossless by definition.
    """

    is_explicit: bool
    is_little_endian: bool
    is_deflated: bool
    is_encapsulated: bool
    is_lossy: bool


class StorageClasses(Rows[StorageClass]):
    """Storage SOP classes in the order of their UIDs."""

    __slots__ = ()
    row_type = StorageClass


class TransferSyntaxes(Rows[TransferSyntax]):
    """Transfer syntaxes in the order of their UIDs."""

    __slots__ = ()
    row_type = TransferSyntax


def _rows(name: str) -> list[dict[str, Any]]:
    text = files("workbench.standard").joinpath("tables", name).read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = json.loads(text)["rows"]
    return rows


@cache
def storage_classes() -> StorageClasses:
    """Return every storage SOP class that is known: standard, retired, and private ones of real systems.

    Examples
    --------
    >>> next(c.name for c in storage_classes() if c.uid == "1.2.840.10008.5.1.4.1.1.2")
    'CT Image Storage'
    """
    return StorageClasses(StorageClass(**row) for row in _rows("storage_classes.json"))


@cache
def transfer_syntaxes() -> TransferSyntaxes:
    """Return every transfer syntax that is known: standard, retired, and private ones of real systems."""
    return TransferSyntaxes(TransferSyntax(**row) for row in _rows("transfer_syntaxes.json"))


@cache
def _by_uid() -> MappingProxyType[str, TransferSyntax]:
    return MappingProxyType({syntax.uid: syntax for syntax in transfer_syntaxes()})


def transfer_syntax(uid: str) -> TransferSyntax:
    """Return a transfer syntax by its UID; one that is not known is taken for encapsulated, explicit and lossy (PS3.5 A.4).

    Examples
    --------
    >>> transfer_syntax("1.2.840.10008.1.2.4.70").is_lossy
    False
    """
    known = _by_uid().get(uid)
    return known or TransferSyntax(
        uid, uid, "private", "not known",
        is_explicit=True, is_little_endian=True, is_deflated=False, is_encapsulated=True, is_lossy=True,
    )  # fmt: skip
