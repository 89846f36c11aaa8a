"""`millrace.asgi`, for whoever imports it by that name: the module of the upper floor itself."""

import sys

from millrace.runtime import asgi
from millrace.runtime.asgi import *  # noqa: F403  # for those who read this without running it

sys.modules[__name__] = asgi
