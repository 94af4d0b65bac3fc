"""An archive of instances: files as they came, and an index over them.

Knows: what it means to add, find, open and remove.
Does not know: networks, pixels.
"""

import logging
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self, get_args

from pydicom import Dataset

from workbench.archive._encoding import encoded
from workbench.archive._header import INFLATED_LIMIT_BYTES
from workbench.archive._query import Matches, Query, find_references, level_of, table_query
from workbench.archive._reading import some_attributes, source_header
from workbench.archive._receiving import Receiving
from workbench.archive._shelf import Shelf
from workbench.archive._store import Durability
from workbench.entities import Finding, Findings, InstanceRef, Reference, Rows, Severity, html_table, uid_checked
from workbench.errors import AttributeUnusable, InstanceNotFound, QueryKeyInvalid
from workbench.files import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, Limits, Part10, read
from workbench.standard import UNIQUE_KEYS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Archive", "Conflict", "Conflicts", "Counts"]

_logger = logging.getLogger(__name__)
_CHUNK_BYTES = 1 << 20
_LIMITS = Limits(inflated_bytes=INFLATED_LIMIT_BYTES)
_REF = "SELECT StudyInstanceUID, SeriesInstanceUID, SOPClassUID, SOPInstanceUID FROM instances"
_COUNTS = """SELECT (SELECT COUNT(DISTINCT IFNULL(PatientID, '')) FROM studies WHERE StudyInstanceUID <> ''),
    (SELECT COUNT(*) FROM studies WHERE StudyInstanceUID <> ''), (SELECT COUNT(*) FROM series WHERE StudyInstanceUID <> ''),
    (SELECT COUNT(*) FROM instances)"""


@dataclass(frozen=True, slots=True)
class Counts:
    """How much an archive holds. Instances that belong to no patient count as instances only."""

    patients: int
    studies: int
    series: int
    instances: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two datasets with one SOP Instance UID.

    Parameters
    ----------
    sop_instance_uid : str
        Which one.
    kept_sha256, other_sha256 : str
        SHA-256 of the encoded dataset that came first and of the one in quarantine.
    path : Path
        Where the other one lies, a file of PS3.10.
    source_ae_title : str
        Who sent the other one, where that is known.
    received_at : float
        When, in seconds since 1970.
    """

    sop_instance_uid: str
    kept_sha256: str
    other_sha256: str
    path: Path
    source_ae_title: str
    received_at: float


class Conflicts(Rows[Conflict]):
    """Conflicts in the order in which they came."""

    __slots__ = ()
    row_type: ClassVar[type | None] = Conflict


class Archive:
    """A folder of instances with an index; several threads and several processes may use it at once.

    Parameters
    ----------
    root : Path or str
        The folder; it is made where it does not exist, readable by its owner only.
    durability : {"process", "power"}
        What an instance survives once it was added. ``"process"``: the end of this process in any way, ``kill -9``
        included, since the whole file has its name by then; what the operating system has not yet written is lost
        if the power fails. ``"power"``: a loss of power too: file and folder are synchronized (fsync) before the
        instance counts as added, which costs some milliseconds each.
    implementation : tuple of str
        Implementation Class UID and Version Name that its files name as who wrote them: by default this library, otherwise the
        system that the archive is part of.

    Notes
    -----
    The dataset of every instance is stored byte for byte as it came, after a file meta information of our own
    (PS3.10 7.1). The index holds about sixty attributes; those of a patient, a study or a series are the
    ones of the first instance that came. It is written a moment later, in batches; reading waits for it. Whatever
    is missing in it after a crash is read again from the files, when the archive is next opened.

    Several archives on the same folder, in one process or in several, see each other's instances after a moment
    (0.02 s and the time to write them); a sweep at opening touches only what dead processes left.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Archive(folder) as archive:
    ...     archive.counts()
    Counts(patients=0, studies=0, series=0, instances=0)
    """

    def __init__(
        self,
        root: Path | str,
        *,
        durability: Durability = "process",
        implementation: tuple[str, str] = (IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME),
    ) -> None:
        if durability not in get_args(Durability):
            raise AttributeUnusable(f"durability is 'process' or 'power', not {durability!r}.")
        self.root = Path(root).absolute()
        self.durability, self._implementation = durability, implementation
        self._shelf = Shelf(self.root, durability=durability)
        self._finalizer = weakref.finalize(self, self._shelf.close)

    # ------------------------------------------------------------ coming in
    def add(self, source: Dataset | bytes | Path | str, *, transfer_syntax_uid: str | None = None) -> InstanceRef:
        """Store an instance.

        Parameters
        ----------
        source : Dataset, bytes, Path or str
            A dataset, which is encoded; or a file of PS3.10 as bytes or by its path, whose dataset is stored as it is
            under its own UIDs, whatever the file meta information says.
        transfer_syntax_uid : str, optional
            How to encode a dataset, where its `file_meta` does not say it; how bytes are encoded that have no
            file meta information.

        Returns
        -------
        InstanceRef
            Adding the same dataset again returns the same reference and stores nothing.

        Raises
        ------
        AttributeUnusable
            If SOP Class or Instance UID is missing, or the dataset can't be encoded.
        UidInvalid
            If the SOP Instance UID is none by PS3.5 9.1.
        NotDicom, DatasetIncomplete, LimitExceeded
            If it can't be read to its end.
        InstanceConflict
            If the archive has other bytes under this UID; both are kept, see :meth:`conflicts`.
        StorageFull
            If there is no space left; nothing is kept of it.
        """
        if isinstance(source, Dataset):
            source = encoded(source, transfer_syntax_uid)
        whole = Path(source) if isinstance(source, str) else source
        part = Part10.locate(whole)
        syntax = part.transfer_syntax_uid or transfer_syntax_uid or read(whole, stop_before_pixels=True).transfer_syntax_uid
        values = source_header(whole, part.dataset_offset, syntax).values  # noqa: PD011 - no array
        for keyword in ("SOPClassUID", "SOPInstanceUID"):
            if not values.get(keyword):
                raise AttributeUnusable(f"The archive needs {keyword}, which the dataset does not have (PS3.3 C.12.1).")
        with self.receiving(
            sop_class_uid=values["SOPClassUID"], sop_instance_uid=values["SOPInstanceUID"], transfer_syntax_uid=syntax
        ) as receiving:
            if isinstance(whole, Path):
                with whole.open("rb", buffering=0) as file:
                    file.seek(part.dataset_offset)
                    while chunk := file.read(_CHUNK_BYTES):
                        receiving.write(chunk)
            else:
                with memoryview(whole) as view:
                    receiving.write(view[part.dataset_offset :])
            return receiving.commit()

    def receiving(
        self, *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str = ""
    ) -> Receiving:
        """Begin to receive an instance whose dataset comes in pieces.

        Parameters
        ----------
        sop_class_uid, sop_instance_uid : str
            As announced: Affected SOP Class and Instance UID (PS3.7 9.3.1.1).
        transfer_syntax_uid : str
            Of the presentation context.
        source_ae_title : str
            Who sends it; left out where it is no AE title.

        Raises
        ------
        UidInvalid
            If one of the UIDs is none by PS3.5 9.1; nothing has touched the disk then.
        """
        return Receiving(
            self._shelf,
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
            source_ae_title=source_ae_title,
            implementation=self._implementation,
        )

    # ------------------------------------------------------------ finding
    def find(self, identifier: Dataset, *, model: str = "STUDY") -> Iterator[Dataset]:
        """Yield an answer for each entity that matches (PS3.4 C.2.2.2, C.4.1).

        Parameters
        ----------
        identifier : Dataset
            With Query/Retrieve Level; other keys at this or a higher level, in any combination.
        model : {"STUDY", "PATIENT"}
            Study Root or Patient Root.

        Yields
        ------
        Dataset
            The keys that were asked for, with Query/Retrieve Level; in ISO_IR 192 where not all is ASCII.

        Raises
        ------
        QueryKeyInvalid
            If the level is missing or wrong, or a key of a lower level has a value.
        AttributeUnusable
            If a value can't be matched, such as a date range that runs backwards.

        Notes
        -----
        Counts, Modalities in Study, SOP Classes in Study, Instance Availability and Available Transfer Syntax UID
        are computed. An attribute that is not in the index, and any sequence, is read from one file of the entity
        (the one whose SOP Instance UID sorts first), which takes about 0.1 ms each; it is empty where that file does not
        have it. Private attributes and bulk data are no keys: they are not answered. The
        identifier is checked at once, before the first answer is asked for.
        """
        return iter(self.matches(identifier, model=model))

    def matches(
        self,
        identifier: Dataset,
        *,
        model: str = "STUDY",
        date_time: bool = False,
        fuzzy: bool = False,
        stored_time_zone: str = "",
    ) -> Matches:
        """Return what matches, as :meth:`find` does, in a form that gives datasets or encoded answers.

        Parameters
        ----------
        identifier : Dataset
            As for :meth:`find`.
        model : {"STUDY", "PATIENT"}
            Study Root or Patient Root.
        date_time : bool
            Whether a date and its time are matched as one moment: from the first time of the first date to the last time of
            the last date (PS3.4 C.2.2.2.5).
        fuzzy : bool
            Whether names of persons are matched by their words: without case and accents, in any order.
        stored_time_zone : str
            If given, and the identifier has Timezone Offset From UTC (0008,0201), then dates with times are moved to that
            offset before they are matched and answered: from the offset of the instance, or from this one where it has none.
            A file of each entity is read for it.

        Raises
        ------
        QueryKeyInvalid, AttributeUnusable
            As for :meth:`find`.
        """
        query = Query.of(identifier, model=model, date_time=date_time, fuzzy=fuzzy, stored_time_zone=stored_time_zone)
        self._shelf.index.flush()
        return Matches(self._shelf.index, query, self._witness)

    def _witness(self, sop_instance_uid: str, tags: Sequence[int]) -> Dataset | None:
        return some_attributes(self._shelf.store.path(sop_instance_uid), tags)

    def references(self, wanted: Reference | Dataset, *, model: str = "STUDY") -> list[InstanceRef]:
        """Return the instances that a reference or a retrieve identifier means (PS3.4 C.4.2).

        Parameters
        ----------
        wanted : PatientRef, StudyRef, SeriesRef, InstanceRef or Dataset
            A dataset must have Query/Retrieve Level and a value for the unique key of that level.
        model : {"STUDY", "PATIENT"}
            Of a dataset.

        Raises
        ------
        QueryKeyInvalid
            If a dataset has no level or no unique key: that would mean the whole archive.
        """
        if not isinstance(wanted, Dataset):
            wanted, model = _identifier(wanted), "PATIENT"
        level = level_of(wanted, model)
        query = Query.of(wanted, model=model, level="IMAGE")
        if not query.names(level):
            raise QueryKeyInvalid(f"A retrieve at level {level} needs {UNIQUE_KEYS[level]} (PS3.4 C.4.2.1.4).")
        self._shelf.index.flush()
        return list(find_references(self._shelf.index, query, self._witness))

    def path(self, ref: InstanceRef | str) -> Path:
        """Return the file of an instance, by reference or SOP Instance UID.

        Raises
        ------
        InstanceNotFound
            If the archive does not have it.
        UidInvalid
            If it is no UID.
        """
        uid = uid_checked(ref if isinstance(ref, str) else ref.sop_instance_uid, name="SOP Instance UID")
        path = self._shelf.store.path(uid)
        if not path.exists():
            raise InstanceNotFound(f"Instance {uid} is not in the archive {str(self.root)!r}.")
        return path

    def open(self, ref: InstanceRef | str) -> Dataset:
        """Return the dataset of an instance, by reference or SOP Instance UID.

        Raises
        ------
        InstanceNotFound
            If the archive does not have it.
        """
        return read(self.path(ref), limits=_LIMITS).dataset

    def __len__(self) -> int:
        return self.counts().instances

    def __iter__(self) -> Iterator[InstanceRef]:
        self._shelf.index.flush()
        return (InstanceRef(*row) for row in self._shelf.index.rows(f"{_REF} ORDER BY 1, 2, rowid"))

    def __contains__(self, ref: object) -> bool:
        uid = ref.sop_instance_uid if isinstance(ref, InstanceRef) else ref
        return isinstance(uid, str) and self._shelf.store.path(uid).exists()

    def counts(self) -> Counts:
        """Return how many patients, studies, series and instances there are."""
        self._shelf.index.flush()
        return Counts(*next(self._shelf.index.rows(_COUNTS)))

    def conflicts(self) -> Conflicts:
        """Return what came with the UID of a stored instance and other bytes."""
        rows = self._shelf.index.rows(
            "SELECT SOPInstanceUID, kept_sha256, other_sha256, file, source_ae_title, received_at FROM conflicts ORDER BY rowid"
        )
        return Conflicts(
            Conflict(uid, kept, other, self._shelf.store.quarantine / name, *rest) for uid, kept, other, name, *rest in rows
        )

    def table(self, level: str = "STUDY") -> "pd.DataFrame":
        """Return what the index holds, one row an entity.

        Parameters
        ----------
        level : {"PATIENT", "STUDY", "SERIES", "IMAGE"}
            Which entities.
        """
        import pandas as pd  # noqa: PLC0415 - half a second, and only wanted here

        names, sql = table_query(level)
        self._shelf.index.flush()
        return pd.DataFrame.from_records(list(self._shelf.index.rows(sql)), columns=names).convert_dtypes()

    # ------------------------------------------------------------ going out, keeping house
    def remove(self, ref: Reference) -> int:
        """Remove a patient, study, series or instance; return how many instances were removed.

        A process that is killed meanwhile may leave instances that were about to be removed, never half an instance.

        Raises
        ------
        InstanceNotFound
            If the archive has nothing of it.
        """
        refs = self.references(ref)
        if not refs:
            raise InstanceNotFound(f"The archive {str(self.root)!r} has nothing of this {ref.level.lower()}.")
        self._shelf.forget([r.sop_instance_uid for r in refs])
        _logger.info("%d instances were removed", len(refs))
        return len(refs)

    def verify(self) -> Findings:
        """Compare index and files, and walk through every stored dataset to its end.

        Returns
        -------
        Findings
            Errors for a row without a file and for a file that can't be read or is not what its row says; warnings
            for a file without a row (which is then indexed) and for each conflict.
        """
        findings = self._shelf.verify()
        for conflict in self.conflicts():
            message = (
                f"Two datasets have this UID: {conflict.kept_sha256[:16]}… is kept, {conflict.other_sha256[:16]}… in quarantine."
            )
            findings.append(Finding(Severity.WARNING, conflict.sop_instance_uid, "PS3.5 9", message, "Find out which is right."))
        return Findings(findings)

    def keep_digests(self) -> None:
        """Keep the SHA-256 of every dataset that comes from now on, also when the archive is opened again.

        It costs about two milliseconds a megabyte when an instance comes; :meth:`intact` then finds any change.
        """
        self._shelf.keep_digests()

    def intact(self, ref: InstanceRef | str, *, synced: bool = False) -> bool:
        """Return whether the file of an instance is as it was stored, by reference or SOP Instance UID.

        It is read to its end and held against its row. Where a digest was kept when it came, as :meth:`keep_digests` does, no
        change escapes; otherwise one that leaves structure and size as they were does. With `synced`, file and folder are on the
        disk when this returns, whatever the archive's durability.

        Raises
        ------
        InstanceNotFound
            If the archive does not have it.
        """
        path = self.path(ref)
        if synced:
            self._shelf.store.sync(path)
        return self._shelf.is_intact(ref if isinstance(ref, str) else ref.sop_instance_uid)

    # ------------------------------------------------------------ beginning and end
    def close(self) -> None:
        """Write what waits and give everything back; does nothing the second time."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Archive({str(self.root)!r}, durability={self.durability!r})"

    def _repr_html_(self) -> str:
        counts = self.counts()
        row: dict[str, object] = {name: getattr(counts, name) for name in ("patients", "studies", "series", "instances")}
        return html_table([row | {"conflicts": len(self.conflicts())}], caption=f"Archive {self.root}")


def _identifier(ref: Reference) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = ref.level
    for keyword, value in ref.keys().items():
        setattr(identifier, keyword, value)
    return identifier
