"""Every event that this package logs, with the fields it carries.

`node`, and inside an actor `actor`, `incarnation` and `correlation`, are on every line and not repeated here. A
test compares this list with the code: an event that is not in it, or carries other fields, fails the build.
"""

__all__ = ["EVENTS"]

EVENTS: dict[str, tuple[str, ...]] = {
    # one actor
    "actor_crashed": ("during", "incident", "error"),
    "handler_answered_with_error": ("handler", "error", "incident"),
    "messages_dropped": ("actor", "count", "total", "capacity", "policy"),
    "dead_letter_subscriber_failed": ("actor", "handler", "error"),
    "message_rejected": ("actor", "subject", "problem"),
    "reply_lost": ("target", "problem", "total"),
    "actor_stop_timed_out": ("seconds", "where"),
    # supervision
    "child_crashed": ("supervisor", "child", "incarnation", "incident", "error"),
    "child_started": ("supervisor", "child", "incarnation"),
    "child_start_failed": ("supervisor", "child", "incarnation", "reason", "incident", "delay"),
    "child_ignored": ("supervisor", "child", "incarnation", "reason"),
    "child_ended": ("supervisor", "child", "incarnation", "reason", "incident"),
    "child_restarting": (
        "supervisor",
        "child",
        "incarnation",
        "reason",
        "incident",
        "cause",
        "attempt",
        "delay",
        "restarts",
        "budget_left",
        "max_restarts",
        "max_seconds",
    ),
    "child_given_up": (
        "supervisor",
        "child",
        "incarnation",
        "reason",
        "incident",
        "attempt",
        "max_restarts",
        "max_seconds",
    ),
    "child_stopped": ("supervisor", "child", "incarnation", "reason"),
    "child_stopped_badly": ("supervisor", "child", "incarnation", "reason", "incident"),
    "children_stopped_badly": ("supervisor", "count", "reason"),
    "child_unkillable": ("supervisor", "child", "incarnation", "seconds", "where"),
    "supervisor_gave_up": (
        "supervisor",
        "child",
        "incarnation",
        "reason",
        "incident",
        "cause",
        "attempt",
        "max_restarts",
        "max_seconds",
    ),
    "supervisor_not_restarted": ("supervisor", "child", "incarnation", "restart", "reason"),
    "supervisor_shut_down_by_itself": ("supervisor", "child"),
    # the node
    "node_started": ("tree", "actors", "broker", "namespace"),
    "node_start_interrupted": ("signal",),
    "node_stopping": ("reason", "worst_case_seconds"),
    "node_drain_timed_out": ("seconds", "busy"),
    "node_stopped": ("reason",),
    "node_failed": ("reason",),
    "node_stopping_at_once": ("signal",),
    "node_unstoppable": ("where",),
    "loop_blocked": ("seconds", "where"),
    "node_joined": ("peer", "id", "known"),
    "node_left": ("peer", "id", "reason", "known"),
    "node_refused": ("peer", "id", "limit", "total"),
    # the broker
    "broker_connected": ("url",),
    "broker_disconnected": ("url",),
    "broker_reconnected": ("url",),
    "broker_error": ("error", "total"),
    "broker_slow_path": ("reason",),
    "broker_closed": ("error",),
}
