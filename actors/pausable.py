"""Pausable: what a flow run's supervisor decides about its pauses.

Decides when the run goes on, when its body has ended because of a suspension and is to run again, and what becomes of
it when nobody resumes it in time; and how it waits for the end of a pause of the flow run around it. A run that was
made ahead is much the same as one that is suspended: nobody sees it through before somebody wants that. Does not know
children, nor who waits for the end of a pause.
"""

from __future__ import annotations

from typing import Any, ClassVar

from millrace.actors.errors import FlowPauseTimeout
from millrace.actors.events import Journal
from millrace.actors.instructions import (
    EXECUTE,
    LET_GO,
    PARK,
    RUN_AGAIN,
    STOP_CHILDREN,
    GoOn,
    Notify,
    Order,
    Tell,
    WakeAt,
)
from millrace.actors.messages import Lapsed, Leave, Made, Resume, TakeUp, Watch
from millrace.actors.outcomes import exception_to_failed_state
from millrace.actors.run import RunActor
from millrace.actors.states import TERMINAL, Cancelled, State, StateType
from millrace.actors.verdicts import Answer, Verdict

RESUMING = "Resuming"
"""Name of the SCHEDULED state of a run that was suspended, and is to be run again."""


class Pausable(RunActor):
    """A flow run, as far as pauses go. See the module's docstring."""

    __slots__ = (
        "admits", "ahead", "attempting", "broken_off", "held", "lapsed", "left", "put_off", "resuming", "resumptions",
        "stopping",
    )  # fmt: skip

    def __init__(self, run_id: int, created: int, journal: Journal) -> None:
        super().__init__(run_id, created, journal)
        self.ahead = False  # it was made ahead, and nobody has come to execute it
        self.admits = False  # whether children may start: RUNNING and not being stopped
        self.stopping = ""  # why the children are being stopped; empty while they are not
        self.attempting = False  # the body has been admitted, and what it came to has not been told
        self.held = False  # it is PAUSED because the flow run around it is, and begins when that goes on
        self.broken_off = False  # the run was suspended in this attempt, whether or not it still is
        self.put_off = False  # so something that the body has started did not run
        self.resuming = False  # it was let go, and is to be admitted again
        self.resumptions = 0  # how often the body was ended by a suspension, and is run again
        self.left = False  # it was suspended when its engine was closed: another process may resume it
        self.lapsed: FlowPauseTimeout | None = None  # it was not resumed in time, and its children are being stopped

    @property
    def goes_on(self) -> bool:
        """The same as `admits`, for who looks while another thread has its turn: from RUNNING on, and until it is told.

        What is told of a state comes between the two, and is long enough for others to look.
        """
        return self.type is StateType.RUNNING and not self.stopping

    @property
    def paused(self) -> bool:
        """Whether it was paused, admits nothing now, and will when it is resumed."""
        return self.type is StateType.PAUSED and not (self.stopping or self.held)

    @property
    def suspends(self) -> bool:
        """Whether it is suspended: its body is to end for now, or has."""
        return self.type is StateType.PAUSED and self.state.state_details.pause_reschedule

    @property
    def let_go(self) -> bool:
        """Whether nobody sees it through: it was made ahead, or is suspended and its body has ended for now."""
        return self.ahead or (self.suspends and not self.attempting)

    def enter(self, state: State[Any], at: int, cause: str) -> State[Any]:
        """Make a state the run's state; children are admitted while that is RUNNING."""
        self.admits = self.admits and state.type is StateType.RUNNING  # before it is told: whoever hears it finds it so
        entered = super().enter(state, at, cause)
        self.held = False
        self.admits = entered.type is StateType.RUNNING and not self.stopping
        self.broken_off = self.broken_off or self.suspends
        return entered

    def not_admitted(self, verdict: Verdict, at: int) -> Order | None:
        """The rules do not have the body begin now: what is to be done instead."""
        if verdict.answer is Answer.WAIT:
            return WakeAt(verdict.until)
        if self.type is StateType.CANCELLING or self.type in TERMINAL:
            return None  # whoever sees it through learns of that from its state
        if verdict.answer is not Answer.REJECT or verdict.state is None:
            return self.conclude(Cancelled(message=f"It never started: {verdict.reason}."), at, "admitted")
        if verdict.state.is_final():
            return self.conclude(verdict.state, at, "admitted")
        self.enter(verdict.state, at, "admitted")
        self.held = True
        return PARK

    def begin(self) -> None:
        """The body begins, with nothing that is remembered of how it ended before."""
        self.attempting = True
        self.held = False
        self.broken_off = self.put_off = False

    def end_for_now(self) -> Order:
        """The body has ended because the run was suspended. It runs again, and that is no retry."""
        self.resumptions += 1
        if self.suspends:
            self.attempting = False
            return LET_GO
        self.begin()  # it was resumed before the body had ended
        return EXECUTE

    def recover(self, at: int) -> None:
        """Another process has left the run, as it was restored; it is to be run again. Before anybody else knows it."""
        self.resumptions += 1
        self._become_resumed(at)

    def conclude(self, state: State[Any], at: int, cause: str) -> Order | None:
        """The run ends in a state, if nothing speaks against it."""
        raise NotImplementedError

    def _is_in(self, paused: Any) -> bool:
        """Whether it is in a pause, which somebody knows by its state, and is not being stopped."""
        return self.paused and self.state.id == paused

    def _resume(self, message: Resume) -> Order | None:
        if not self._is_in(message.paused):
            return None
        if self.let_go:
            self._become_resumed(message.at)
            return RUN_AGAIN
        self.become(StateType.RUNNING, None, None, message.at, "resumed")
        self.admits = True
        return GoOn(message.paused)

    def _become_resumed(self, at: int) -> None:
        """It is to be run again after a suspension."""
        self.resuming = True
        self.become(StateType.SCHEDULED, None, None, at, "resumed", RESUMING)

    def _lapsed(self, message: Lapsed) -> Order | None:
        if not self._is_in(message.paused):
            return None
        let_go = self.let_go
        self.lapsed = message.error
        self.stopping = f"it was paused and not resumed within {message.error.seconds:g} seconds"
        self.admits = False
        if not let_go:
            return STOP_CHILDREN
        return self.conclude(exception_to_failed_state(self.lapsed), message.at, "timeout")

    def _leave_it(self, _message: Leave) -> Order | None:
        if not self.let_go:
            return None
        self.left = True
        watchers, self.watchers = self.watchers, None
        return Tell(watchers or ())

    def enlist(self) -> None:
        """From now on it can be found by its id. In its turn; given by the upper floor."""

    def _made(self, message: Made) -> Order | None:
        """It can be found before it is told of; and whoever finds it is heard after that, as this is its turn."""
        self.enlist()
        self.record("created")
        if message.ahead is not None:
            self.ahead = True
            self.enter(message.ahead, message.at, "scheduled")
        return None

    def _take_up(self, message: TakeUp) -> Order | None:
        if message.paused is not None:
            taken = self._is_in(message.paused) and self.let_go and not self.left
            if taken:
                self._become_resumed(message.at)
        else:
            taken = self.ahead and not (self.ended or self.left)
            if taken:
                self.ahead = False
        message.reply(taken)
        return None

    def _watch(self, message: Watch) -> Order | None:
        return Notify(message.watcher) if self.left else super()._watch(message)

    handlers: ClassVar = {
        **RunActor.handlers,
        Resume: _resume,
        Lapsed: _lapsed,
        Leave: _leave_it,
        Made: _made,
        TakeUp: _take_up,
        Watch: _watch,
    }
