"""Films as a system asks for them, by the tables of its statement.

Knows: which rows a film session, a film box and an image box have (PS3.3 C.13), and what is set up for a printer.
Does not know: how a film is rendered (rendering) and printed (network), when (modality).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from workbench import devices
from workbench.department._filling import Filler, Row, of_rows
from workbench.department._repertoire import character_set_for
from workbench.department._step import Step, Subject
from workbench.department._telling import keep_listed, message_rows
from workbench.department.performed import Outcome, Told, counted
from workbench.devices import Activity, Profile
from workbench.entities import FilmBox, FilmSession, Peer
from workbench.flows import filming
from workbench.network import PrintOutcome, PrintPolicy, PrintReport, PrintRow

__all__ = ["print_films", "print_policy", "printable", "printed", "spelling"]

Spelling = Callable[[str, Dataset], Dataset]

_SESSION, _BOX, _IMAGES = "1.2.840.10008.5.1.1.1", "1.2.840.10008.5.1.1.2", ("1.2.840.10008.5.1.1.4", "1.2.840.10008.5.1.1.4.1")
_META = ("1.2.840.10008.5.1.1.9", "1.2.840.10008.5.1.1.18")  # PS3.4 H.3: grayscale, color
_ANNOTATION = "1.2.840.10008.5.1.1.15"
_PRINTER = "1.2.840.10008.5.1.1.16"
_WORDS = ("Grayscale", "Color")
#: Steps of a print job (:class:`workbench.network.PrintPolicy`) by SOP class and service.
_STEPS = (
    ("film session", _SESSION, "N-CREATE"), ("delete film session", _SESSION, "N-DELETE"), ("film", _BOX, "N-CREATE"),
    ("print film", _BOX, "N-ACTION"), ("delete film", _BOX, "N-DELETE"),
)  # fmt: skip
#: What statements leave to the configuration of the printer, and to the user: a plain film.
_SET_UP: Mapping[str, Any] = MappingProxyType(
    {"size": "14INX17IN", "magnification": "REPLICATE", "least": 20, "most": 300, "trim": "NO", "configuration": "STANDARD"}
)
_ASKED = FilmSession(copies=1, priority="MED", medium="BLUE FILM", destination="PROCESSOR")


def printable(profile: Profile, activity: Activity, images: Sequence[Dataset]) -> list[tuple[list[Dataset], str]]:
    r"""Return what a system prints of images: for gray and for colour, where it proposes them, one film each with its layout.

    Returns
    -------
    list of (list of Dataset, str)
        Images of one film and Image Display Format (2010,0010): the first that the statement lists, else ``STANDARD\2,2``.
    """
    proposed = {c.uid for c in devices.contexts(profile, entity=activity.entity, role="SCU", activity=activity.name)}
    found = []
    for is_color in (False, True):
        of_kind = [d for d in images if _is_color(d) is is_color]
        if of_kind and _META[is_color] in proposed:
            layout = _layout(profile, is_color=is_color)
            found.append((of_kind[len(of_kind) // 2 :][: len(FilmBox(layout).cells)], layout))
    return found


def print_films(
    peer: Peer, profile: Profile, activity: Activity, images: Sequence[Dataset], *, layout: str, **printing: Any
) -> PrintReport:
    """Print images as a system does: with the attributes that its statement lists, or what is usual where it lists none.

    Parameters
    ----------
    peer : Peer
        The printer, as the system talks to it.
    images : sequence of Dataset
        All gray or all colour.
    layout : str
        Image Display Format (2010,0010).
    **printing
        Of :func:`workbench.network.print_images`: collate, lut, texts.

    Raises
    ------
    InputError
        If the system has no character set for its texts; nothing is printed then.
    """
    is_color = bool(_is_color(images[0]))
    spelled, printing["policy"] = spelling(profile, is_color=is_color), print_policy(profile, activity, is_color=is_color)
    proposed = {c.uid for c in devices.contexts(profile, entity=activity.entity, role="SCU", activity=activity.name)}
    if spelled is not None:
        return filming.print_series(
            peer, images, layout=FilmBox(layout, **_SET_UP), session=_ASKED, spelling=spelled, **printing
        )  # fmt: skip
    if _ANNOTATION in proposed:
        texts = printing.pop("texts", ("{film}",))
        box, written = FilmBox(layout, annotation="LABEL"), _written(profile, texts)
        return filming.print_series(peer, images, layout=box, texts=texts, spelling=written, **printing)
    return filming.print_series(peer, images, layout=layout, **printing)


def printed(peer: Peer, profile: Profile, activity: Activity, jobs: Sequence[tuple[list[Dataset], str]]) -> Told:
    """Print jobs one after the other, and say what came of them; one that failed ends it.

    Parameters
    ----------
    peer : Peer
        The printer, as the system talks to it.
    jobs : sequence of (list of Dataset, str)
        See :func:`printable`.
    """
    films, warnings = 0, []
    for images, layout in jobs:
        report = print_films(peer, profile, activity, images, layout=layout)
        films += report.films
        if not report.is_printed:
            row = next(row for row in report if row.outcome is PrintOutcome.FAILED)
            return Told(Outcome.FAILED, films, _in_words(row), peer.ae_title)
        warnings += [_in_words(row) for row in report.told]
    count = sum(len(images) for images, _ in jobs)
    return Told(
        Outcome.DONE, films, " ".join([f"{counted(count, 'image')} on {counted(films, 'film')}.", *warnings]), peer.ae_title
    )


def _in_words(row: PrintRow) -> str:
    return f"{row.step.capitalize()}: {row.status and f'status {row.status}, '}{row.text}."


def print_policy(profile: Profile, activity: Activity, *, is_color: bool) -> PrintPolicy:
    """Return what a system asks of a printer beside films, and what it does about statuses, by the tables of its statement."""
    members = [row for table in profile.of_kind("rows", activity=activity.name) for row in table.records()]
    of_printer = [str(row.get("services") or "") for row in members if row.get("uid") == _PRINTER]
    tables = profile.of_kind("statuses", entity=activity.entity, activity=activity.name)
    statuses = {
        step: [
            row
            for table in tables
            if table.uid == uid and service in table.title and _WORDS[not is_color].lower() not in table.title
            for row in devices.statuses(profile, activity=activity.name)
            if row.source == table.source
        ]
        for step, uid, service in (*_STEPS, ("image", _IMAGES[is_color], "N-SET"))
    }
    return PrintPolicy(asks_state=not of_printer or any("N-GET" in each for each in of_printer), statuses=statuses)


def spelling(profile: Profile, *, is_color: bool) -> Spelling | None:
    """Return what makes the attributes of print management those of a statement's tables; None where it lists none.

    The function takes the SOP class of a film session, film box or image box and its attributes, and returns a new dataset with
    those of the rows: what they list, with one of the values that they list, and nothing else.
    """
    word = f"Basic {_WORDS[is_color]} Print Management"
    tables = {uid: message_rows(profile, uid, word) for uid in (_SESSION, _BOX, _IMAGES[is_color])}
    if not all(tables.values()):
        return None
    trees: dict[str, list[Row]] = {uid: of_rows(rows) for uid, rows in tables.items()}
    began = datetime.now()  # noqa: DTZ005 - DICOM has local times

    def spelled(sop_class_uid: str, attributes: Dataset) -> Dataset:
        if sop_class_uid not in trees:
            return attributes
        made = Dataset()
        made.update(attributes)
        for sequence in ("BasicGrayscaleImageSequence", "BasicColorImageSequence"):
            if sequence in made:
                setattr(made, sequence, [_described(item) for item in made[sequence].value])
        subject = Subject(profile, tables[sop_class_uid], Step(Dataset(), began))
        Filler(profile, began, subject).fill(made, trees[sop_class_uid])
        keep_listed(made, trees[sop_class_uid])
        return made

    return spelled


def _written(profile: Profile, texts: Sequence[str]) -> Spelling:
    """Return what has annotation boxes say the character set in which the system writes texts."""
    said = character_set_for(profile, _ANNOTATION, texts, is_listed=False)

    def written(sop_class_uid: str, attributes: Dataset) -> Dataset:
        if sop_class_uid != _ANNOTATION or said is None:
            return attributes
        made = Dataset()
        made.update(attributes)
        made.SpecificCharacterSet = said.split("\\") if "\\" in said else said
        return made

    return written


def _described(item: Dataset) -> Dataset:
    """Return an image with its pixel aspect ratio, colours plane after plane (PS3.3 C.7.6.3.1.3)."""
    made = Dataset()
    made.update(item)
    if "PixelAspectRatio" not in made:
        made.PixelAspectRatio = [1, 1]
    if made.SamplesPerPixel == 3 and made.PlanarConfiguration == 0:
        size = made.Rows * made.Columns * 3
        planes = np.frombuffer(made.PixelData, dtype=np.uint8, count=size).reshape(-1, 3).T.tobytes()
        made.PlanarConfiguration, made.PixelData = 1, planes + b"\0" * (size % 2)
    return made


def _layout(profile: Profile, *, is_color: bool) -> str:
    tables = [t.id for t in profile.of_kind("message") if t.uid == _BOX and _WORDS[is_color] in t.title]
    rows = devices.attributes(profile, *tables)
    listed = next((row.value for row in rows if row.path == "(2010,0010)" and row.value), "")
    return listed.split(" | ")[0] or "STANDARD\\2,2"


def _is_color(dataset: Dataset) -> bool | None:
    """Whether an image goes on a colour film; None where it is none."""
    if "PhotometricInterpretation" not in dataset:
        return None
    return not str(dataset.PhotometricInterpretation).startswith("MONOCHROME")
