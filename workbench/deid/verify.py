"""A release searched for what it must not hold any more.

Knows: where the identities of the original stood, and how text is encoded.
Does not know: the plan that was carried out; it looks at the result alone.
"""

import copy
import io
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydicom import dcmwrite
from pydicom._uid_dict import UID_dictionary
from pydicom.charset import convert_encodings
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from workbench.deid._walk import Place, places
from workbench.deid.actions import DUMMY_TEXT
from workbench.deid.apply import Released
from workbench.deid.options import Options
from workbench.deid.plan import plan
from workbench.entities import Finding, Findings, Severity
from workbench.standard import confidentiality_of

__all__ = ["verify"]

_TEXT = frozenset({"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_IDENTIFYING = re.compile(r"(ID|IDs|Number|Numbers|Identifier|Address|InstitutionName|StationName|DepartmentName)$")
_OWN = frozenset({"DeidentificationMethod", "DeidentificationMethodCodeSequence"})
_SHORTEST = {"name": 3, "identifier": 4, "UID": 9, "private text": 6, "date": 8, "given text": 1}
_SHORTEST_IN_BYTES = {"name": 5, "identifier": 6, "given text": 3}


@dataclass(frozen=True, slots=True)
class _Needle:
    """Something that must not be found; `text` is in lower case."""

    kind: str
    text: str

    def is_in(self, text: str) -> bool:
        if self.kind == "given text":
            return self.text in text
        return self.text in text and bool(re.search(rf"(?<![^\W_]){re.escape(self.text)}(?![^\W_])", text))

    def __repr__(self) -> str:  # an identity does not belong in a traceback
        return f"<{self.kind}>"


def verify(original: Dataset, released: Dataset | Released, *, identities: Iterable[str] = ()) -> Findings:
    """Return an error for each identity of the original that the release still holds.

    Looked for are the original's names and their parts, identifiers, addresses, UIDs, private texts, dates, and whatever is
    given as `identities`; looked at are all values at any depth, file meta information, and the encoded bytes, inflated too.
    What the release says it retains (De-identification Method Code Sequence) is not looked for.

    Parameters
    ----------
    original : pydicom.Dataset
        The dataset as it was.
    released : pydicom.Dataset or Released
        What :func:`~workbench.deid.apply` made of it.
    identities : iterable of str
        More texts that must not be there, in any case.

    Returns
    -------
    Findings
        Empty if nothing was found. A finding names the place and the kind of identity, never the value.

    Notes
    -----
    Parts of names need 3 characters, other identifiers 4, to be looked for. Nothing can be found here that is drawn into
    pixels.
    """
    dataset = released.dataset if isinstance(released, Released) else released
    needles = sorted(_needles(original, Options.of(dataset), identities), key=lambda n: (n.kind, n.text))
    findings = [_finding(path, needle.kind) for path, needle in _in_values(dataset, needles)]
    if str(dataset.get("PatientIdentityRemoved", "")) != "YES":
        findings.append(
            Finding(Severity.ERROR, "PatientIdentityRemoved", "PS3.3 C.7.1.1", "The dataset does not say that it is de-identified.")
        )
    if not findings:
        findings = _in_bytes(dataset, needles, original)
    return Findings(dict.fromkeys(findings))


def _finding(path: str, kind: str) -> Finding:
    remedy = "Do not release it; change the plan so that this attribute is removed."
    return Finding(Severity.ERROR, path, "PS3.15 E.1", f"{kind[0].upper()}{kind[1:]} of the original, still here.", remedy)


def _needles(original: Dataset, options: Options, identities: Iterable[str]) -> set[_Needle]:
    kept = {step.path for step in plan(original, options) if step.action == "K"}
    found = {_Needle("given text", text.lower()) for text in identities}
    for place, enter in places(original):
        enter.append(True)
        if place.element is not None and place.path not in kept:
            found |= {_Needle(kind, text.strip().lower()) for kind, text in _identities(place)}
    passed = {DUMMY_TEXT.lower(), "pseudonym", "anonymous", "19000101", *(uid.lower() for uid in UID_dictionary)}
    return {n for n in found if len(n.text) >= _SHORTEST[n.kind] and n.text not in passed}


def _identities(place: Place) -> Iterator[tuple[str, str]]:
    """Yield what identifies somebody in one element, with its kind."""
    element = place.element
    if element is None:
        return
    texts = list(_texts(element.value))
    row = confidentiality_of(place.tag)
    if element.VR == "PN":
        for text in texts:
            yield "name", text
            yield from (("name", part) for part in re.split(r"[\^= ]+", text))
    elif place.tag.is_private:
        yield from (("private text", text) for text in texts if element.VR in _TEXT)
    elif row is None:
        return
    elif element.VR == "UI":
        yield from (("UID", text) for text in texts if "U" in row.basic)
    elif element.VR == "DA":
        yield from (("date", text) for text in texts)
    elif element.VR in _TEXT and _IDENTIFYING.search(element.keyword):
        yield from (("identifier", text) for text in texts)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, (MultiValue, list, tuple)) and not isinstance(value, Sequence):
        for single in value:
            yield from _texts(single)
    elif value is not None and not isinstance(value, (bytes, bytearray, Sequence)):
        yield str(value)


def _in_values(dataset: Dataset, needles: list[_Needle]) -> Iterator[tuple[str, _Needle]]:
    for part in (getattr(dataset, "file_meta", None), dataset):
        for place, enter in places(part) if part is not None else ():
            enter.append(True)
            if place.element is None or place.path.partition("[")[0] in _OWN:
                continue
            for text in _texts(place.element.value):
                lower = text.lower()
                yield from ((place.path, needle) for needle in needles if needle.is_in(lower))


def _in_bytes(dataset: Dataset, needles: list[_Needle], original: Dataset) -> list[Finding]:
    """Return what is only found in the encoded dataset: in bulk data, in the preamble, in other character sets."""
    try:
        content = _encoded(dataset).lower()
    except Exception:  # noqa: BLE001 - the reason may quote a value
        return [Finding(Severity.ERROR, "", "PS3.10 7", "The release can't be encoded, so its bytes were not searched.")]
    codecs = {"utf-8", "latin-1", "utf-16-le", *_codecs(original)}
    return [
        _finding("encoded bytes", needle.kind)
        for needle in needles
        if len(needle.text) >= _SHORTEST_IN_BYTES.get(needle.kind, 8) and any(b in content for b in _spelled(needle.text, codecs))
    ]


def _encoded(dataset: Dataset) -> bytes:
    out = copy.copy(dataset)
    out.file_meta = copy.deepcopy(dataset.file_meta)
    if out.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        out.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian  # the same bytes, not deflated
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcmwrite(buffer, out, enforce_file_format=True)
    return buffer.getvalue()


def _codecs(original: Dataset) -> list[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(convert_encodings(original.get("SpecificCharacterSet") or "ISO_IR 6"))
    except (LookupError, ValueError, TypeError):
        return []


def _spelled(text: str, codecs: Iterable[str]) -> set[bytes]:
    spelled = set()
    for codec in codecs:
        try:
            spelled.add(text.encode(codec).lower())
        except (UnicodeError, LookupError):
            continue
    return spelled
