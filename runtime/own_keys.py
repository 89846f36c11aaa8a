"""Own keys: cache keys that belong to one flow run, and which of them it has kept a result under.

Decides what need not be looked for. A key that the id of a flow run is part of is nobody else's; and where that run was
made by this process, whatever lies under such a key was put there by it. So a key that it has not used yet has no
result, and nobody has to ask a storage for it. What a run that was begun elsewhere has kept is not known here.
"""

from __future__ import annotations

from typing import Final

MOST: Final = 16_384
"""How many keys of a run are remembered; one that has used more asks its storage, as others do."""


class OwnKeys:
    """The own keys of one flow run. Used by many threads: each step on the set is one."""

    __slots__ = ("_used",)

    def __init__(self) -> None:
        self._used: set[int] | None = set()  # their hashes; None: no longer remembered

    def unused(self, key: str) -> bool:
        """Whether it is known that the run has kept no result under a key."""
        used = self._used
        return used is not None and hash(key) not in used

    def use(self, key: str) -> None:
        """A result is about to be kept under a key. Before anybody can find it there."""
        used = self._used
        if used is not None:
            used.add(hash(key))
            if len(used) > MOST:
                self._used = None
