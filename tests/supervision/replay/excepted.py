"""Where we mean to differ."""

__all__ = ["EXCEPTED"]

EXCEPTED: dict[str, str] = {
    "hand/between/simple_terminate_restarting": "an oddity: OTP 25 counts one active child too few ever after",
    "hand/simple/restart_ignored": "an oddity: OTP 25 keeps a nameless row of an instance that declined its restart",
    "hand/validation/unknown_key_is_ignored": "an oddity: OTP ignores unknown keys of a spec; we refuse them",
    "hand/validation/simple_no_spec": "a DynamicSupervisor has no template that could be missing",
    "hand/validation/simple_two_specs": "a DynamicSupervisor has no template of which there could be two",
}
"""The reason, by the name of the scenario."""
