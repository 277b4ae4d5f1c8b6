"""What a supervisor tells the operator: one structured event for each thing that happens to a child.

OTP's reports are among them; the table is in `docs/otp.md`.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from cliffracer.exits import Crashed, Exit, Killed, LinkLost, Normal, Shutdown, incident_of, is_clean
from cliffracer.observe.logs import Logger
from cliffracer.supervision.process import Process
from cliffracer.supervision.spec import ChildSpec
from cliffracer.supervision.steps import GiveUp, GiveUpChild, Restarting

__all__ = ["Reports"]


class Reports:
    """The log of one supervisor."""

    __slots__ = ("_log", "_path", "has_given_up", "max_restarts", "max_seconds", "verdict")

    def __init__(self, log: Logger, path: str, max_restarts: int, max_seconds: float) -> None:
        """Begin.

        Args:
            log: Where it all goes.
            path: The supervisor's.
            max_restarts: The limit it gives up at.
            max_seconds: The window.
        """
        self._log = log
        self._path = path
        self.max_restarts = max_restarts
        self.max_seconds = max_seconds
        self.has_given_up = False
        self.verdict = ""
        """Why it ended by itself, for the person who reads the last line of the log; empty unless it did."""

    def started(self, process: Process) -> None:
        """A child has started."""
        incarnation = process.record.incarnation
        tell = self._log.info if incarnation > 1 else self._log.debug
        tell("child_started", child=process.id, incarnation=incarnation)

    def start_failed(self, process: Process, delay: float, *, stopping: bool) -> None:
        """A start has failed, and not one that somebody asked for: whoever asks is told."""
        tell = self._log.debug if stopping else self._log.error
        tell(
            "child_start_failed",
            child=process.id,
            incarnation=process.record.incarnation,
            reason=str(process.reason),
            incident=incident_of(process.reason),
            delay=round(delay, 3),
        )

    def ignored(self, process: Process) -> None:
        """A child has declined to start."""
        self._log.info(
            "child_ignored", child=process.id, incarnation=process.record.incarnation, reason=str(process.reason)
        )

    def ended(self, process: Process) -> None:
        """A child has ended by itself, and is not restarted."""
        passing = process.spec.restart == "temporary"
        # A job that is done is what it was started for.
        tell = self._log.debug if passing else self._log.info
        if not is_clean(process.reason):
            tell = self._log.warning
        tell(
            "child_ended",
            child=process.id,
            incarnation=process.record.incarnation,
            reason=str(process.reason),
            incident=incident_of(process.reason),
        )

    def restarting(
        self, step: Restarting, incarnation: int, max_restarts: int, max_seconds: float, *, cause: str
    ) -> None:
        """A child has ended by itself, or failed to start again, and a restart follows."""
        self._log.warning(
            "child_restarting",
            child=step.id,
            incarnation=incarnation,
            reason=str(step.reason),
            incident=incident_of(step.reason),
            cause=cause,
            attempt=step.attempt,
            delay=round(step.delay, 3),
            restarts=step.restarts,
            budget_left=max_restarts - step.restarts,
            max_restarts=max_restarts,
            max_seconds=max_seconds,
        )

    def gave_up(self, step: GiveUp, incarnation: int, *, cause: str) -> None:
        """The restart intensity is exceeded."""
        budget = f"more than {self.max_restarts} restarts within {self.max_seconds} s"
        self.has_given_up = True
        self.verdict = f"supervisor {self._path!r} gave up after {budget}; last, {step.id!r} {cause or step.reason}"
        self._log.error(
            "supervisor_gave_up",
            child=step.id,
            incarnation=incarnation,
            reason=str(step.reason),
            incident=incident_of(step.reason),
            cause=cause,
            attempt=step.attempt,
            max_restarts=self.max_restarts,
            max_seconds=self.max_seconds,
        )

    def gave_up_child(self, step: GiveUpChild, incarnation: int, spec: ChildSpec[Any]) -> None:
        """A child has used up its own budget."""
        assert spec.budget is not None
        self._log.error(
            "child_given_up",
            child=step.id,
            incarnation=incarnation,
            reason=str(step.reason),
            incident=incident_of(step.reason),
            attempt=step.attempt,
            max_restarts=spec.budget.max_restarts,
            max_seconds=spec.budget.max_seconds,
        )

    def not_restarted(self, process: Process) -> None:
        """A supervisor has given up, and its own spec says that this was a clean end: easily overlooked."""
        self._log.error(
            "supervisor_not_restarted",
            child=process.id,
            incarnation=process.record.incarnation,
            restart=process.spec.restart,
            reason=str(process.reason),
        )

    def shut_down_by_itself(self, id: str, auto_shutdown: str) -> None:
        """The end of a significant child ends the supervisor."""
        self.verdict = f"supervisor {self._path!r} shut itself down: {id!r} has ended (auto_shutdown={auto_shutdown!r})"
        self._log.info("supervisor_shut_down_by_itself", child=id)

    def stopped(self, processes: Iterable[Process]) -> None:
        """Children were stopped, one of them or a whole lot."""
        badly: Counter[str] = Counter()
        several = list(processes)
        for process in several:
            spec, reason = process.spec, process.reason
            if _is_expected(spec, reason):
                self._log.debug(
                    "child_stopped", child=process.id, incarnation=process.record.incarnation, reason=str(reason)
                )
            elif len(several) == 1:
                self._log.warning(
                    "child_stopped_badly",
                    child=process.id,
                    incarnation=process.record.incarnation,
                    reason=str(reason),
                    incident=incident_of(reason),
                )
            else:
                # The same crash of many is one line, though each has an incident of its own.
                badly[f"crashed: {reason.error}" if isinstance(reason, Crashed) else str(reason)] += 1
        for text, count in badly.items():
            # A line for each of ten thousand would hide all others.
            self._log.warning("children_stopped_badly", count=count, reason=text)


def _is_expected(spec: ChildSpec[Any], reason: Exit) -> bool:
    told = Killed() if spec.shutdown == "brutal_kill" else Shutdown()
    if reason == told or (isinstance(reason, LinkLost) and is_clean(reason)):
        return True
    return spec.restart != "permanent" and isinstance(reason, Normal | Shutdown)
