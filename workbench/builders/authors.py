"""Who made a derived object: equipment and person (PS3.3 C.7.5.1, PS3.16 TID 1002).

Knows: how an author is written down as equipment attributes and as observer context.
Does not know: the objects that are made.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import highdicom.sr as hd
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from workbench.errors import BuildRefused

__all__ = ["HIGHDICOM_ERRORS", "WORKBENCH", "Author", "authored", "building", "observers"]

#: What highdicom raises where it refuses a value; it was given none of the patient's.
HIGHDICOM_ERRORS = (ValueError, TypeError, AttributeError, LookupError)


@dataclass(frozen=True, slots=True)
class Author:
    """The maker of a derived object.

    Parameters
    ----------
    person : str
        Person who observed, as a DICOM person name (PS3.5 6.2, PN); without one the equipment is the observer.
    manufacturer, model, serial_number, software_version : str
        Manufacturer (0008,0070), Manufacturer's Model Name (0008,1090), Device Serial Number (0018,1000) and
        Software Versions (0018,1020).
    """

    person: str = ""
    manufacturer: str = "DICOM Workbench"
    model: str = "dicom-workbench"
    serial_number: str = "0"
    software_version: str = version("dicom-workbench")


WORKBENCH = Author()


def authored(author: Author, *, series_number: int) -> dict[str, Any]:
    """Return what a new object in a new series has, as highdicom names it: its UIDs, numbers and equipment."""
    return {
        "series_instance_uid": generate_uid(None),
        "series_number": series_number,
        "sop_instance_uid": generate_uid(None),
        "instance_number": 1,
        "manufacturer": author.manufacturer,
        "manufacturer_model_name": author.model,
        "software_versions": author.software_version,
        "device_serial_number": author.serial_number,
    }


@contextmanager
def building(what: str, *, of: Sequence[Dataset]) -> Iterator[None]:
    """Translate what highdicom raises while it builds.

    Parameters
    ----------
    what : str
        What is built, and by which section.
    of : sequence of Dataset
        The stand-ins of the instances that it refers to.

    Raises
    ------
    BuildRefused
        If highdicom refuses; where it does not know the SOP class of an instance, the message says so.
    """
    try:
        yield
    except BuildRefused:
        raise
    except HIGHDICOM_ERRORS as error:
        unknown = next((d for d in of if str(d.SOPClassUID) in str(error)), None)
        if unknown is None:
            raise BuildRefused(f"The {what} can't be built: {error}") from error
        raise BuildRefused(
            f"The {what} can't be built: instance {unknown.SOPInstanceUID} is of SOP class {unknown.SOPClassUID}, which is private "
            "or no longer standard, so what such an image holds is not known (PS3.6 A). A key object selection can refer to it."
        ) from error


def observers(author: Author) -> dict[str, Any]:
    """Return the observer contexts of TID 1002: the person where one is named, else the device."""
    if author.person:
        person = hd.ObserverContext(codes.DCM.Person, hd.PersonObserverIdentifyingAttributes(author.person))
        return {"observer_person_context": person, "observer_device_context": None}
    identity = hd.DeviceObserverIdentifyingAttributes(
        generate_uid(None), manufacturer_name=author.manufacturer, model_name=author.model, serial_number=author.serial_number
    )
    return {"observer_person_context": None, "observer_device_context": hd.ObserverContext(codes.DCM.Device, identity)}
