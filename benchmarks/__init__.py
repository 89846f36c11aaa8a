"""How fast millrace is: `python -m benchmarks`, or `make bench`.

The goals stand in `goals`, one module each: what is measured, against which floor, and what is to be reached. What a
measurement runs stands in `works`. `rounds` runs the works, each in a process of its own, and `summary` says what the
figures come to; `report` and `docs` show that. A benchmark is not a test: tests count events and objects, this package
takes times.

The folder `peers` holds scripts of its own, which measure other engines in an environment of their own.
"""
