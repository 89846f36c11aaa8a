"""Runs that are put off: queued by one piece of a program, and run by a worker, mostly in another process."""
