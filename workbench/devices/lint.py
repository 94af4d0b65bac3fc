"""What a conformance statement gets wrong: each slip with its rule, and what the tables of the standard say of every row.

Knows: PS3.5 6.2 and 9.1, PS3.6 (dictionary and UIDs), and which columns of a profile they rule.
Does not know: the wire; what to do about a finding.
"""

import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from functools import cache

from pydicom._dicom_dict import DicomDictionary
from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import dictionary_description, dictionary_VR, keyword_for_tag
from pydicom.uid import RE_VALID_UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from workbench.devices._given import of_a_profile
from workbench.devices.claims import Context, contexts
from workbench.devices.parts import Slip, Table, as_text, called
from workbench.devices.profile import Profile
from workbench.entities import Finding, Findings, Severity
from workbench.standard import storage_classes, transfer_syntaxes

__all__ = ["lint", "violations"]

_TAG = re.compile(r"\(([0-9A-F]{4}),([0-9A-F]{4})\)$")
_LIKE_A_TAG = re.compile(r"\(?([0-9A-F]{4})[,.] ?([0-9A-F]{4})\)?$")
_OPPOSED = ({"implicit", "explicit"}, {"little", "big"})
#: Columns by which two systems understand each other, or do not; the others are for those who read.
_UNDERSTOOD = {"uid", "syntaxes", "tag", "source_tag", "vr", "role", "roles", "scu", "scp", "code"}
_TAGGED = {"keys", "message", "module", "mapping", "deidentification"}


@of_a_profile
def lint(profile: Profile) -> Findings:
    """Return what a statement prints that breaks a rule.

    A finding for every slip that the profile records, with what is printed, what is meant and the rule: an error where a UID, tag,
    value representation, transfer syntax, role or status code is wrong, so that who builds on the print is not understood; a
    warning where it is a name, a reference, a heading or a type, or a tag with other marks about the same numbers. Then a
    warning for every row, as meant, that still differs from the standard: the system itself differs there. Errors come first.

    Parameters
    ----------
    profile : Profile or str
        As meant, or the name of one; slips are taken from it.

    Examples
    --------
    >>> from workbench.devices import profile
    >>> any("(0008,1090)" in finding.message for finding in lint(profile("topcon-sp1p")))
    True
    """
    slips = [_of_slip(profile, slip) for slip in profile.slips]
    slips.sort(key=lambda found: found.severity is not Severity.ERROR)
    return Findings([*slips, *violations(profile), *_without_default(profile)])


@of_a_profile
def violations(profile: Profile) -> Findings:
    """Return what the rows of a profile, in its present view, have against the tables of the standard."""
    return Findings(found for table in profile.tables for found in _of_table(table))


def _without_default(profile: Profile) -> Iterator[Finding]:
    """Say which SOP classes an entity proposes without the default transfer syntax, other than in compressed form (PS3.5 10.1)."""
    proposed: dict[tuple[str, str], tuple[Context, set[str]]] = {}
    for context in contexts(profile, role="SCU"):
        proposed.setdefault((context.entity, context.uid), (context, set()))[1].update(context.syntaxes)
    for context, syntaxes in proposed.values():
        if syntaxes & {ExplicitVRLittleEndian, ExplicitVRBigEndian} and ImplicitVRLittleEndian not in syntaxes:
            message = "the default transfer syntax, Implicit VR Little Endian, is not proposed."
            yield Finding(Severity.WARNING, f"{context.source} ({context.name})", "PS3.5 10.1", message, "")


def _of_slip(profile: Profile, slip: Slip) -> Finding:
    where, found = profile.place(slip)
    what, printed, meant = slip.column, as_text(slip.printed), as_text(found)
    message = {
        "value": f"{what} is printed as '{printed}', '{meant}' is meant.",
        "joined": f"the row of '{meant}' is printed within the one before it, as '{printed}'.",
        "repeated": f"'{meant}' is printed once more, as '{printed}'.",
        "missing": f"'{meant}' is not printed.",
        "column": f"{what} is printed as '{printed}' in every row.",
        "heading": f"the heading of the column {what} is printed as '{printed}'.",
    }[slip.form]
    breaks = slip.column in _UNDERSTOOD and slip.form not in {"heading", "repeated"} and not _is_way_of_writing(slip, meant)
    return Finding(Severity.ERROR if breaks else Severity.WARNING, where, _section(slip.rule), message, slip.rule)


def _is_way_of_writing(slip: Slip, meant: str) -> bool:
    """Whether a tag is printed with other marks about the same numbers: who reads it still understands which is meant."""
    printed = str(slip.printed)
    return slip.column == "tag" and ("gggg" in printed or re.sub(r"\W", "", printed) == re.sub(r"\W", "", meant))


def _section(rule: str) -> str:
    found = re.match(r"(PS3\.\d+(?: [CT]ID \d+| [A-Z]?[\d.]*[A-Z\d](?:[-.][\d.]+)*)?)", rule)
    return found[1] if found else ""


def _of_table(table: Table) -> Iterator[Finding]:
    for number, row in enumerate(table.records(), start=1):
        where = f"{table.source}, row {number} ({called(row)})"
        for section, message in _of_row(table, row):
            yield Finding(Severity.WARNING, where, section, message, "")


def _of_row(table: Table, row: dict[str, object]) -> Iterator[tuple[str, str]]:
    for uid in _uids(row):
        if len(uid) > 64 or not re.fullmatch(RE_VALID_UID, uid):
            yield "PS3.5 9.1", f"'{uid}' is not a UID."
    if table.kind in {"sop_classes", "contexts", "syntaxes"} or (row.get("uid") and table.kind == "services"):
        yield from _named(str(row.get("uid", "")), str(row.get("name", "")))
    if table.kind == "contexts":
        unknown = [uid for uid in row["syntaxes"] if uid not in _syntaxes()]  # type: ignore[attr-defined]
        if unknown:
            yield "PS3.6 A", f"no transfer syntax has the UID {', '.join(unknown)}."
        for uid, name in zip(row["syntaxes"], row.get("syntax_names", ()), strict=False):  # type: ignore[call-overload]
            if uid in _syntaxes():
                yield from _named(uid, name)
    if table.kind in _TAGGED:
        yield from _tagged(str(row["tag"]), str(row["name"]), str(row.get("vr", "")))


def _uids(row: dict[str, object]) -> Iterator[str]:
    if row.get("uid"):
        yield str(row["uid"])
    yield from row.get("syntaxes", ())  # type: ignore[misc]


@cache
def _syntaxes() -> frozenset[str]:
    of_standard = (str(uid) for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax")
    return frozenset([*of_standard, *(row.uid for row in transfer_syntaxes())])


@cache
def _names() -> dict[str, str]:
    known = {str(uid): entry[0] for uid, entry in UID_dictionary.items()}
    return known | {row.uid: row.name for row in (*storage_classes(), *transfer_syntaxes())}


@cache
def _plain_names() -> frozenset[str]:
    return frozenset(map(_plain, _names().values()))


def _named(uid: str, name: str) -> Iterator[tuple[str, str]]:
    """Say where a name is that of another UID, or no UID of that kind is known."""
    known = _names()
    if uid not in known:
        yield "PS3.6 A", f"no SOP class or transfer syntax has the UID '{uid}'."
    elif not _alike(name, known[uid], _plain_names()):
        yield "PS3.6 A", f"'{uid}' is '{known[uid]}', not '{name}'."


def _tagged(tag: str, name: str, vr: str) -> Iterator[tuple[str, str]]:
    written = _TAG.match(tag)
    if not written:
        if not re.match(r"\(([0-9A-Fa-fx]{4}),([0-9A-Fa-fx]{4})\)$", tag):
            yield "PS3.5 7.1", f"'{tag}' is not a tag."
        written = _LIKE_A_TAG.match(tag)
    if not written:
        return
    number = int(written[1] + written[2], 16)
    if int(written[1], 16) % 2:  # private
        return
    if not keyword_for_tag(number):
        yield "PS3.6 6", f"no attribute has the tag {tag}."
        return
    if not _alike(name, dictionary_description(number), _plain_attributes()):
        yield "PS3.6 6", f"{tag} is '{dictionary_description(number)}', not '{name}'."
    if vr and vr not in re.split(r" or |/", dictionary_VR(number)) and not (vr == "OW/OB" or "/" in vr):
        yield "PS3.6 6", f"{tag} has the VR {dictionary_VR(number)}, not {vr}."


def _plain(name: str) -> str:
    name = name.lower().replace("colour", "color").replace("'s", "").replace("’s", "").replace("softcopy ", "")
    name = re.sub(
        r"\((retired|trial|process[^)]*)\)|sop class|service class|storage|query/retrieve|q/r|sequence|\bseq\b", " ", name
    )
    return re.sub(r"[^a-z0-9]+", " ", name).strip()


def _alike(name: str, official: str, others: Iterable[str]) -> bool:
    """Whether a name is the official one, but for case, punctuation and customary short forms, and not another's."""
    one, other = _plain(name), _plain(official)
    if one == other:
        return True
    words, official_words = set(one.split()), set(other.split())
    if any((pair & words) != (pair & official_words) for pair in _OPPOSED if pair & words and pair & official_words):
        return False
    return one not in others and (SequenceMatcher(None, one, other).ratio() >= 0.6 or words >= official_words)


@cache
def _plain_attributes() -> frozenset[str]:
    return frozenset(_plain(str(entry[2])) for entry in DicomDictionary.values())
