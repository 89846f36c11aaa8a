"""Proofs of what the store promises: longer than tests, and run by `make proof`; the tests run a few of each kind."""
