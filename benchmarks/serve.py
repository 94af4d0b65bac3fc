"""The embedded archive in a process of its own: ``python -m benchmarks.serve FOLDER PORT``."""

import signal
import sys
import threading

from workbench.archive import Archive
from workbench.network import Server

if __name__ == "__main__":
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with Archive(sys.argv[1]) as archive, Server(archive, port=int(sys.argv[2])):
        stop.wait()
