"""Caching: what a run's cache key is made of, and why there is none. The door to the modules here.

Does not know where results are kept, how long they are good for, and what a hit means for a run.
"""

from millrace.runtime.caching.explaining import Explanation, explain
from millrace.runtime.caching.hashing import hash_value
from millrace.runtime.caching.input_hash import task_input_hash
from millrace.runtime.caching.keys import key_of
from millrace.runtime.caching.policies import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    NONE,
    RUN_ID,
    TASK_SOURCE,
    CacheKeyFnPolicy,
    CachePolicy,
    CompoundCachePolicy,
    FlowParameters,
    Inputs,
    RunId,
    TaskSource,
    is_of_one_run,
)
from millrace.runtime.caching.sources import task_key

__all__ = (
    "DEFAULT",
    "FLOW_PARAMETERS",
    "INPUTS",
    "NONE",
    "NO_CACHE",
    "RUN_ID",
    "TASK_SOURCE",
    "CacheKeyFnPolicy",
    "CachePolicy",
    "CompoundCachePolicy",
    "Explanation",
    "FlowParameters",
    "Inputs",
    "RunId",
    "TaskSource",
    "explain",
    "hash_value",
    "is_of_one_run",
    "key_of",
    "task_input_hash",
    "task_key",
)
