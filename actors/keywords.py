"""Keywords: how the names and types that a `**keywords` may have are written down.

A subclass of `Keywords` is a `TypedDict` to a type checker, for `Unpack`. Where the program runs it is a class that
holds its annotations and nothing else, because nothing reads more of it, and because a real one parses each of its
types when it is made: that alone took a thirtieth of the time of `import millrace`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypedDict as Keywords
else:

    class Keywords:
        """Base of the classes that say what a function takes by name. See the module's docstring."""

        def __init_subclass__(cls, *, total: bool = True) -> None:
            """Take what a `TypedDict` takes."""


__all__ = ("Keywords",)
