"""Stores: where flow runs are recorded, so that they outlive the process that runs them.

`port` says what every store does, `records` what is written to one and `rows` what is read from it. Nothing here is
imported before an engine is given a store.
"""
