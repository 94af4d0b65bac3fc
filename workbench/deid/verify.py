"""A release searched for what it must not hold any more.

Knows: where the identities of the original stood, and how text is encoded.
Does not know: the plan that was carried out; it looks at the result alone.
"""

import copy
import io
import re
from collections.abc import Iterable, Iterator

from pydicom import dcmwrite
from pydicom._uid_dict import UID_dictionary
from pydicom.charset import convert_encodings
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEGBaseline8Bit

from workbench.deid._identities import CERTAIN, SHORTEST, VOCABULARY, Needle, texts
from workbench.deid._identities import identities as identities_of
from workbench.deid._walk import places, quiet
from workbench.deid.actions import DUMMY_TEXT
from workbench.deid.apply import Released
from workbench.deid.options import Options
from workbench.deid.plan import plan
from workbench.entities import Finding, Findings, Severity
from workbench.files import given

__all__ = ["verify"]

_OWN = frozenset({"DeidentificationMethod", "DeidentificationMethodCodeSequence"})


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

    Raises
    ------
    InputError
        If one of them is not a dataset.

    Notes
    -----
    Parts of names need 3 characters, other identifiers 4, to be looked for. A part of a name or an identifier that is found
    among words of the standard or of a maker, as in Code Meaning or Manufacturer, is a warning. Nothing can be found here
    that is drawn into pixels.
    """
    original = given.one(original, what="the original dataset")
    dataset = released.dataset if isinstance(released, Released) else given.one(released, what="the released dataset")
    identities = [identities] if isinstance(identities, str) else identities
    needles = sorted(_needles(original, Options.of(dataset), identities), key=lambda n: (n.kind, n.text))
    found = list(_in_values(dataset, needles))
    findings = [_finding(path, needle.kind, is_certain=is_certain) for path, needle, is_certain in found]
    if str(dataset.get("PatientIdentityRemoved", "")) != "YES":
        message = "The dataset does not say that it is de-identified."
        findings.append(Finding(Severity.ERROR, "PatientIdentityRemoved", "PS3.3 C.7.1.1", message))
    known = {needle for _, needle, _ in found}
    findings += _in_bytes(dataset, [needle for needle in needles if needle not in known], original)
    return Findings(dict.fromkeys(findings))


def _finding(path: str, kind: str, *, is_certain: bool = True) -> Finding:
    message = f"{kind[0].upper()}{kind[1:]} of the original, still here."
    if is_certain:
        remedy = "Do not release it; change the plan so that this attribute is removed."
        return Finding(Severity.ERROR, path, "PS3.15 E.1", message, remedy)
    return Finding(Severity.WARNING, path, "PS3.15 E.1", f"{message} It may be a word in common.", "Look at it.")


def _needles(original: Dataset, options: Options, identities: Iterable[str]) -> set[Needle]:
    actions = plan(original, options).actions
    found = {Needle("given text", text.lower()) for text in identities}
    retained: set[str] = set()
    harmless: set[str] = set()  # what the profile leaves alone is no secret where a maker repeats it
    for place, enter in places(original):
        enter.append(True)
        if place.element is None:
            continue
        action = actions.get(place.path, "")
        if action == "K":
            retained |= {text.lower() for text in texts(place.element.value)}
            continue
        found |= {Needle(kind, text.strip().lower()) for kind, text in identities_of(place)}
        if not action and not place.tag.is_private and not any(actions.get(path, "") in {"X", "Z"} for _, path in place.within):
            harmless |= {text.strip().lower() for text in texts(place.element.value)}
    passed = {DUMMY_TEXT.lower(), "pseudonym", "anonymous", "19000101", *(uid.lower() for uid in UID_dictionary)}
    wanted = {n for n in found if len(n.text) >= SHORTEST[n.kind][0] and n.text not in passed}
    return {n for n in wanted if not _is_retained(n, retained, options) and not (n.kind == "private text" and n.text in harmless)}


def _is_retained(needle: Needle, retained: set[str], options: Options) -> bool:
    """Whether an option keeps the same text elsewhere; it never keeps who the patient is."""
    if needle.kind == "UID":
        return options.retain_uids
    return needle.kind not in CERTAIN and any(needle.is_in(text) for text in retained)


def _in_values(dataset: Dataset, needles: list[Needle]) -> Iterator[tuple[str, Needle, bool]]:
    """Yield place, needle, and whether it is certain that it is one."""
    for part in (getattr(dataset, "file_meta", None), dataset):
        for place, enter in places(part) if part is not None else ():
            enter.append(True)
            if place.element is None or place.path.partition("[")[0] in _OWN:
                continue
            is_vocabulary = place.element.VR in {"CS", "DS", "IS"} or place.element.keyword in VOCABULARY
            for text in texts(place.element.value):
                lower = text.lower()
                for needle in needles:
                    if needle.is_in(lower):
                        yield place.path, needle, not is_vocabulary or _is_telling(needle, place.element.VR)


def _is_telling(needle: Needle, vr: str) -> bool:
    """Whether a find among words and numbers of the standard is no coincidence."""
    return needle.kind == "given text" or (needle.kind in CERTAIN and vr not in {"DS", "IS"})


def _in_bytes(dataset: Dataset, needles: list[Needle], original: Dataset) -> list[Finding]:
    """Return what is only found in the encoded dataset: in bulk data, in the preamble, in other character sets."""
    try:
        content = _encoded(dataset).lower()
    except Exception:  # noqa: BLE001 - the reason may quote a value
        return [Finding(Severity.ERROR, "", "PS3.10 7", "The release can't be encoded, so its bytes were not searched.")]
    codecs = {"utf-8", "latin-1", "utf-16-le", *_codecs(original)}
    return [
        _finding("encoded bytes", needle.kind)
        for needle in needles
        if len(needle.text) >= SHORTEST[needle.kind][1]
        and any(_holds(content, spelled, needle.kind in CERTAIN) for spelled in _spelled(needle.text, codecs))
    ]


def _holds(content: bytes, spelled: bytes, anywhere: bool) -> bool:  # noqa: FBT001 - of this module
    """Whether bytes are there: anywhere, or not as a part of a longer word."""
    if spelled not in content:
        return False
    return anywhere or bool(re.search(rb"(?<![0-9a-z])" + re.escape(spelled) + rb"(?![0-9a-z])", content))


def _encoded(dataset: Dataset) -> bytes:
    out = Dataset()
    out.update({element.tag: element for element in dataset if element.keyword not in _OWN})
    out.file_meta = meta = copy.deepcopy(dataset.file_meta)
    if not meta.TransferSyntaxUID.is_transfer_syntax or meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        is_encapsulated = "PixelData" in out and out["PixelData"].is_undefined_length
        meta.TransferSyntaxUID = JPEGBaseline8Bit if is_encapsulated else ExplicitVRLittleEndian  # encoded alike, not deflated
    for keyword in ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID"):
        if not meta.get(keyword):
            setattr(meta, keyword, "1.2.3")  # what is no instance can be encoded too
    buffer = io.BytesIO()
    with quiet():
        dcmwrite(buffer, out, enforce_file_format=True)
    return buffer.getvalue()


def _codecs(original: Dataset) -> list[str]:
    try:
        with quiet():
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
