"""millrace: a workflow engine that lives inside your program."""

from millrace.runtime.flow import flow, run
from millrace.runtime.task import task
