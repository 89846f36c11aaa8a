"""A flow whose process is killed while it publishes, and that goes on in another one, from what it had come to.

    millrace run examples/survives.py --store sqlite:///runs.db
    millrace resume 01 --store sqlite:///runs.db

01 is a beginning of the run's id; `millrace.read_flow_runs()` gives ids. What was loaded is not loaded again. Without a
store the second life would begin at the beginning.
"""

import os
import signal
from pathlib import Path

from millrace import flow, run, task

KILLED = Path("killed-once")


@task
def load(day: str) -> int:
    print("loading", day, flush=True)
    return len(day)


@task
def publish(letters: int) -> str:
    print("publishing", letters, "letters", flush=True)
    if not KILLED.exists():
        KILLED.touch()
        os.kill(os.getpid(), signal.SIGKILL)  # stands for lack of memory, a power cut, somebody in a hurry
    return f"{letters} letters are out"


@flow
def week() -> str:
    letters = [load(day) for day in ("Monday", "Tuesday", "Wednesday")]
    return publish(sum(letters))


if __name__ == "__main__":
    KILLED.touch()
    print(run(week))
