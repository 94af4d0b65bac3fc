"""The bones of an encoded dataset: every element's place and length, without its meaning.

Knows: PS3.5 7 (elements, items, delimiters) in all byte orders, PS3.5 A.4 (fragments).
Does not know: what values mean; pydicom's dictionary tells which implicit elements are sequences.
"""

import struct
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from pydicom.datadict import dictionary_VR

from workbench.errors import LimitExceeded
from workbench.files.encoding import Encoding, Source

__all__ = ["Element", "Ending", "Structure", "walk"]

UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG = frozenset((b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UR", b"UT", b"UN", b"SV", b"UV"))
_SEQUENCES = frozenset((b"SQ", b"UN"))
_PIXELS = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
#: Values up to this length are kept for the checks that follow, so that UIDs and counts needn't be read twice.
_KEPT_BYTES = 128


class Ending(StrEnum):
    """How the walk ended."""

    WHOLE = "whole"
    CUT = "cut"  # the bytes end within an element
    PADDED = "padded"  # something that is no element follows the last one
    BROKEN = "broken"  # an element that can't be one, in the middle


class Element(NamedTuple):
    """An element of the top level."""

    tag: int
    representation: bytes
    offset: int
    value_offset: int
    length: int
    value: bytes


@dataclass(slots=True)
class Structure:
    """What the walk found.

    Parameters
    ----------
    top : list of Element
        The complete elements of the top level, in order.
    ending : Ending
        How it ended.
    end : int
        Where the last complete element of the top level ends.
    where : str
        The path of tags to the place where it ended, for other endings than `Ending.WHOLE`.
    wanted, found : int
        Bytes that the cut element needs, and that are there.
    depth : int
        Deepest nesting of sequences.
    notes : list of str
        What is odd on the way.
    unknowns : list of (int, int)
        Where the values of UN of undefined length begin that stand in big endian, and how long they are, delimiter included.
    """

    top: list[Element] = field(default_factory=list)
    ending: Ending = Ending.WHOLE
    end: int = 0
    where: str = ""
    wanted: int = 0
    found: int = 0
    depth: int = 0
    notes: list[str] = field(default_factory=list)
    unknowns: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class _Level:
    """A sequence, an item, or a run of fragments that is open."""

    kind: str  # "dataset", "sequence", "fragments"
    tag: int
    end: int  # where it ends by its own length; -1 where a delimiter ends it
    is_explicit: bool
    order: str
    unknown: int = 0  # where it begins, if it is UN of undefined length in big endian


class _Cut(Exception):
    def __init__(self, ending: Ending, offset: int, wanted: int, found: int, tag: int | None = None) -> None:
        super().__init__()
        self.ending, self.offset, self.wanted, self.found, self.tag = ending, offset, wanted, found, tag


def walk(source: Source, offset: int, encoding: Encoding, *, nesting_limit: int = 64) -> Structure:
    """Return the structure of the dataset that begins at `offset` of `source`.

    Values are skipped, not read. It never recurses, so that no nesting can exhaust the stack.

    Raises
    ------
    LimitExceeded
        If sequences are nested deeper than `nesting_limit`.
    """
    return _Walk(source, encoding, nesting_limit).run(offset)


class _Walk:
    def __init__(self, source: Source, encoding: Encoding, nesting_limit: int) -> None:
        self.source, self.limit = source, nesting_limit
        self.order = "<" if encoding.is_little_endian else ">"
        self.is_explicit = encoding.is_explicit
        self.stack: list[_Level] = []
        self.structure = Structure()
        self.position = 0
        self.pending: tuple[int, bytes, int, int, int] | None = None  # the element of the top level that is open
        self.highest = -1
        self.overlong: tuple[str, int, int] | None = None

    def run(self, offset: int) -> Structure:
        self.position = self.structure.end = offset
        while True:
            try:
                self._plain()
                while self._step():
                    if not self.stack:
                        self._plain()
            except _Cut as cut:
                if self._resume(cut):
                    continue
                self._stopped(cut)
            if self.overlong and self.structure.ending is not Ending.BROKEN:
                self.structure.ending = Ending.CUT
                self.structure.where, self.structure.wanted, self.structure.found = self.overlong
            return self.structure

    # ------------------------------------------------------------ the usual: a run of plain values
    def _plain(self) -> None:
        """Pass over values of the top level as long as nothing about them is unusual; leave the rest to `_step`."""
        if not self.is_explicit:
            return
        short, long = struct.Struct(self.order + "HH2sH"), struct.Struct(self.order + "I")
        at, size, top, highest, position = self.source.at, self.source.size, self.structure.top, self.highest, self.position
        while size - position >= 12:
            head = at(position, 12)
            group, number, representation, length = short.unpack_from(head)
            tag = group << 16 | number
            value_offset = position + 8
            if representation in _LONG:
                (length,) = long.unpack_from(head, 8)
                value_offset += 4
            end = value_offset + length
            if tag <= highest or group <= 2 or group >= 0xFFFE or length & 1 or end > size or representation in _SEQUENCES:
                break
            top.append(
                Element(
                    tag, representation, position, value_offset, length, at(value_offset, length) if length <= _KEPT_BYTES else b""
                )
            )
            highest, position = tag, end
        self.highest, self.position, self.structure.end = highest, position, position

    # ------------------------------------------------------------ one step
    def _step(self) -> bool:
        while self.stack and self.stack[-1].end == self.position:
            self._close()
        bound = self._bound()
        left = bound - self.position
        if not left and not self.stack:
            return False
        if left < 8:
            raise _Cut(self._short(left), self.position, 8, left)
        level = self.stack[-1] if self.stack else None
        if level is None or level.kind == "dataset":
            return self._element(level, bound, left)
        return self._item(level, bound)

    def _short(self, left: int) -> Ending:
        is_padding = not self.stack and not any(self.source.at(self.position, left))
        return Ending.PADDED if is_padding else Ending.CUT

    def _bound(self) -> int:
        """Return where the innermost level that has a length ends."""
        return next((level.end for level in reversed(self.stack) if level.end >= 0), self.source.size)

    def _element(self, level: _Level | None, bound: int, left: int) -> bool:
        order, is_explicit = (level.order, level.is_explicit) if level else (self.order, self.is_explicit)
        head = self.source.at(self.position, 12)
        group, number = struct.unpack_from(order + "HH", head)
        tag = group << 16 | number
        if group == 0xFFFE and number in (0xE00D, 0xE0DD):
            self._delimiter(level, tag)
            return True
        if level is None and not tag and not any(head[:8]):
            raise _Cut(Ending.PADDED, self.position, 0, left)
        representation, header, length = _lengths(head, order, is_explicit=is_explicit)
        if header == 12 and left < 12:
            raise _Cut(Ending.CUT, self.position, 12, left)
        if group in (0, 2, 0xFFFE) or (level is None and tag <= self.highest):
            self._misplaced(level, tag)
        if level is None:
            self.highest = tag
        self._value(tag, representation, self.position + header, length, bound)
        return True

    def _misplaced(self, level: _Level | None, tag: int) -> None:
        where = self._where(tag)
        if tag >> 16 in (0, 0xFFFE):
            raise _Cut(Ending.BROKEN, self.position, 0, 0)
        self._note(
            f"{where} stands out of order or twice (PS3.5 7.1)" if level is None else f"{where} does not belong in a sequence"
        )

    def _value(self, tag: int, representation: bytes, value_offset: int, length: int, bound: int) -> None:
        if not self.stack:
            self.pending = (tag, representation, self.position, value_offset, length)
        kind = _kind(tag, representation, length)
        left = bound - value_offset
        if length != UNDEFINED and length > left:
            if kind == "value":
                raise _Cut(Ending.CUT, self.position, length, left, tag)
            self._overlong(tag, length, left)
            length = left
        if kind == "value":
            self.position = value_offset + length
            if length % 2:
                self._note(f"{self._where(tag)} has an odd length (PS3.5 7.1)")
            if not self.stack:
                self._finish()
            return
        is_unknown = representation == b"UN"
        parent = self.stack[-1] if self.stack else None
        is_turned = is_unknown and length == UNDEFINED and (parent.order if parent else self.order) == ">"
        self.stack.append(
            _Level(
                kind, tag, value_offset + length if length != UNDEFINED else -1,
                is_explicit=not is_unknown and (parent.is_explicit if parent else self.is_explicit),
                order="<" if is_unknown else parent.order if parent else self.order,
                unknown=value_offset if is_turned else 0,
            )
        )  # fmt: skip
        self.position = value_offset
        self._check_depth()

    def _overlong(self, tag: int, length: int, left: int) -> None:
        """Remember a sequence that claims more than there is, and look into what there is."""
        if self.overlong is None and not any(level.end >= 0 for level in self.stack):
            self.overlong = (self._where(tag), length, left)

    def _item(self, level: _Level, bound: int) -> bool:
        group, number, length = struct.unpack(level.order + "HHI", self.source.at(self.position, 8))
        tag = group << 16 | number
        start = self.position + 8
        if tag == _SEQUENCE_END and level.end < 0:
            self.position = start
            self._close()
        elif tag != _ITEM:
            raise _Cut(Ending.BROKEN, self.position, 0, 0)
        elif level.kind == "fragments":
            if length > bound - start:
                raise _Cut(Ending.CUT, self.position, length, bound - start)
            self.position = start + length
        else:
            end = -1 if length == UNDEFINED else min(start + length, bound)
            if length != UNDEFINED and length > bound - start:
                self._overlong(level.tag, length, bound - start)
            # some writers put implicit items into explicit sequences: the first element of the item shows it
            representation = self.source.at(start + 4, 2)
            is_explicit = level.is_explicit and (end == start or representation.isalpha() or representation == b"\0\0")
            self.stack.append(_Level("dataset", level.tag, end, is_explicit=is_explicit, order=level.order))
            self.position = start
        return True

    def _delimiter(self, level: _Level | None, tag: int) -> None:
        self.position += 8
        if level is not None and level.end < 0 and tag == _ITEM_END:
            self._close()
        else:
            self._note(f"a delimiter stands where nothing is open, near {self._where(tag)} (PS3.5 7.5)")

    # ------------------------------------------------------------ levels
    def _check_depth(self) -> None:
        depth = sum(level.kind != "dataset" for level in self.stack) if self.stack[-1].kind == "sequence" else 0
        self.structure.depth = max(self.structure.depth, depth)
        if depth > self.limit:
            raise LimitExceeded(
                f"Sequences are nested deeper than {self.limit} levels, at byte {self.position}. "
                "Pass limits=Limits(nesting=...) if that is what they should be."
            )

    def _close(self) -> None:
        level = self.stack.pop()
        if level.unknown:
            self.structure.unknowns.append((level.unknown, self.position - level.unknown))
        if not self.stack:
            self._finish()

    def _finish(self) -> None:
        """Keep the element of the top level that has just ended."""
        if self.overlong is not None or self.pending is None:
            return  # it claims more than there is
        tag, representation, offset, value_offset, length = self.pending
        value = self.source.at(value_offset, length) if length <= _KEPT_BYTES else b""
        self.structure.top.append(Element(tag, representation, offset, value_offset, length, value))
        self.structure.end = self.position

    def _resume(self, cut: _Cut) -> bool:
        """Go on after a broken value whose own length is known; return whether there is one."""
        for index, level in enumerate(self.stack):
            if level.end >= 0 and self.overlong is None:
                self._note(f"{self._where(level.tag)} is malformed inside, at byte {cut.offset}")
                del self.stack[index + 1 :]
                self.position = level.end
                return True
        return False

    def _stopped(self, cut: _Cut) -> None:
        self.structure.ending, self.structure.wanted, self.structure.found = cut.ending, cut.wanted, cut.found
        self.structure.where = f"{self._where(cut.tag)} at byte {cut.offset}".strip()

    def _where(self, tag: int | None) -> str:
        tags = [level.tag for level in self.stack if level.kind != "dataset"] + ([tag] if tag is not None else [])
        return " > ".join(f"({t >> 16:04X},{t & 0xFFFF:04X})" for t in (tags if len(tags) < 4 else [*tags[:2], tags[-1]]))

    def _note(self, text: str) -> None:
        if len(self.structure.notes) < 20:
            self.structure.notes.append(text)


def _lengths(head: bytes, order: str, *, is_explicit: bool) -> tuple[bytes, int, int]:
    """Return value representation, header size and value length of an element (PS3.5 7.1.2, 7.1.3)."""
    representation = head[4:6]
    if is_explicit and representation in _LONG:
        return representation, 12, struct.unpack(order + "I", head[8:12])[0] if len(head) == 12 else 0
    if is_explicit:
        return representation, 8, struct.unpack(order + "H", head[6:8])[0]
    return b"", 8, struct.unpack(order + "I", head[4:8])[0]


def _kind(tag: int, representation: bytes, length: int) -> str:
    if length == UNDEFINED:
        return "fragments" if tag in _PIXELS or representation not in (b"SQ", b"UN", b"") else "sequence"
    if representation == b"SQ" or (representation in (b"", b"UN") and _is_sequence(tag)):
        return "sequence"
    return "value"


def _is_sequence(tag: int) -> bool:
    try:
        return dictionary_VR(tag) == "SQ"
    except KeyError:
        return False
