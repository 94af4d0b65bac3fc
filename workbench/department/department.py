"""An imaging department in this process: archive, worklist, performed steps, printer and five systems, on loopback.

Knows: how its parts are put together and taken down.
Does not know: what the systems do (modality), widgets.
"""

import atexit
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from pydicom.dataset import Dataset

from workbench import devices, phantoms
from workbench.archive import Archive
from workbench.department.modality import Modality
from workbench.department.schedule import registered, scheduled
from workbench.entities import Peer, counted, html_safe
from workbench.errors import InputError, ServerRefused
from workbench.network import Commitment, Printer, ProcedureSteps, Server, Worklist

__all__ = ["Department"]


class Department:
    """An archive with phantoms, a worklist, a keeper of performed steps and a printer, all on 127.0.0.1.

    It is running once it is made, and ends with :meth:`stop`, at the end of a ``with`` block, or with the process.

    Parameters
    ----------
    folder : Path or str, optional
        Where the archive and the performed steps are kept; by default a temporary folder that goes with the department.
    instances : iterable of Dataset, optional
        What is in the archive from the start; by default all phantoms of :func:`workbench.phantoms.everything`,
        with more of their patients, as registered.
    ae_title : str
        What the archive calls itself.
    port : int
        TCP port of the archive; 0 takes one that is free, as the other servers do.
    known_peers : mapping of str to Peer, optional
        Destinations that C-MOVE may name.
    items : iterable of Dataset or mapping, DataFrame, or Path to a CSV file, optional
        What is scheduled; by default one item today for each system that asks a worklist.
    max_associations : int
        How many each of its servers holds at once.

    Attributes
    ----------
    archive : Archive
    server, information_system, print_server : Server
        AE titles DEPARTMENT (storage, query/retrieve, storage commitment), RIS (worklist, performed steps) and PRINTER.
    worklist : Worklist
    steps : ProcedureSteps
    printer : Printer
    modalities : mapping of str to Modality
        The five systems by the names of their profiles, ready to :meth:`~workbench.department.Modality.run`.

    Raises
    ------
    ServerRefused
        If the port is taken.

    Examples
    --------
    >>> with Department(instances=[]) as department:
    ...     department.modalities["topcon-sp1p"].run().complete
    True
    """

    def __init__(
        self,
        folder: Path | str | None = None,
        *,
        instances: Iterable[Dataset] | None = None,
        ae_title: str = "DEPARTMENT",
        port: int = 0,
        known_peers: Mapping[str, Peer] | None = None,
        items: object = None,
        max_associations: int = 16,
    ) -> None:
        self._temporary = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix="workbench-")) if folder is None else Path(folder)
        self._servers: list[Server] = []
        try:
            self.archive = Archive(self.folder)
            for dataset in registered(phantoms.everything()) if instances is None else instances:
                self.archive.add(_dataset(dataset))
            systems = devices.profiles()
            self.worklist = Worklist(scheduled(systems.values()) if items is None else items)  # type: ignore[arg-type]
            self.steps, self.printer = ProcedureSteps(self.worklist, folder=self.folder / "procedure-steps"), Printer()
            self.server = self._started(
                Server(
                    self.archive, ae_title=ae_title, port=port, known_peers=known_peers, providers=[Commitment(self.archive)],
                    max_associations=max_associations,
                )
            )  # fmt: skip
            self.information_system = self._started(
                Server(None, ae_title="RIS", providers=[self.worklist, self.steps], max_associations=max_associations)
            )
            self.print_server = self._started(
                Server(None, ae_title="PRINTER", providers=[self.printer], max_associations=max_associations)
            )
        except BaseException:
            self.stop()
            raise
        self.modalities: Mapping[str, Modality] = MappingProxyType({name: self.system(name) for name in systems})
        atexit.register(self.stop)

    def _started(self, server: Server) -> Server:
        self._servers.append(server)
        return server.start()

    def system(self, name: str, *, settings: Mapping[str, str] | None = None) -> Modality:
        """Return a new system that works in this department.

        Parameters
        ----------
        name : str
            Of its profile.
        settings : mapping of str to str, optional
            How it is configured, as :class:`Modality` takes it.
        """
        peers = self.peers
        return Modality(
            name, archive=peers["archive"], ris=peers["ris"], printer=peers["printer"], known_to=self.server.know,
            settings=settings,
        )  # fmt: skip

    @property
    def peer(self) -> Peer:
        """The archive as a peer, for find, retrieve and store.

        Raises
        ------
        ServerRefused
            If the department is stopped.
        """
        if not self.server.is_running:
            raise ServerRefused("The department is stopped: make a new one.")
        return self.server.peer

    @property
    def peers(self) -> Mapping[str, Peer]:
        """All of its servers as peers: ``archive``, ``ris`` (worklist and performed steps) and ``printer``.

        Raises
        ------
        ServerRefused
            If the department is stopped.
        """
        return MappingProxyType(
            {"archive": self.peer, "ris": self.information_system.peer, "printer": self.print_server.peer}
        )  # fmt: skip

    def stop(self) -> None:
        """Stop the servers, close the archive, and remove the folder if it was temporary; harmless when repeated."""
        atexit.unregister(self.stop)
        for server in self._servers:
            server.stop()
        with suppress(AttributeError):  # it may be that the department could not be made
            self.archive.close()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = f"{self.archive.counts()}" if self.server.is_running else "stopped"
        return f"Department({self.server.ae_title}, 127.0.0.1:{self.server.port}, {state})"

    def _repr_html_(self) -> str:
        if not self.server.is_running:
            return "<p><b>Department</b>: stopped</p>"
        counts = self.archive.counts()
        return (
            f"<p><b>Department</b>: {html_safe(self.peer)}, with {counted(counts.patients, 'patient')}, "
            f"{counted(counts.studies, 'study')}, {counts.series} series, {counted(counts.instances, 'instance')}; "
            f"{html_safe(self.peers['ris'])} with {counted(len(self.worklist), 'scheduled step')}; "
            f"{html_safe(self.peers['printer'])}</p>"
        )


def _dataset(given: object) -> Dataset:
    if not isinstance(given, Dataset):
        kind = type(given).__name__
        raise InputError(f"instances of a department are datasets, such as those of workbench.phantoms, not a {kind}.")
    return given
