"""Where identities are planted: one function a kind of place.

Knows: attributes that carry identities, and how to make strings that occur nowhere else.
Does not know: pixels, files.
"""

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from workbench.entities import Code
from workbench.standard import coded


class Planter:
    """Makes strings that occur nowhere else, and remembers them."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng([seed, 15])
        self._planted: list[str] = []
        self.study_date = self.date()
        self.digits = str(self._random.integers(10**11, 10**12))
        self._planted.append(self.digits)

    @property
    def planted(self) -> tuple[str, ...]:
        """All strings that were made, each once."""
        return tuple(dict.fromkeys(self._planted))

    def _keep(self, value: str) -> str:
        self._planted.append(value)
        return value

    def _word(self, length: int = 7) -> str:
        consonants, vowels = "bdfghjklmnprstvz", "aeiou"
        letters = [str(self._random.choice(list((consonants, vowels)[i % 2]))) for i in range(length)]
        return "".join(letters).capitalize()

    def text(self, prefix: str = "", longest: int = 64) -> str:
        """Return a short text that ends in a planted word."""
        word = self._keep(self._word(7) + str(self._random.integers(10, 99)))
        return f"{prefix[: max(0, longest - len(word) - 1)]} {word}".strip() if prefix else word

    def name(self) -> str:
        """Return a person's name with an alphabetic, an ideographic and a phonetic group, all planted."""
        family, given = self._keep(self._word(9)), self._keep(self._word(7))
        groups = [
            "^".join(self._keep("".join(chr(int(c)) for c in self._random.integers(*span, 3))) for _ in range(2))
            for span in ((0x4E00, 0x9000), (0x3042, 0x3090))
        ]
        return "=".join([f"{family}^{given}", *groups])

    def plain_name(self) -> str:
        """Return a person's name with one group."""
        return f"{self._keep(self._word(9))}^{self._keep(self._word(7))}"

    def date(self) -> str:
        """Return a date between 1931 and 2019."""
        year, month, day = self._random.integers((1931, 1, 1), (2019, 13, 29))
        return self._keep(f"{year:04d}{month:02d}{day:02d}")

    def time(self) -> str:
        """Return a time with microseconds."""
        hour, minute, second, micro = self._random.integers((0, 0, 0, 100_000), (24, 60, 60, 999_999))
        return self._keep(f"{hour:02d}{minute:02d}{second:02d}.{micro:06d}")

    def uid(self) -> str:
        """Return a UID that has the patient's number in it, as some makers build them."""
        return self._keep(f"2.25.{self.digits}{self._random.integers(10**6, 10**7)}")


def people(dataset: Dataset, plant: Planter) -> None:
    """Plant in person names, identifiers and what is told of a patient (PS3.3 C.7.1.1, C.7.2.2, C.2.2 to C.2.4)."""
    for keyword in (
        "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName", "NameOfPhysiciansReadingStudy",
        "PhysiciansOfRecord", "RequestingPhysician", "ScheduledPerformingPhysicianName",
        "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "ResponsiblePerson",
    ):  # fmt: skip
        setattr(dataset, keyword, plant.plain_name())
    for keyword in ("Occupation", "ResponsibleOrganization", "PatientReligiousPreference", "MilitaryRank"):
        setattr(dataset, keyword, plant.text(longest=16))
    dataset.ResponsiblePersonRole = "PARENT"
    dataset.IssuerOfPatientID = plant.text("Issuer")
    dataset.PatientAddress = plant.text("12 Heron Street,")
    dataset.PatientTelephoneNumbers = plant.text("555", 16)
    dataset.CountryOfResidence, dataset.RegionOfResidence = plant.text("Country"), plant.text("Region")
    dataset.EthnicGroup = plant.text(longest=16)
    other = Dataset()
    other.PatientID, other.IssuerOfPatientID, other.TypeOfPatientID = plant.text("OTHER"), plant.text("Issuer"), "TEXT"
    dataset.OtherPatientIDsSequence = Sequence([other])


def places(dataset: Dataset, plant: Planter) -> None:
    """Plant in institutions, addresses and devices (PS3.3 C.7.5.1)."""
    for keyword in ("InstitutionName", "InstitutionalDepartmentName", "CurrentPatientLocation", "PatientInstitutionResidence"):
        setattr(dataset, keyword, plant.text("Ward"))
    dataset.InstitutionAddress = plant.text("1 Hospital Square,")
    dataset.StationName, dataset.DeviceSerialNumber = plant.text("ST", 16), plant.text("SN")
    dataset.DetectorID, dataset.GantryID, dataset.PlateID = (plant.text("ID", 16) for _ in range(3))
    dataset.PerformedStationName, dataset.PerformedStationAETitle = plant.text("ST", 16), plant.text("AE", 16)
    dataset.PerformedLocation = plant.text(longest=16)
    code = coded(Code("HOSP1", "99PLANT", plant.text("Hospital")))
    dataset.InstitutionCodeSequence = Sequence([code])


def times(dataset: Dataset, plant: Planter) -> None:
    """Plant in dates and times."""
    for keyword in ("SeriesDate", "AcquisitionDate", "ContentDate", "InstanceCreationDate", "PerformedProcedureStepStartDate"):
        setattr(dataset, keyword, plant.study_date)
    for keyword in ("PatientBirthTime", "InstanceCreationTime", "PerformedProcedureStepStartTime"):
        setattr(dataset, keyword, plant.time())
    dataset.AcquisitionDateTime = plant.date() + plant.time()
    dataset.DateOfLastCalibration, dataset.TimeOfLastCalibration = plant.date(), plant.time()
    dataset.LastMenstrualDate, dataset.AdmittingDate = plant.date(), plant.date()


def free_text(dataset: Dataset, plant: Planter) -> None:
    """Plant in text of each VR, in an overlay, in a curve and in trailing padding."""
    for keyword in (
        "PatientComments", "AdditionalPatientHistory", "ImageComments", "AcquisitionComments", "VisitComments",
        "ProtocolName", "AdmittingDiagnosesDescription", "MedicalAlerts", "Allergies", "SpecialNeeds", "PatientState",
        "DerivationDescription", "RequestedProcedureDescription", "PerformedProcedureStepDescription",
        "CommentsOnThePerformedProcedureStep", "AcquisitionProtocolDescription", "ContrastBolusAgent", "InterpretationText",
        "ReasonForStudy", "StudyComments", "RequestedProcedureComments", "ImagingServiceRequestComments", "ServiceEpisodeID",
    ):  # fmt: skip
        setattr(dataset, keyword, plant.text("seen by"))
    dataset.LabelText = "A long account. " * 20 + plant.text("of")  # VR UT
    dataset.add_new(0x60000010, "US", 16)
    dataset.add_new(0x60000011, "US", 16)
    dataset.add_new(0x60000040, "CS", "G")
    dataset.add_new(0x60000050, "SS", [1, 1])
    dataset.add_new(0x60000100, "US", 1)
    dataset.add_new(0x60000102, "US", 0)
    dataset.add_new(0x60003000, "OW", plant.text("overlay").encode().ljust(32))
    dataset.add_new(0x60004000, "LT", plant.text("drawn by"))
    dataset.add_new(0x50000022, "LO", plant.text("curve of"))
    dataset.add_new(0x50003000, "OW", plant.text("curve data").encode().ljust(40))
    dataset.add_new(0xFFFCFFFC, "OB", plant.text("padding").encode().ljust(40))


def requests(dataset: Dataset, plant: Planter) -> None:
    """Plant in sequences that belong to orders and to history, one to three deep (PS3.3 10.6, C.12.1)."""
    staff, code, request = Dataset(), Dataset(), Dataset()
    staff.PersonAddress, staff.PersonTelephoneNumbers = plant.text("7 Rook Lane,"), plant.text("555", 16)
    staff.InstitutionName = plant.text("Practice")
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "P1", "99PLANT", plant.plain_name()
    staff.PersonIdentificationCodeSequence = Sequence([code])
    dataset.ReferringPhysicianIdentificationSequence = Sequence([staff])
    request.RequestedProcedureID, request.ScheduledProcedureStepID = plant.text(longest=16), plant.text(longest=16)
    request.RequestedProcedureDescription = plant.text("Chest of")
    request.ReasonForTheRequestedProcedure = plant.text("Cough of")
    request.AccessionNumber, request.StudyInstanceUID = plant.text(longest=16), plant.uid()
    dataset.RequestAttributesSequence = Sequence([request])
    before, change = Dataset(), Dataset()
    before.PatientName, before.PatientID = plant.plain_name(), plant.text("OLD")
    change.ModifiedAttributesSequence = Sequence([before])
    change.AttributeModificationDateTime, change.ModifyingSystem = plant.date() + plant.time(), plant.text("PACS of")
    change.SourceOfPreviousValues, change.ReasonForTheAttributeModification = plant.text("HIS of"), "CORRECT"
    dataset.OriginalAttributesSequence = Sequence([change])


def codes(dataset: Dataset, plant: Planter) -> None:
    """Plant in items that stay, one, two and three deep."""
    region = coded(Code("816094009", "SCT", "Chest"))
    modifier = coded(Code("51440002", "SCT", "Right and left"))
    equivalent = coded(Code("R-102CD", "99PLANT", "Both sides"))
    for item in (region, modifier, equivalent):
        item.PatientName, item.PatientComments = plant.plain_name(), plant.text("nested comment")
        item.AcquisitionDate, item.FrameOfReferenceUID = plant.date(), plant.uid()
        block = item.private_block(0x0019, "PLANTED NESTED", create=True)
        block.add_new(0x01, "LO", plant.text("nested private"))
    modifier.EquivalentCodeSequence = Sequence([equivalent])
    region.AnatomicRegionModifierSequence = Sequence([modifier])
    dataset.AnatomicRegionSequence = Sequence([region])


def private_attributes(dataset: Dataset, plant: Planter) -> None:
    """Plant in private attributes: text, bytes without a known VR, items, and the creator itself (PS3.5 7.8)."""
    block = dataset.private_block(0x0011, "PLANTED 1.0", create=True)
    block.add_new(0x01, "LO", plant.text("private"))
    block.add_new(0x02, "UN", plant.text("bytes of").encode().ljust(30))
    block.add_new(0x03, "PN", plant.plain_name())
    block.add_new(0x04, "UT", plant.text("private account of"))
    inner, outer = Dataset(), Dataset()
    inner.private_block(0x0011, "PLANTED 1.0", create=True).add_new(0x01, "LT", plant.text("deep private"))
    inner.PatientID = plant.text("DEEP")
    outer.private_block(0x0013, "PLANTED 2.0", create=True).add_new(0x05, "SQ", Sequence([inner]))
    block.add_new(0x05, "SQ", Sequence([outer]))
    dataset.private_block(0x0029, plant.text("CLINIC"), create=True).add_new(0x10, "OB", plant.text("blob").encode().ljust(20))


def uids(dataset: Dataset, plant: Planter) -> None:
    """Plant in UIDs, in those of the instance and in references."""
    for keyword in (
        "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID", "DeviceUID", "IrradiationEventUID",
    ):  # fmt: skip
        setattr(dataset, keyword, plant.uid())
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = dataset.SOPClassUID, plant.uid()
    source.PurposeOfReferenceCodeSequence = Sequence([coded(Code("121322", "DCM", "Source of image processing operation"))])
    dataset.SourceImageSequence = Sequence([source])
    dataset.PositionReferenceIndicator = ""
