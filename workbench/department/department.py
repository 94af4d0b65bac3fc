"""A small imaging department in this process: an archive full of phantoms behind a server on loopback.

Knows: how archive, server and phantoms are put together and taken down.
Does not know: widgets.
"""

import atexit
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from pydicom.dataset import Dataset

from workbench import phantoms
from workbench.archive import Archive
from workbench.entities import Peer, html_safe
from workbench.errors import ServerRefused
from workbench.network import Server

__all__ = ["Department"]


class Department:
    """An archive with phantoms that answers C-ECHO, C-STORE, C-FIND, C-MOVE and C-GET on 127.0.0.1.

    It is running once it is made, and ends with :meth:`stop`, at the end of a ``with`` block, or with the process.

    Parameters
    ----------
    folder : Path or str, optional
        Where the archive is kept; by default a temporary folder that goes with the department.
    instances : iterable of Dataset, optional
        What is in the archive from the start; by default all phantoms of :func:`workbench.phantoms.everything`.
    ae_title : str
        What the archive calls itself.
    port : int
        TCP port; 0 takes one that is free.
    known_peers : mapping of str to Peer, optional
        Destinations that C-MOVE may name.

    Raises
    ------
    ServerRefused
        If the port is taken.

    Examples
    --------
    >>> from workbench.network import echo
    >>> with Department(instances=[]) as department:
    ...     bool(echo(department.peer))
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
    ) -> None:
        self._temporary = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix="workbench-")) if folder is None else Path(folder)
        try:
            self.archive = Archive(self.folder)
            self.server = Server(self.archive, ae_title=ae_title, port=port, known_peers=known_peers)
            for dataset in phantoms.everything() if instances is None else instances:
                self.archive.add(dataset)
            self.server.start()
        except BaseException:
            self.stop()
            raise
        atexit.register(self.stop)

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

    def stop(self) -> None:
        """Stop the server, close the archive, and remove the folder if it was temporary; harmless when repeated."""
        atexit.unregister(self.stop)
        for part, end in (("server", "stop"), ("archive", "close")):
            if hasattr(self, part):  # it may be that the department could not be made
                getattr(getattr(self, part), end)()
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
            f"<p><b>Department</b>: {html_safe(self.peer)}, with {counts.patients} patients, {counts.studies} studies, "
            f"{counts.series} series, {counts.instances} instances</p>"
        )
