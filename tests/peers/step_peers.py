"""Modalities and keepers of performed procedure steps on foreign stacks: dcmjs-dimse (JavaScript) and odil (C++).

The scripts that run on them are in ``dcmjs`` and ``odil``. Datasets go to them, and come from them, as PS3.18 F writes them.
"""

import contextlib
import json
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from pydicom.dataset import Dataset

from tests.conftest import RunningPeer, free_port, lacking, running
from workbench.entities import Peer, Timeouts

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Heard:
    """A request as a keeper read it, and what it answered."""

    operation: str
    uid: str
    status: int
    dataset: Dataset


@dataclass(frozen=True)
class Keeper:
    """A keeper that runs."""

    running: RunningPeer

    @property
    def peer(self):
        """Its peer, once it listens: odil closes its port at each association and opens it again afterwards."""
        process, port = psutil.Process(self.running.process.pid), self.running.peer.port
        end = time.monotonic() + 10
        while not any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in process.net_connections("tcp")):
            assert time.monotonic() < end, self.running.log
            time.sleep(0.01)
        return self.running.peer

    @property
    def heard(self):
        """Requests so far."""
        lines = [json.loads(line) for line in self.running.log.splitlines() if line.startswith("{")]
        return [Heard(**line | {"dataset": Dataset.from_json(line["dataset"])}) for line in lines]


@dataclass(frozen=True)
class Stack:
    """An implementation by others."""

    name: str
    keeper_command: list[str]
    modality_command: list[str]
    folder: Path
    more: list[str] = field(default_factory=list)
    #: whether it reads text in items of sequences in the character set of the dataset around them (PS3.5 7.5.3)
    inherits_character_set: bool = True

    @contextlib.contextmanager
    def keeper(self, demanded=""):
        """Run a keeper; new steps must have the attribute `demanded` besides."""
        port = free_port()
        command = [*self.keeper_command, str(port), demanded]
        with running(command, port=port, cwd=self.folder, log=self.folder / "log.txt") as process:
            peer = Peer(self.name, "KEEPER", port=port, timeouts=Timeouts(5, 5, 10, 10))
            yield Keeper(RunningPeer(peer, self.folder, process))

    def tell(self, peer, requests, *, user=None):
        """Have the modality send (operation, UID, dataset) in one association; return its answers and how it ended."""
        asked = [{"operation": kind, "uid": uid, "dataset": dataset.to_json_dict()} for kind, uid, dataset in requests]
        command = [*self.modality_command, peer.host, str(peer.port), peer.ae_title, *self.more]
        said = json.dumps({"requests": asked, "user": user}).encode()
        done = subprocess.run(command, input=said, capture_output=True, timeout=60, check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith(b"{")]
        assert lines, done.stderr.decode()
        told = json.loads(lines[-1])
        return told["answers"], told["ended"]


def dcmjs(program, folder):
    """dcmjs-dimse, which reads in Implicit VR where it may choose."""
    if not (HERE / "dcmjs/node_modules/dcmjs-dimse").is_dir():
        lacking("dcmjs-dimse", "run 'make peers'.")
    keeper, modality = ([program("node"), str(HERE / f"dcmjs/{name}.cjs")] for name in ("keeper", "modality"))
    return Stack("dcmjs-dimse", keeper, modality, folder, inherits_character_set=False)  # 0.3.3 takes Latin-1 in items


def odil(program, folder):
    """odil, which takes the transfer syntax that is named first, and here tells in Implicit VR."""
    python = "/usr/bin/python3"  # of the system, for which it is packaged
    if (
        not Path(python).exists()
        or subprocess.run([python, "-I", "-c", "import odil"], capture_output=True, check=False).returncode
    ):
        lacking("odil for the system's Python", "run 'make peers'.")
    keeper, modality = ([python, "-I", str(HERE / f"odil/{name}.py")] for name in ("keeper", "modality"))
    return Stack("odil", keeper, modality, folder, ["1.2.840.10008.1.2"])


STACKS = {"dcmjs-dimse": dcmjs, "odil": odil}
