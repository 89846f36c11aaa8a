"""A programme with one flow: `python -m benchmarks.works.first_flow KIND` prints how long it took after the import.

Imports nothing beside millrace that millrace would have to import itself.
"""

import sys
from time import perf_counter

from millrace import flow, run, task


def _sync_call() -> int:
    @task
    def one() -> int:
        return 1

    @flow
    def first() -> int:
        return one()

    return first()


def _threads() -> int:
    @task
    def one() -> int:
        return 1

    @flow
    def first() -> int:
        return one.submit().result()

    return first()


def _own_loop() -> int:
    @task
    async def one() -> int:
        return 1

    @flow
    async def first() -> int:
        return await one()

    return run(first)


KINDS = {"sync_call": _sync_call, "threads": _threads, "own_loop": _own_loop}


def main() -> None:
    """Define the flow, run it, and print the milliseconds."""
    started = perf_counter()
    result = KINDS[sys.argv[1]]()
    took = perf_counter() - started
    if result != 1:
        raise RuntimeError(f"expected 1, got {result!r}")
    sys.stdout.write(f"{took * 1e3}\n")


if __name__ == "__main__":
    main()
