"""A flow that waits for a person: it drafts a newsletter, and goes on when somebody has approved it.

    millrace run examples/newsletter.py -p issue=7 --store sqlite:///runs.db
    millrace runs resume issue-7 --input '{"by": "Ada"}' --store sqlite:///runs.db

Between the two nothing runs: the draft is on record, and the second command takes it from there.
"""

from __future__ import annotations

import attrs

from millrace import flow, suspend_flow_run, task


@attrs.frozen
class Approval:
    """What the flow waits for."""

    by: str


@task
def draft(section: str) -> str:
    print(f"drafting {section}")
    return section.title()


@task
def publish(issue: int, sections: list[str], approval: Approval) -> str:
    return f"issue {issue}: {', '.join(sections)}; approved by {approval.by}"


@flow(flow_run_name="issue-{issue}")
def newsletter(issue: int) -> str:
    sections = [draft(section) for section in ("news", "letters")]
    return publish(issue, sections, suspend_flow_run(wait_for_input=Approval))
