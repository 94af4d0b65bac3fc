"""The embedded archive in a process of its own: ``python -m benchmarks.serve FOLDER PORT [WORKLIST.json]``."""

import json
import signal
import sys
import threading
from pathlib import Path

from workbench.archive import Archive
from workbench.network import Server, Worklist

if __name__ == "__main__":
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    providers = [Worklist(json.loads(Path(path).read_text())) for path in sys.argv[3:]]
    with Archive(sys.argv[1]) as archive, Server(archive, port=int(sys.argv[2]), providers=providers):
        stop.wait()
