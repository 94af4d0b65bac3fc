"""A summary says what an object is, and its repr names nobody."""

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from workbench import inspection


def image():
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.128", "1.2.3.4.5.6.7.8.9.10.11"
    made.PatientName, made.PatientID, made.StudyDate = "DOE^JANE", "4711", "20240229"
    made.SeriesDescription = "Jane's brain"
    made.Manufacturer, made.Modality = "ACME", "PT"
    made.Rows, made.Columns, made.BitsStored, made.BitsAllocated, made.PixelRepresentation = 128, 64, 16, 16, 1
    made.PhotometricInterpretation, made.PixelSpacing = "MONOCHROME2", [4, 4]
    made.private_block(0x9, "ACME 1", create=True).add_new(1, "LO", "x")
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def test_it_says_what_the_object_is():
    shown = inspection.summary(image())
    assert shown["Kind"] == "Positron Emission Tomography Image Storage"
    assert shown["Pixels"] == "128 rows × 64 columns, 16 of 16 bits, signed, MONOCHROME2"
    assert shown["Geometry"] == "pixel spacing 4.0 · 4.0 mm"
    assert shown["Encoding"] == "Explicit VR Little Endian"
    assert shown["UIDs"] == "instance …7.8.9.10.11"
    assert shown["Content"].startswith("17 attributes, 2 private, sequences 0 deep")
    assert shown["nothing of the kind"] == ""


def test_people_are_shown_on_request_and_never_in_the_repr():
    shown = inspection.summary(image())
    assert "DOE^JANE" in str(shown)
    assert "DOE^JANE" in shown._repr_html_()
    for secret in ("DOE", "4711", "20240229", "Jane"):
        assert secret not in repr(shown)
    assert "Positron Emission" in repr(shown)


def test_an_empty_dataset_has_a_summary():
    assert inspection.summary(Dataset())["Kind"] == "no SOP Class UID, Modality unknown"


def test_a_station_is_no_institution():
    made = image()
    made.InstitutionName, made.StationName = "St. Jane's", "CT01"
    shown = inspection.summary(made)
    assert (shown["Institution"], shown["Station"]) == ("St. Jane's", "CT01")
    assert "CT01" not in repr(shown)
