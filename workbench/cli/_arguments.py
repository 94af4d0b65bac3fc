"""What several commands take as arguments.

Knows: how a key with its value, references, users, or the files of a TLS connection, are written on a command line.
Does not know: commands.
"""

import re
from collections.abc import Iterable
from typing import Annotated

import typer
from pydicom.datadict import dictionary_VR, tag_for_keyword

import workbench as wb
from workbench.entities import Identity, InstanceRef, SeriesRef, StudyRef, Tls, plain
from workbench.errors import InputError

__all__ = ["Relational", "TlsFiles", "Users", "identity_of", "keys_of", "references_of", "tls_of", "users_of"]

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)

#: Certificate, key and authority.
TlsFiles = Annotated[
    tuple[str, str, str] | None,
    typer.Option("--tls", metavar="CERTIFICATE KEY AUTHORITY", help="Speak TLS (BCP 195), with these three PEM files."),
]

#: Who may come.
Users = Annotated[
    list[str] | None,
    typer.Option(
        "--user", metavar="NAME=PLACE",
        help="Let in this user only, with the passcode kept at PLACE: env:NAME, file:PATH or keyring:SERVICE/USER. Repeatable.",
    ),
]  # fmt: skip

#: Whether levels above may be left out.
Relational = Annotated[
    bool,
    typer.Option("--relational", help="UIDs of the levels above may be left out; a peer that refuses is asked level by level."),
]


def keys_of(
    pairs: Iterable[str] | None, *, what: str = "A query key is written KEYWORD=VALUE, such as PatientName='DOE*'"
) -> dict[str, str]:
    """Return the keys of ``KEYWORD=VALUE`` arguments; `what` says in a refusal how they are written.

    Examples
    --------
    >>> keys_of(["PatientName=DOE*", "StudyDate=2026-11-22"])
    {'PatientName': 'DOE*', 'StudyDate': '20261122'}
    """
    found = {}
    for pair in pairs or ():
        keyword, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"{what}; {plain(keyword)!r} has no '='.")
        found[keyword] = _date(keyword, value)
    return found


def _date(keyword: str, value: str) -> str:
    """Return a date as a key has it, where it is written as our tables show it (ISO 8601); all else as it is."""
    tag = tag_for_keyword(keyword.rpartition(".")[2])
    is_date = tag is not None and dictionary_VR(tag) == "DA" and _ISO_DATE.fullmatch(value)
    return value.replace("-", "") if is_date else value


def tls_of(files: tuple[str, str, str] | None) -> Tls | None:
    """Return the TLS settings of three files that can be used now: certificate, key, certificate of the authority."""
    return wb.network.security.tls_checked(Tls(certificate=files[0], key=files[1], ca=(files[2],))) if files else None


def references_of(
    studies: list[str], series: str, instances: list[str], *, relational: bool
) -> list[StudyRef] | list[SeriesRef] | list[InstanceRef]:
    """Return what is to be retrieved; only relational retrieval does without the UIDs of the levels above.

    Examples
    --------
    >>> references_of(["1.2"], "1.2.3", [], relational=False)
    [SeriesRef(study_instance_uid='1.2', series_instance_uid='1.2.3')]
    """
    if not (studies or series or instances):
        raise InputError("Name what is wanted: --study UID, with --series UID for one series of it.")
    if len(studies) > 1 and (series or instances):
        raise InputError("--series and --instance go with one --study UID.")
    study = studies[0] if studies else ""
    if not relational and ((series and not study) or (instances and not series)):
        raise InputError("--series needs its --study, and --instance both; or pass --relational (PS3.4 C.4.2.2.1).")
    if instances:
        return [InstanceRef(study, series, "", uid) for uid in instances]
    return [SeriesRef(study, series)] if series else [StudyRef(uid) for uid in studies]


def identity_of(user: str, passcode_in: str, *, has_tls: bool) -> Identity | None:
    """Return which user associations are for; a passcode stays where it is kept, and goes over TLS only.

    Examples
    --------
    >>> identity_of("reader", "", has_tls=False)
    Identity(kind='username', user='reader', kept_in='', confirm=True, without_tls=False)
    """
    if passcode_in and not user:
        raise InputError("--passcode-in is of a --user.")
    if passcode_in and not has_tls:
        raise InputError("A passcode is sent over TLS only: pass --tls too (PS3.7 D.3.3.7).")
    return Identity("passcode" if passcode_in else "username", user=user, kept_in=passcode_in) if user else None


def users_of(pairs: Iterable[str] | None, *, has_tls: bool) -> dict[str, str] | None:
    """Return the hashed passcodes of the users who may come; None where everybody may.

    Examples
    --------
    >>> users_of([], has_tls=False)
    """
    places = {}
    for pair in pairs or ():
        user, equals, place = pair.partition("=")
        if not (user and equals):
            raise InputError("--user is written NAME=PLACE, such as reader=env:READER; the passcode itself is not written there.")
        places[user] = place
    if places and not has_tls:
        raise InputError("A passcode is sent over TLS only: pass --tls too (PS3.7 D.3.3.7).")
    return wb.network.security.passcodes(places) or None
