"""What the log says, in the words of the reports of OTP's supervisor."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from cliffracer.exits import is_clean
from tests.supervision.replay.reasons import exit_of_text, word_of

__all__ = ["Report", "reports_of"]

Report = list[str]
"""Context, supervisor, child, reason."""


def reports_of(lines: Iterable[Mapping[str, Any]], place_of: Callable[[str], str]) -> list[Report]:
    """Return the reports that `lines` of a log make.

    Args:
        lines: In order.
        place_of: Tells what the scenario calls a path of ours.
    """
    return [report for line in lines if "supervisor" in line for report in _reports_of(line, place_of)]


def _reports_of(line: Mapping[str, Any], place_of: Callable[[str], str]) -> Iterator[Report]:
    path, event = line["supervisor"], line["event"]
    supervisor = place_of(path)
    child = place_of(f"{path}/{line['child']}").rpartition("/")[2] if "child" in line else ""
    reason = word_of(exit_of_text(line["reason"])) if "reason" in line else ""
    match event:
        # With `attempt`, what is told of is a start that failed, and that has been told already.
        case "child_restarting" if not line["attempt"]:
            yield ["child_terminated", supervisor, child, reason]
        case "child_ended" if not is_clean(exit_of_text(line["reason"])):
            yield ["child_terminated", supervisor, child, reason]
        case "supervisor_gave_up":
            if not line["attempt"]:
                yield ["child_terminated", supervisor, child, reason]
            yield ["shutdown", supervisor, child, "reached_max_restart_intensity"]
        case "child_start_failed":
            yield ["start_error", supervisor, child, reason]
        case "child_stopped_badly":
            yield ["shutdown_error", supervisor, child, reason]
        case "children_stopped_badly":
            yield ["shutdown_error", supervisor, f"*{line['count']}", reason]
