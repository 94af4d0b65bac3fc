"""Who made it: equipment, and a person or a device as observer (PS3.16 TID 1002)."""

import pytest

from workbench import builders

PERSON = builders.Author(
    person="Møller^Åse^^Dr.", manufacturer="Ward 7", model="Reader", serial_number="S-1", software_version="2.5"
)


def observer(document):
    return {
        item.ConceptNameCodeSequence[0].CodeMeaning: item
        for item in document.ContentSequence
        if item.RelationshipType == "HAS OBS CONTEXT"
    }


@pytest.mark.parametrize("name", ["measurement", "selection", "grayscale"])
def test_the_workbench_is_the_equipment_unless_it_is_said_otherwise(all_builders, ct, name):
    built = all_builders[name](ct)
    assert (built.Manufacturer, built.ManufacturerModelName) == ("DICOM Workbench", "dicom-workbench")
    assert built.SoftwareVersions == builders.WORKBENCH.software_version
    assert built.DeviceSerialNumber == "0"


def test_a_person_observes(ct, region):
    for document in (builders.measurement([region(ct[0])], author=PERSON), builders.selection(ct, author=PERSON)):
        items = observer(document)
        assert items["Observer Type"].ConceptCodeSequence[0].CodeValue == "121006"  # Person
        assert items["Person Observer Name"].PersonName == "Møller^Åse^^Dr."
        assert not any("Device" in name for name in items)
        assert (document.Manufacturer, document.DeviceSerialNumber, document.SoftwareVersions) == ("Ward 7", "S-1", "2.5")


def test_without_a_person_the_device_observes(ct, region):
    for document in (builders.measurement([region(ct[0])]), builders.selection(ct)):
        items = observer(document)
        assert items["Observer Type"].ConceptCodeSequence[0].CodeValue == "121007"  # Device
        assert items["Device Observer Manufacturer"].TextValue == "DICOM Workbench"
        assert items["Device Observer UID"].UID.startswith("2.25.")


def test_a_person_creates_a_presentation_state(ct):
    assert builders.grayscale(ct, author=PERSON).ContentCreatorName == "Møller^Åse^^Dr."
    assert builders.grayscale(ct).ContentCreatorName == ""
