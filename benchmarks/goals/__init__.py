"""The goals, by number. Each module has `make(quick)`, which gives the goal at full size or at a tenth of it.

Further numbers are further goals of the design; they are measured elsewhere or later.
"""

from collections.abc import Callable, Mapping
from typing import Final

from benchmarks.goals import (
    attempts,
    cache_hits,
    calls,
    cancelling,
    durable_calls,
    durable_maps,
    durable_server,
    flow_runs,
    flows,
    growth,
    heartbeat,
    large_store,
    limits,
    local_results,
    map_async,
    map_threads,
    memory,
    right_limit,
    service,
    small_flow,
    starting,
    streams,
    waiting,
)
from benchmarks.model import Goal

GOALS: Final[Mapping[int, Callable[[bool], Goal]]] = {
    1: map_async.make,
    2: map_threads.make,
    3: calls.make,
    4: growth.make,
    5: streams.make,
    6: memory.make,
    7: durable_maps.make,
    8: durable_calls.make,
    9: limits.make,
    10: cancelling.make,
    11: heartbeat.make,
    12: starting.make,
    14: attempts.make,
    15: waiting.make,
    16: cache_hits.make,
    17: local_results.make,
    18: flows.make,
    19: flow_runs.make,
    20: service.make,
    21: large_store.make,
    22: right_limit.make,
    23: small_flow.make,
    24: durable_server.make,
}
