"""Key Object Selection documents (PS3.3 A.35.4, PS3.16 TID 2010).

Knows: the titles of CID 7010 and what a selection holds.
Does not know: why something was selected.
"""

from collections.abc import Sequence
from enum import Enum

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.sr import CodedConcept
from pydicom import Dataset

from workbench.builders.authors import WORKBENCH, Author, authored, building, observers
from workbench.builders.sources import inherit, inheritable, plain
from workbench.entities import Code
from workbench.files import given

__all__ = ["SelectionTitle", "selection"]


class SelectionTitle(Enum):
    """Document titles of CID 7010 (PS3.16), as codes of scheme DCM."""

    OF_INTEREST = Code("113000", "DCM", "Of Interest")
    REJECTED_FOR_QUALITY = Code("113001", "DCM", "Rejected for Quality Reasons")
    FOR_REFERRING_PROVIDER = Code("113002", "DCM", "For Referring Provider")
    FOR_SURGERY = Code("113003", "DCM", "For Surgery")
    FOR_TEACHING = Code("113004", "DCM", "For Teaching")
    FOR_CONFERENCE = Code("113005", "DCM", "For Conference")
    FOR_THERAPY = Code("113006", "DCM", "For Therapy")
    FOR_PATIENT = Code("113007", "DCM", "For Patient")
    FOR_PEER_REVIEW = Code("113008", "DCM", "For Peer Review")
    FOR_RESEARCH = Code("113009", "DCM", "For Research")
    QUALITY_ISSUE = Code("113010", "DCM", "Quality Issue")
    BEST_IN_SET = Code("113013", "DCM", "Best In Set")
    FOR_PRINTING = Code("113018", "DCM", "For Printing")
    FOR_REPORT_ATTACHMENT = Code("113020", "DCM", "For Report Attachment")
    MANIFEST = Code("113030", "DCM", "Manifest")


def selection(
    instances: Dataset | Sequence[Dataset],
    *,
    title: SelectionTitle = SelectionTitle.OF_INTEREST,
    description: str = "",
    author: Author = WORKBENCH,
) -> Dataset:
    """Return a Key Object Selection document that refers to `instances`.

    Parameters
    ----------
    instances : Dataset or sequence of Dataset
        What is selected: images, reports, waveforms; of one patient and study. They are not changed.
    title : SelectionTitle
        Why, by CID 7010.
    description : str
        Key Object Description, in words.
    author : Author
        Who selected.

    Returns
    -------
    Dataset
        With file meta information, in Explicit VR Little Endian.

    Raises
    ------
    InputError
        If they are not datasets.
    BuildRefused
        If `instances` is empty or of several patients or studies.

    Notes
    -----
    The items that refer to images carry no Purpose of Reference, as TID 2010 row 8 demands.
    """
    listed = given.several(instances, what="instances")
    sources = inheritable(listed)
    unique = list({str(s.SOPInstanceUID): s for s in sources}.values())
    with building("key object selection (PS3.16 TID 2010)", of=sources):
        content = KeyObjectSelection(
            document_title=CodedConcept(title.value.value, title.value.scheme, title.value.meaning),
            referenced_objects=unique,
            **observers(author),
            description=description or None,
        )
        document = KeyObjectSelectionDocument(
            evidence=unique,
            content=content,
            **authored(author, series_number=9001),
        )
    inherit(document, listed[0])
    for item in document.ContentSequence:
        if item.ValueType == "IMAGE" and "ConceptNameCodeSequence" in item:
            del item.ConceptNameCodeSequence
    document.SeriesDescription = f"Key objects: {title.value.meaning}"
    return plain(document)
