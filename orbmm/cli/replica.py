"""The process of one replica of an ensemble: the command line of orbmm, which ends in order together with its worker.

python -m orbmm.cli.replica run SYSTEM.toml --output RUN
"""

from __future__ import annotations

import os
import signal
import threading

from orbmm.cli.main import main


def end_with_worker(descriptor: int = 0) -> threading.Thread:
    """Watch standard input, which a worker holds open. At its end, SIGTERM lets the run save a checkpoint and end.

    The descriptor is replaced by nothing to read, so that no library reads it.
    """
    watched = os.dup(descriptor)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)

    def watch() -> None:
        while os.read(watched, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=watch, name="worker", daemon=True)
    thread.start()
    return thread


if __name__ == "__main__":
    end_with_worker()
    main()
