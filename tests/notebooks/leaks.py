"""What a notebook must not hold, in its sources or in what it shows: secrets, places of a machine, people.

``leaks`` is given an executed notebook and returns what it found, as (cell, what, excerpt).
"""

import base64
import functools
import getpass
import html
import re
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

import nbformat

from workbench import devices, inspection, phantoms
from workbench.department import scheduled

PATTERNS = {
    "a secret in an assignment": re.compile(
        r"(?:password|passwd|secret|token|api_?key|bearer)['\"]?\s*[=:]\s*['\"][^'\"]+['\"]", re.IGNORECASE
    ),
    "a private key": re.compile(r"-----BEGIN"),
    "a login in an address": re.compile(r"://[^/\s'\"<]+:[^/\s'\"<]+@"),
    "a long hexadecimal word": re.compile(r"\b(?=[0-9a-fA-F]*[a-fA-F])(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{32,}\b"),
    "a long base64 word": re.compile(
        r"(?<![\w+/=.])(?=[\w+/]*[A-Z])(?=[\w+/]*[a-z])(?=[\w+/]*\d)[A-Za-z0-9+/]{32,}={0,2}(?![\w.])"
    ),
    "an absolute path": re.compile(r"(?<![\w/.:<])(?:/(?:home|Users|root|tmp|var|private)/|[A-Z]:\\Users\\)[^\s<>'\"]*"),
    "a mail address": re.compile(r"[\w.+-]+@[\w-]+\.(?!invalid\b|example\b)[a-z]{2,}\b"),
}
NAME = re.compile(r"(?!PSEUDONYM\^)\b[^\W\d_][\w'-]+\^[^\W\d_][\w'-]*")
#: cells from which on identities are gone
RELEASE = re.compile(r"\b(?:deid\.apply|release\.release)\(")
#: (a part of the cell's source, an identity): shown on purpose beside what became of it
ON_PURPOSE = {("before, slice 1", "PW-100421")}
OTHERS = {"Reader^Robin"}  # who signs, in the sources of the notebooks


@functools.cache
def people() -> set[str]:
    """Names and numbers of the phantoms' patients, and every planted identity that is more than a word or a date."""
    found = {str(name) for d in phantoms.everything() for name in (d.PatientName, d.PatientID)}
    planted = phantoms.planted_ct().identities
    return found | {text for text in planted if len(text) >= 6 and re.search(r"[^\W\d_]{4,}", text)}


@functools.cache
def names() -> set[str]:
    """Family and given names, joined by ``^``, of everyone whom a phantom or the department's schedule names."""
    series = {d.SeriesInstanceUID: d for d in [*phantoms.everything(), phantoms.planted_ct().dataset]}
    named = [*series.values(), *scheduled(devices.profiles().values())]
    return set(NAME.findall(" ".join(html.unescape(inspection.tree(d)._repr_html_()) for d in named))) | OTHERS


def texts_of(cell: nbformat.NotebookNode) -> Iterator[str]:
    """Give every text that a cell shows, as it is stored and as it is read; pictures and widget handles are left out."""
    for output in cell.get("outputs", ()):
        data = {k: v for k, v in output.get("data", {}).items() if not k.startswith("image/png") and "widget" not in k}
        for text in [output.get("text", ""), *output.get("traceback", ()), output.get("evalue", ""), *map(str, data.values())]:
            bare = re.sub(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+", "", text)
            yield bare
            yield html.unescape(re.sub(r"<[^>]*>", " ", bare))


def encodings(secret: bytes) -> set[str]:
    """Give the ways in which bytes are usually written."""
    return {
        secret.hex(),
        base64.b64encode(secret).decode().rstrip("="),
        base64.urlsafe_b64encode(secret).decode().rstrip("="),
        repr(secret)[2:-1],
    } | ({secret.decode().strip()} if secret.isascii() else set())


def keys_below(folder: Path) -> set[str]:
    """What the key files below a folder hold, as it might be shown."""
    return {text for path in folder.rglob("*key") if path.is_file() for text in encodings(path.read_bytes()) if len(text) >= 16}


def leaks(
    notebook: nbformat.NotebookNode, *, secrets: Iterable[str] = (), places: Iterable[Path] = ()
) -> list[tuple[int, str, str]]:
    """Return what should not be in an executed notebook."""
    machine = re.compile(rf"(?<![\w.-])(?:{re.escape(socket.gethostname())}|{re.escape(getpass.getuser())}@)(?![\w-])")
    local = [str(place) for place in (*places, Path.home(), Path(__file__).parents[2]) if len(place.parts) > 1]
    forbidden, known = people(), names()
    found, is_released = [], False
    for number, cell in enumerate(notebook.cells):
        is_released = is_released or bool(cell.cell_type == "code" and RELEASE.search(cell.source))
        shown = list(texts_of(cell))
        for text in [cell.source, *shown]:
            found += [(number, what, m[0][:60]) for what, pattern in PATTERNS.items() for m in pattern.finditer(text)]
            found += [(number, "a key", "…") for secret in secrets if secret in text]
            found += [(number, "a place", place) for place in local if place in text]
        for text in shown:
            found += [(number, "a machine", m[0]) for m in machine.finditer(text)]
            found += [(number, "a stranger's name", name) for name in NAME.findall(text) if name not in known]
            found += [
                (number, "a person after the release", person)
                for person in (forbidden if is_released else ())
                if person in text and not any(part in cell.source and person == who for part, who in ON_PURPOSE)
            ]
    return sorted(set(found))
