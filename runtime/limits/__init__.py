"""Limits: how many may do something at once, and how often. Imported when the first limit is made or asked for."""

from millrace.actors.adaptive import AdaptiveLimit
from millrace.actors.token_bucket import RateLimit
from millrace.runtime.limits.blocks import concurrency, rate_limit
from millrace.runtime.limits.registry import Claim, Limits, NamedLimit

__all__ = ("AdaptiveLimit", "Claim", "Limits", "NamedLimit", "RateLimit", "concurrency", "rate_limit")
