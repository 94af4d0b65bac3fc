-- The index of an archive: three tables, columns named by keyword (PS3.6), text decoded and without padding.
-- Attributes of a patient are those of the first instance of each study; of a study and of a series likewise.
-- Whatever stands here can be built again from the files.

CREATE TABLE IF NOT EXISTS studies (
    StudyInstanceUID TEXT PRIMARY KEY,
    PatientName TEXT, PatientID TEXT, IssuerOfPatientID TEXT, PatientBirthDate TEXT, PatientBirthTime TEXT,
    PatientSex TEXT, OtherPatientIDs TEXT, OtherPatientNames TEXT, EthnicGroup TEXT, PatientComments TEXT,
    StudyDate TEXT, StudyTime TEXT, AccessionNumber TEXT, StudyID TEXT, StudyDescription TEXT,
    ReferringPhysicianName TEXT, NameOfPhysiciansReadingStudy TEXT, AdmittingDiagnosesDescription TEXT, PatientAge TEXT,
    PatientSize TEXT, PatientWeight TEXT, Occupation TEXT,
    -- Patient's Name as it is compared: case folded
    PatientNameFolded TEXT
);

CREATE TABLE IF NOT EXISTS series (
    StudyInstanceUID TEXT NOT NULL,
    SeriesInstanceUID TEXT NOT NULL,
    Modality TEXT, SeriesNumber TEXT, SeriesDescription TEXT, SeriesDate TEXT, SeriesTime TEXT, BodyPartExamined TEXT,
    Laterality TEXT, ProtocolName TEXT, InstitutionName TEXT, StationName TEXT, Manufacturer TEXT,
    ManufacturerModelName TEXT, OperatorsName TEXT, PerformingPhysicianName TEXT, PerformedProcedureStepStartDate TEXT,
    PerformedProcedureStepStartTime TEXT, FrameOfReferenceUID TEXT,
    PRIMARY KEY (StudyInstanceUID, SeriesInstanceUID)
);

CREATE TABLE IF NOT EXISTS instances (
    SOPInstanceUID TEXT PRIMARY KEY,
    SOPClassUID TEXT NOT NULL,
    StudyInstanceUID TEXT NOT NULL,
    SeriesInstanceUID TEXT NOT NULL,
    AvailableTransferSyntaxUID TEXT NOT NULL,
    SourceApplicationEntityTitle TEXT,
    file_bytes INTEGER NOT NULL,
    received_at REAL NOT NULL,
    InstanceNumber TEXT, ContentDate TEXT, ContentTime TEXT, AcquisitionDate TEXT, AcquisitionTime TEXT,
    AcquisitionDateTime TEXT, AcquisitionNumber TEXT, InstanceCreationDate TEXT, InstanceCreationTime TEXT,
    ImageType TEXT, ImageLaterality TEXT, NumberOfFrames TEXT, Rows TEXT, Columns TEXT, BitsAllocated TEXT,
    SliceLocation TEXT, ImageComments TEXT
);

-- The same SOP Instance UID with other bytes: both are kept, the second one in quarantine.
CREATE TABLE IF NOT EXISTS conflicts (
    file TEXT PRIMARY KEY,
    SOPInstanceUID TEXT NOT NULL,
    kept_sha256 TEXT NOT NULL,
    other_sha256 TEXT NOT NULL,
    other_transfer_syntax_uid TEXT NOT NULL,
    source_ae_title TEXT NOT NULL,
    received_at REAL NOT NULL
);

CREATE INDEX IF NOT EXISTS studies_by_patient_id ON studies (PatientID);
CREATE INDEX IF NOT EXISTS studies_by_date ON studies (StudyDate);
CREATE INDEX IF NOT EXISTS studies_by_accession_number ON studies (AccessionNumber);
CREATE INDEX IF NOT EXISTS series_by_uid ON series (SeriesInstanceUID);
CREATE INDEX IF NOT EXISTS series_by_modality ON series (Modality);
CREATE INDEX IF NOT EXISTS instances_by_series ON instances (StudyInstanceUID, SeriesInstanceUID);
