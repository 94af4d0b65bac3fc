r"""Character sets: from bytes to text and back, and nothing is lost on the way.

Knows: every defined term of PS3.3 C.12.1.1.2, code extensions (PS3.5 6.1.2.5, ISO 2022), and where pydicom turns bytes into
text and text into bytes.
Does not know: what the text says.

A byte that its character set can't explain becomes a character of its own, one of U+EF00 to U+EFFF in the private use area.
It survives tables, databases and JSON, shows itself as ``\xFC`` in whatever is displayed, and is written as the same byte
again: never U+FFFD, never ``?``.

pydicom decodes and encodes text by the functions of this module from the moment it is imported (see `install`). Beyond that,
pydicom alone does not know ISO_IR 203, leaves escape sequences of ISO 2022 IR 58 in the text, designates a set of Korean or
Chinese characters for the first line of a text only, and replaces what it can't encode by question marks.
"""

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import pydicom.charset
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filewriter import writers
from pydicom.hooks import hooks, raw_element_value
from pydicom.multival import MultiValue
from pydicom.valuerep import VR, PersonName

from workbench.entities import ESCAPED_BYTES

__all__ = ["MULTI_BYTE", "TERMS", "NotEncodable", "decoded", "encoded", "encodings_of_terms", "escaped_bytes", "install",
           "is_ascii", "spelled"]  # fmt: skip

#: Value representations whose characters are those of Specific Character Set (PS3.5 6.1.2.3).
TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_ONE_VALUE = frozenset({"LT", "ST", "UT"})
_ESC = 0x1B
_C1 = re.compile("[\x80-\x9f]")
_ODD = re.compile(f"[\x1b{chr(ESCAPED_BYTES)}-{chr(ESCAPED_BYTES + 0xFF)}]")
_STANDING_IN = re.compile("[\udc00-\udcff]")
_ESCAPES = re.compile(f"[{chr(ESCAPED_BYTES)}-{chr(ESCAPED_BYTES + 0xFF)}]")
_ONE, _SEVERAL, _NAMES = "\t\n\f\r", "\t\n\f\r\\", "\t\n\f\r\\^="  # they end what was designated (PS3.5 6.1.2.5.3)
_BREAKS = {"PN": _NAMES, "LT": _ONE, "ST": _ONE, "UT": _ONE}
_HANDLER = "workbench.escaped"
_STANDINS = 0xDC00  # lone surrogates, which no decoder gives


class NotEncodable(ValueError):
    """A text has characters that its character set does not have."""


@dataclass(frozen=True)
class _Set:
    """A set of characters that an escape sequence designates (PS3.3 Tables C.12-3 and C.12-4).

    Parameters
    ----------
    escape : bytes
        The sequence, without ESC.
    codec : str
        The Python codec that holds its characters.
    lead : bytes
        What stands before its codes in that codec.
    width : int
        Bytes a character.
    is_g1 : bool
        Whether its codes have the highest bit set.
    """

    escape: bytes
    codec: str
    width: int = 1
    is_g1: bool = True
    lead: bytes = b""

    def character(self, code: bytes) -> str | None:
        """Return the character of a code; None where there is none."""
        high = bytes(byte | 0x80 for byte in code) if self.width == 2 else code
        try:
            text = (self.lead + high).decode(self.codec)
        except UnicodeDecodeError:
            return None
        return text if len(text) == 1 and not 0x80 <= ord(text) < 0xA0 else None

    def code(self, character: str) -> bytes | None:
        """Return the code of a character; None where it has none."""
        try:
            encoded = character.encode(self.codec)
        except UnicodeEncodeError:
            return None
        if not encoded.startswith(self.lead) or len(encoded) != len(self.lead) + self.width or encoded[-1] < 0xA0:
            return None
        code = encoded[len(self.lead) :]
        if self.width == 2 and code[0] < 0xA0:
            return None
        return code if self.is_g1 else bytes(byte & 0x7F for byte in code)


_ASCII = _Set(b"(B", "ascii", is_g1=False)
_ROMAN = _Set(b"(J", "ascii", is_g1=False)  # JIS X 0201: yen sign and overline stand for the codes of backslash and tilde
_KANJI = _Set(b"$B", "euc_jp", 2, is_g1=False)
_MORE_KANJI = _Set(b"$(D", "euc_jp", 2, is_g1=False, lead=b"\x8f")
_KATAKANA = _Set(b")I", "shift_jis")
_KOREAN = _Set(b"$)C", "euc_kr", 2)
_CHINESE = _Set(b"$)A", "gb2312", 2)
_LATIN_1 = _Set(b"-A", "latin_1")

#: pydicom's name of each set with code extensions: what is designated from the start, and what an escape sequence may add.
_SETS: dict[str, tuple[_Set, ...]] = {
    "iso8859": (_ASCII,),
    "shift_jis": (_ROMAN, _KATAKANA),
    "iso2022_jp": (_KANJI,),
    "iso2022_jp_2": (_MORE_KANJI,),
    "euc_kr": (_KOREAN,),
    "iso_ir_58": (_CHINESE,),
    "GB2312": (_CHINESE,),
    "latin_1": (_LATIN_1,),
    "iso8859_2": (_Set(b"-B", "iso8859_2"),),
    "iso8859_3": (_Set(b"-C", "iso8859_3"),),
    "iso8859_4": (_Set(b"-D", "iso8859_4"),),
    "iso_ir_126": (_Set(b"-F", "iso8859_7"),),
    "iso_ir_127": (_Set(b"-G", "iso8859_6"),),
    "iso_ir_138": (_Set(b"-H", "iso8859_8"),),
    "iso_ir_144": (_Set(b"-L", "iso8859_5"),),
    "iso_ir_148": (_Set(b"-M", "iso8859_9"),),
    "iso_ir_166": (_Set(b"-T", "iso8859_11"),),
    "iso8859_15": (_Set(b"-b", "iso8859_15"),),
}
_SINGLE = (6, 13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 203)
_DOUBLE = (58, 87, 149, 159)

_DEFAULT = frozenset({"", "ISO 2022 IR 6"})
#: The defined terms of Specific Character Set (PS3.3 Tables C.12-2 to C.12-5).
TERMS = frozenset(
    [f"ISO_IR {number}" for number in _SINGLE if number != 6]
    + [f"ISO 2022 IR {number}" for number in (*_SINGLE, *_DOUBLE)]
    + ["ISO_IR 192", "GB18030", "GBK"]
)
#: Those of two bytes a character: they come after one of single bytes, which may be the default (PS3.3 Table C.12-4).
MULTI_BYTE = frozenset(f"ISO 2022 IR {number}" for number in _DOUBLE)


# ------------------------------------------------------------ bytes to text
def decoded(raw: bytes, encodings: str | Sequence[str], *, vr: str = "LO") -> str:
    r"""Return encoded text; a byte that can't be decoded becomes a character of its own (see the module).

    Parameters
    ----------
    raw : bytes
        A whole value, or several with their backslashes.
    encodings : str or sequence of str
        Python codecs, as pydicom's ``convert_encodings`` gives them for Specific Character Set (0008,0005).
    vr : str
        Value representation: it says which delimiters end what was designated.

    Examples
    --------
    >>> decoded(b"\xfb\xf3^\x1b$)C\xd1\xce", ["iso8859", "euc_kr"], vr="PN").encode("ascii", "backslashreplace")
    b'\\ueffb\\ueff3^\\u5409'
    """
    if raw.isascii() and _ESC not in raw:
        return raw.decode("ascii")
    return _coder((encodings,) if isinstance(encodings, str) else tuple(encodings)).decode(raw, _BREAKS.get(vr, _SEVERAL))


def encoded(text: str, encodings: str | Sequence[str], *, vr: str = "LO") -> bytes:
    """Return text as bytes, with the escape sequences that it needs.

    Raises
    ------
    NotEncodable
        If a character is in none of the sets.
    """
    if text.isascii():
        return text.encode("ascii")
    return _coder((encodings,) if isinstance(encodings, str) else tuple(encodings)).encode(text, _BREAKS.get(vr, _SEVERAL))


def escaped_bytes(text: str) -> int:
    """Return how many bytes of a decoded text could not be decoded; one for each escape sequence that was not declared."""
    return len(_ODD.findall(text))


def spelled(text: str) -> str:
    r"""Return text with bytes that could not be decoded spelled out, in characters that every peer has.

    Examples
    --------
    >>> spelled(decoded(b"M\xfcller", ["UTF8"]))
    'M<FC>ller'
    """
    return text if text.isascii() else _ESCAPES.sub(lambda match: f"<{ord(match[0]) - ESCAPED_BYTES:02X}>", text)


def is_ascii(dataset: Dataset) -> bool:
    """Whether a dataset has no text that needs Specific Character Set (0008,0005), its sequences included.

    Examples
    --------
    >>> dataset = Dataset()
    >>> dataset.PatientName = "Jörg"
    >>> is_ascii(dataset)
    False
    """
    return all(all(map(is_ascii, e.value)) if e.VR == "SQ" else str(e.value).isascii() for e in dataset)


def holds(text: str, terms: str) -> bool:
    r"""Whether a Specific Character Set (0008,0005) has all characters of a text (PS3.3 C.12.1.1.2).

    Parameters
    ----------
    text : str
        Of any value representation; bytes that could not be decoded are in no set.
    terms : str
        Defined terms with backslashes between them; empty for the default repertoire.

    Examples
    --------
    >>> holds("Jörg", "ISO_IR 100"), holds("Jörg", ""), holds("山田=Jörg", r"ISO 2022 IR 100\ISO 2022 IR 87")
    (True, False, True)
    """
    if text.isascii():
        return True
    if escaped_bytes(text) or not set(terms.split("\\")) - _DEFAULT:
        return False
    try:
        encoded(text, encodings_of_terms(terms.split("\\")), vr="PN")
    except NotEncodable:
        return False
    return True


def encodings_of_terms(terms: str | Iterable[str] | None) -> list[str]:
    """Return the Python codecs for Specific Character Set (0008,0005), without a warning for terms that are not defined."""
    several = [terms or ""] if isinstance(terms, str) or terms is None else list(terms) or [""]
    known = [term for term in several if term in pydicom.charset.python_encoding] or [""]
    return pydicom.charset.convert_encodings(known)


class _Whole:
    """A codec that needs no escape sequences: UTF-8, GB18030, GBK."""

    def __init__(self, codec: str) -> None:
        self._codec = codec

    def decode(self, raw: bytes, breaks: str) -> str:
        del breaks
        text = raw.decode(self._codec, _HANDLER)
        # a character that looks like one of ours stands as the bytes that it was
        text = _ESCAPES.sub(lambda match: _escaped(match[0].encode(self._codec)), text)
        return _STANDING_IN.sub(lambda match: chr(ord(match[0]) - _STANDINS + ESCAPED_BYTES), text)

    def encode(self, text: str, breaks: str) -> bytes:
        del breaks
        parts, position = [], 0
        try:
            for match in _ESCAPES.finditer(text):
                parts += [text[position : match.start()].encode(self._codec), bytes([ord(match[0]) - ESCAPED_BYTES])]
                position = match.end()
            parts.append(text[position:].encode(self._codec))
        except UnicodeEncodeError:
            raise _lacking((self._codec,)) from None
        return b"".join(parts)


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(_STANDINS + byte) for byte in error.object[error.start : error.end]), error.end


@dataclass(frozen=True)
class _Extended:
    """Character sets with code extensions: what is active at first, and what can be designated."""

    names: tuple[str, ...]
    g0: _Set
    g1: _Set | None
    others: tuple[_Set, ...]

    # ------------------------------------------------------------ bytes to text
    def decode(self, raw: bytes, breaks: str) -> str:
        if (plain := self._plain(raw)) is not None:
            return plain
        text = "".join(self._characters(raw, breaks))
        if _ODD.search(text) and self._again(text, breaks) != raw:
            # what can't be decoded depends on what was designated before it: the bytes are shown as they are
            text = "".join(_escaped(bytes([byte])) if byte >= 0x80 or byte == _ESC else chr(byte) for byte in raw)
        return text

    def _plain(self, raw: bytes) -> str | None:
        """Return text without escape sequences in a set of single bytes at once; None where it is not as simple as that."""
        if _ESC in raw or self.g1 is None or self.g1 is _KATAKANA:
            return None
        try:
            text = raw.decode(self.g1.codec)
        except UnicodeDecodeError:
            return None
        return None if _C1.search(text) else text

    def _again(self, text: str, breaks: str) -> bytes | None:
        try:
            return self.encode(text, breaks)
        except NotEncodable:
            return None

    def _characters(self, raw: bytes, breaks: str) -> Iterator[str]:
        by_escape = {s.escape: s for s in (*self.others, self.g0, *([self.g1] if self.g1 else []))}
        g0, g1, position = self.g0, self.g1, 0
        while position < len(raw):
            byte = raw[position]
            if byte == _ESC:
                found = next((s for e, s in by_escape.items() if raw.startswith(e, position + 1)), None)
                if found is not None:
                    g0, g1 = (g0, found) if found.is_g1 else (found, g1)
                    position += 1 + len(found.escape)
                    continue
            active = g1 if byte >= 0x80 else g0
            code, character = raw[position : position + 1], None
            if byte <= 0x20 or byte == 0x7F:
                character = chr(byte)  # an escape sequence that was not declared is shown
            elif active is not None:
                pair = raw[position : position + active.width]
                if (character := _character(active, pair)) is not None:
                    code = pair
                elif byte < 0x80 and len(pair) == 2 and pair[1] <= 0x20 and chr(byte) in breaks:
                    character = chr(byte)  # a delimiter before which nobody switched back
            if character is None:
                character = _escaped(code)
            if len(code) == 1 and character in breaks:
                g0, g1 = self.g0, self.g1
            yield character
            position += len(code)

    # ------------------------------------------------------------ text to bytes
    def encode(self, text: str, breaks: str) -> bytes:
        parts = re.split(f"([{re.escape(breaks)}])", text)
        return b"".join(part.encode("ascii") if number % 2 else self._segment(part) for number, part in enumerate(parts))

    def _segment(self, text: str) -> bytes:
        """Encode what stands between two delimiters; at its end is active what was at its beginning."""
        out, g0, g1 = bytearray(), self.g0, self.g1
        for character in text:
            if _ESCAPES.match(character):
                out.append(ord(character) - ESCAPED_BYTES)
                continue
            used, code = self._found(character, g0, g1)
            if used.is_g1 and used is not g1:
                # a set of two bytes is designated where the line begins, as PS3.5 I and K do
                at = 0 if used.width == 2 and g1 is None and g0 is self.g0 else len(out)
                out[at:at] = b"\x1b" + used.escape
                g1 = used
            elif not used.is_g1 and used is not g0:
                out += b"\x1b" + used.escape
                g0 = used
            out += code
        if g0 is not self.g0:
            out += b"\x1b" + self.g0.escape
        if self.g1 is not None and g1 is not self.g1:
            out += b"\x1b" + self.g1.escape
        return bytes(out)

    def _found(self, character: str, g0: _Set, g1: _Set | None) -> tuple[_Set, bytes]:
        """Return the set to encode a character in: one that is active if there is one."""
        if character <= "\x7f":
            return g0 if g0.width == 1 else self.g0, character.encode("ascii")
        for candidate in dict.fromkeys((g0, g1, self.g0, self.g1, *self.others)):
            if candidate is not None and (code := candidate.code(character)) is not None:
                return candidate, code
        raise _lacking(self.names)


@cache
def _character(active: _Set, code: bytes) -> str | None:
    """Return the character of a code in the set that is active; None where there is none."""
    if len(code) < active.width or (active.width == 2 and ((code[0] ^ code[1]) & 0x80 or code[1] & 0x7F <= 0x20)):
        return None
    return active.character(code)


def _escaped(raw: bytes) -> str:
    return "".join(chr(ESCAPED_BYTES + byte) for byte in raw)


def _lacking(names: Sequence[str]) -> NotEncodable:
    by_codec = {codec: term for term, codec in pydicom.charset.python_encoding.items() if term}
    terms = "\\".join(by_codec.get(name, name) for name in names)
    return NotEncodable(f"it has characters that {terms} does not have (PS3.5 6.1); Specific Character Set 'ISO_IR 192' has all")


@lru_cache(maxsize=256)
def _coder(names: tuple[str, ...]) -> _Whole | _Extended:
    first = names[0] if names else "iso8859"
    if first not in _SETS:
        return _Whole(first if _is_text_codec(first) else "latin_1")
    if names == ("iso8859",):  # the default repertoire: what goes beyond it is mostly Latin 1, and read so as pydicom does
        return _Extended(names, _ASCII, _LATIN_1, ())
    sets = [s for name in names if name in _SETS for s in _SETS[name]]
    opening = _SETS[first]
    g0 = next((s for s in opening if not s.is_g1 and s.width == 1), _ASCII)
    g1 = next((s for s in opening if s.is_g1 and s.width == 1), None)
    return _Extended(names, g0, g1, tuple(dict.fromkeys((*sets, _ASCII, *([_ROMAN] if _KATAKANA in sets else [])))))


@cache
def _is_text_codec(name: str) -> bool:
    try:
        return isinstance(b"A\xe9\xff".decode(name, "replace"), str) and "A".encode(name) == b"A"
    except (LookupError, ValueError):
        return False


# ------------------------------------------------------------ pydicom's doors
def install() -> None:
    """Have pydicom know all terms, and read and write text that is not ASCII by this module; once is enough."""
    codecs.register_error(_HANDLER, _stand_in)
    pydicom.charset.python_encoding |= {"ISO_IR 203": "iso8859_15", "ISO 2022 IR 203": "iso8859_15"}
    pydicom.charset.CODES_TO_ENCODINGS[b"\x1b-b"] = "iso8859_15"
    pydicom.charset.ENCODINGS_TO_CODES["iso8859_15"] = b"\x1b-b"
    if hooks.raw_element_value is raw_element_value:
        hooks.register_callback("raw_element_value", _value)
    for vr in (VR.LO, VR.LT, VR.PN, VR.SH, VR.ST, VR.UC, VR.UT):
        its_own = writers[vr][0]
        if getattr(its_own, "__module__", "") != __name__:
            writers[vr] = (_writer(its_own, vr.value), None)


def _value(raw: RawDataElement, data: dict[str, Any], *, encoding: Any = None, ds: Any = None, **others: Any) -> None:
    """Give an element its value, as pydicom's own hook does."""
    vr, content = data["VR"], raw.value
    if vr not in TEXT_VRS or not content or (content.isascii() and _ESC not in content):
        raw_element_value(raw, data, encoding=encoding, ds=ds, **others)
        return
    text = decoded(content, encoding or "iso8859", vr=vr)
    if vr in _ONE_VALUE:
        data["value"] = text.rstrip("\0 ")
        return
    values = [part.rstrip("\0 ") for part in text.split("\\")]
    made: list[Any] = [_name(value, encoding or "iso8859") for value in values] if vr == "PN" else values
    data["value"] = made[0] if len(made) == 1 else MultiValue(PersonName if vr == "PN" else str, made)


def _name(value: str, encodings: str | Sequence[str]) -> PersonName:
    """Return a name that knows the bytes it came from: pydicom decodes these anew when it is asked to."""
    several = [encodings] if isinstance(encodings, str) else list(encodings)
    return PersonName(value, several, original_string=encoded(value, several, vr="PN"))


def _bytes_of(value: str | bytes | PersonName, encodings: str | Sequence[str], vr: str) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, PersonName):
        as_it_was = getattr(value, "original_string", None)
        if isinstance(as_it_was, bytes) and as_it_was.isascii() and _ESC not in as_it_was:
            return as_it_was
    return encoded(str(value), encodings, vr=vr)


def _writer(its_own: Any, vr: str) -> Any:
    """Return a writer of elements that encodes text here, and leaves what is no text to pydicom's own."""

    def write(stream: Any, element: DataElement, encodings: list[str] | None = None) -> None:
        value = element.value
        several = value if isinstance(value, list | tuple | MultiValue) else [value]
        if not all(isinstance(one, str | bytes | PersonName) for one in several):
            its_own(stream, element, encodings=encodings)
            return
        raw = b"\\".join(_bytes_of(one, encodings or "iso8859", vr) for one in several)
        stream.write(raw + b" " * (len(raw) % 2))

    return write


install()
