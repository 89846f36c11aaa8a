"""`millrace serve`: a worker, from the words of the command to an exit code."""

from __future__ import annotations

import argparse
from typing import Final

from millrace.actors.errors import ConfigurationError, FlowNotFound, MillraceError, TaskDefinitionError, TaskNotFound
from millrace.runtime.cli.interrupts import EXIT_CODE as INTERRUPTED
from millrace.runtime.cli.logs import set_up_logging
from millrace.runtime.cli.stopping import FAILED, USAGE, Stop, load, tell
from millrace.runtime.cli.targets import A_TASK, Target
from millrace.runtime.deferred.serving import TaskWorker
from millrace.runtime.settings import whole_number

STOPPED: Final = 0

_WRONG: Final = (ConfigurationError, TaskDefinitionError, TaskNotFound, FlowNotFound)


def serve_command(options: argparse.Namespace) -> int:
    """Serve tasks as the options say, until a signal stops it, and return the exit code."""
    try:
        limit = whole_number("--limit", options.limit, 1)
        targets = [Target.parse(text, A_TASK) for text in options.targets]
        tasks = [target.pick(load(target)) for target in targets]
        set_up_logging(options.verbose - options.quiet)  # after the files, which may have a wish of their own
        TaskWorker(*tasks, limit=limit, store=options.store).run()
    except Stop as stop:
        tell(stop.text)
        return stop.code
    except MillraceError as error:
        tell(f"millrace: {error}")
        return USAGE if isinstance(error, _WRONG) else FAILED
    except KeyboardInterrupt:  # the second one, or before it began
        return INTERRUPTED
    return STOPPED
