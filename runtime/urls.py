"""URLs: what may be shown of one."""

from __future__ import annotations

import re
from typing import Final

_SECRETS: Final = re.compile(r"(?<=://).*@|(?<=\?).*", re.DOTALL)


def masked(url: str) -> str:
    """A URL without the user, the password and the signature that may stand in it. Rather too little than too much."""
    return _SECRETS.sub(lambda found: "***@" if found[0].endswith("@") else "***", url)
