"""A CT with a planted identity in every kind of place.

Knows: where identities hide: names, numbers, dates, free text, UIDs, private attributes, nested items, file meta.
Does not know: how they are removed.
"""

from dataclasses import dataclass, field

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage

from workbench.phantoms import _modules as modules
from workbench.phantoms._planting import Planter, codes, free_text, people, places, private_attributes, requests, times, uids
from workbench.phantoms.ct import ct_image

__all__ = ["Planted", "planted_ct"]


@dataclass(frozen=True, slots=True)
class Planted:
    """A dataset and every string in it that could tell whose it is.

    Parameters
    ----------
    dataset : Dataset
        A CT image of 64 x 64 pixels, with its file meta information.
    identities : tuple of str
        Each stands somewhere in the bytes of the saved dataset, and none may be there after de-identification.
    """

    dataset: Dataset = field(repr=False)
    identities: tuple[str, ...] = field(repr=False)


def planted_ct(seed: int = 0) -> Planted:
    """Return a CT with identities in every kind of place.

    They are in person names (with ideographic and phonetic groups), identifiers, dates and times, addresses,
    institutions, device serial numbers, free text of each VR, overlays and curves, UIDs, private attributes with
    text, bytes and items, sequences nested one to three deep, request, original and other patient ID sequences,
    trailing padding, and the file meta information.

    Parameters
    ----------
    seed : int
        Another seed, other identities.

    Returns
    -------
    Planted
        The dataset and its identities.
    """
    planter = Planter(seed)
    person = modules.Person(planter.name(), planter.text("PID", 12), planter.date(), "F", 68.0, 1.7, "083Y")
    visit = modules.Visit(
        person, planter.study_date, planter.time(), planter.text("ACC", 12), planter.text("Study"), f"planted/{seed}"
    )
    series = modules.Series(visit, 1, planter.text("Series"), "CT", planter.time(), "ct")
    random = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    values = np.where(np.hypot(x, y) < 0.8, 40, -1000) + random.integers(-8, 8, (64, 64))
    dataset = modules.instance(
        series,
        sop_class=CTImageStorage,
        number=1,
        modules=(
            modules.equipment("Tomograph 64"),
            modules.image_plane(position_mm=(-126.0, -126.0, 0.0), spacing_mm=4.0, thickness_mm=5.0),
            ct_image(values.astype(np.int16), time=planter.time()),
        ),
    )
    for plant in (people, places, times, free_text, requests, codes, private_attributes, uids):
        plant(dataset, planter)
    dataset.PatientPosition, dataset.BodyPartExamined = "HFS", "CHEST"
    meta = dataset.file_meta
    meta.MediaStorageSOPInstanceUID = UID(dataset.SOPInstanceUID)
    meta.SourceApplicationEntityTitle = planter.text("AE", 16)
    meta.PrivateInformationCreatorUID = UID(planter.uid())
    meta.PrivateInformation = planter.text("meta private").encode().ljust(40)
    return Planted(dataset, planter.planted)
