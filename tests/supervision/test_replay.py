"""The same trees, the same mishaps: what OTP's supervisor was seen to do, ours does. See `otp/README.md`."""

import copy
import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.supervision.replay.__main__ import main
from tests.supervision.replay.backends import replay
from tests.supervision.replay.compare import compare
from tests.supervision.replay.excepted import EXCEPTED
from tests.supervision.replay.order import explain, pattern_of, with_killed_at_the_end
from tests.supervision.replay.reasons import exit_of_text, word_of
from tests.supervision.replay.scenario import read

DATA = Path(__file__).parent / "otp" / "golden-public.jsonl.gz"
RECORDS = {record.name: record for record in read(DATA)}
EXAMPLE = RECORDS["hand/retry/rest_for_one_other_child_fails"]


@pytest.mark.parametrize(
    ("backend", "workers"),
    [("trio", "actors"), ("trio", "functions"), ("asyncio", "actors")],
    ids=["trio", "trio-functions", "asyncio"],
)
@pytest.mark.parametrize("name", [name for name in RECORDS if name not in EXCEPTED])
def test_our_supervisors_do_what_otp_does(name, backend, workers):
    record = RECORDS[name]
    differences = compare(record, replay(record, backend, workers), "C")
    assert not differences, "\n".join(map(str, differences))


def test_only_oddities_of_otp_and_what_we_have_no_counterpart_of_are_excepted():
    assert set(EXCEPTED) <= set(RECORDS)
    for name in EXCEPTED:
        assert RECORDS[name].tags & {"oddity", "validation"}


# Where OTP is odd, we are right


def test_an_instance_that_declines_its_restart_is_forgotten():
    trace = replay(RECORDS["hand/simple/restart_ignored"])
    assert trace[-1]["result"] == ["counts", {"specs": 1, "active": 1, "supervisors": 0, "workers": 1}]
    assert trace[-1]["sups"]["."]["children"] == [["w2", "running", "worker"]]


def test_an_instance_that_is_terminated_before_its_retry_is_not_counted_any_more():
    trace = replay(RECORDS["hand/between/simple_terminate_restarting"])
    assert trace[-1]["sups"]["."]["counts"] == {"specs": 1, "active": 1, "supervisors": 0, "workers": 1}


def test_an_unknown_option_of_a_child_is_refused():
    trace = replay(RECORDS["hand/validation/unknown_key_is_ignored"])
    assert trace[0]["result"] == ["error", "refused"]


# What no recorded trace shows


def a_worker(id, restart):
    return {"id": id, "type": "worker", "restart": restart, "shutdown": 5000}


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_the_end_of_a_child_is_not_taken_for_that_of_a_new_one_with_its_id(backend):
    # The notice that the first b has ended comes up when the second one runs already.
    busy = [
        {"op": "terminate_child", "sup": ".", "id": "b"},
        {"op": "start_child", "sup": ".", "spec": a_worker("b", "permanent")},
    ]
    root = EXAMPLE.root | {"children": [a_worker("a", "permanent"), a_worker("b", "temporary")]}
    ops = ({"op": "batch", "sup": ".", "ops": busy}, {"op": "stop", "reason": "shutdown"})
    _, batch, stop = replay(replace(EXAMPLE, root=root, ops=ops), backend)
    assert batch["events"] == words("stop b shutdown, start b")
    assert batch["reports"] == []
    assert stop["events"] == words("stop b shutdown, stop a shutdown, stop . shutdown")


# The comparison finds what is wrong


@pytest.fixture
def trace():
    """The recorded trace of the example, to spoil."""
    return copy.deepcopy(list(EXAMPLE.trace))


def found(trace, level="C"):
    return [(difference.step, difference.key) for difference in compare(EXAMPLE, trace, level)]


def test_a_trace_does_not_differ_from_itself(trace):
    assert found(trace) == []


def test_events_in_the_wrong_order_are_found(trace):
    events = trace[1]["events"]
    events[1], events[2] = events[2], events[1]
    assert found(trace, "A") == [(1, "events")]


def test_a_missing_event_is_found_be_it_the_last(trace):
    trace[2]["events"].pop()
    assert found(trace, "A") == [(2, "events")]


def test_an_event_too_many_is_found(trace):
    trace[2]["events"].append(["start", "a"])
    assert found(trace, "A") == [(2, "events")]


def test_another_reason_is_found(trace):
    trace[1]["events"][0] = ["stop", "b", "killed"]
    assert found(trace, "A") == [(1, "events")]


def test_another_answer_is_found(trace):
    trace[1]["result"] = ["noproc"]
    assert found(trace, "A") == [(1, "result")]


@pytest.mark.parametrize("key", ["alive", "exit"])
def test_another_end_is_found(trace, key):
    trace[2][key] = "of the day"
    assert found(trace, "A") == [(2, key)]


def test_a_root_that_has_ended_too_early_is_found(trace):
    assert found(trace[:2], "A") == [(2, "the root had ended before")]


def test_a_wrong_snapshot_is_found_from_level_b_on(trace):
    trace[1]["sups"]["."]["children"].reverse()
    assert found(trace, "A") == []
    assert found(trace, "B") == [(1, "sups")]


def test_a_missing_report_is_found_at_level_c(trace):
    trace[1]["reports"].pop()
    assert found(trace, "B") == []
    assert found(trace, "C") == [(1, "reports")]


def test_reports_in_the_wrong_order_are_found_unless_they_have_none(trace):
    trace[1]["reports"].reverse()
    assert found(trace) == [(1, "reports")]
    unordered = replace(EXAMPLE, trace=tuple(step | {"reports_unordered": True} for step in EXAMPLE.trace))
    assert compare(unordered, trace, "C") == []


def test_a_difference_says_where_it_is_and_what_should_be(trace):
    trace[1]["events"] = [["stop", "b", "crash:x"], ["start", "b"]]
    (difference,) = compare(EXAMPLE, trace, "A")
    text = str(difference)
    assert text.startswith("step 1, exit b crash:x: events: event 1 is start b, and should be stop d shutdown")
    assert 'got      [["stop", "b", "crash:x"], ["start", "b"]]' in text


# Events whose order is open


def words(text):
    return [event.split() for event in text.split(", ")]


GROUP = [
    *words("stop x killed"),
    {
        "unordered": [
            words("stop w1 shutdown, start w1"),
            words("stop w2 shutdown"),
            words("stop w2 shutdown, start w2"),
        ]
    },
    *words("start x"),
]


@pytest.mark.parametrize(
    "middle",
    [
        "stop w1 shutdown, start w1, stop w2 shutdown, stop w2 shutdown, start w2",
        "stop w2 shutdown, stop w2 shutdown, start w2, stop w1 shutdown, start w1",
        "stop w2 shutdown, stop w1 shutdown, start w2, stop w2 shutdown, start w1",
    ],
)
def test_chains_may_be_interleaved_in_any_way(middle):
    events = words(f"stop x killed, {middle}, start x")
    assert explain(pattern_of(GROUP), events) is None


@pytest.mark.parametrize(
    ("events", "problem"),
    [
        ("stop x killed, start w1", "event 1 is start w1, and should be stop w1 shutdown or stop w2 shutdown"),
        ("stop w1 shutdown", "event 0 is stop w1 shutdown, and should be stop x killed"),
        ("stop x killed, stop w1 shutdown", "it ends after 2, where start w1 or stop w2 shutdown should follow"),
        (
            "stop x killed, stop w1 shutdown, start w1, stop w2 shutdown, stop w2 shutdown, start x",
            "event 5 is start x, and should be start w2",
        ),
        (
            "stop x killed, stop w1 shutdown, start w1, stop w2 shutdown, stop w2 shutdown, start w2, start x, start x",
            "event 7 is start x, and should be the end",
        ),
    ],
)
def test_what_is_no_interleaving_is_refused(events, problem):
    assert explain(pattern_of(GROUP), words(events)) == problem


KILLED = [
    *words("stop b shutdown, stop s killed"),
    {"unordered": [words("stop a shutdown, start a"), words("stop s/x killed"), words("stop s/y killed")]},
]


@pytest.mark.parametrize(
    "events",
    [
        "stop b shutdown, stop s killed, stop a shutdown, stop s/x killed, start a, stop s/y killed",
        "stop b shutdown, stop s/y killed, stop s killed, stop s/x killed, stop a shutdown, start a",
        "stop b shutdown, stop s/y killed, stop s/x killed, stop s killed, stop a shutdown, start a",
    ],
)
def test_a_killed_supervisor_may_be_gone_before_or_after_its_children(events):
    assert explain(with_killed_at_the_end(pattern_of(KILLED)), words(events)) is None


@pytest.mark.parametrize(
    "events",
    [
        "stop s/x killed, stop b shutdown, stop s/y killed, stop s killed, stop a shutdown, start a",
        "stop b shutdown, stop a shutdown, stop s killed, stop s/x killed, stop s/y killed, start a",
        "stop b shutdown, stop s killed, stop a shutdown, start a",
    ],
)
def test_what_follows_from_its_end_comes_after_it_and_what_led_to_it_before(events):
    assert explain(with_killed_at_the_end(pattern_of(KILLED)), words(events)) is not None


def test_a_killed_supervisor_with_a_single_child_needs_no_group():
    pattern = with_killed_at_the_end(pattern_of(words("stop s killed, stop s/x killed")))
    assert explain(pattern, words("stop s/x killed, stop s killed")) is None


def test_a_killed_worker_is_no_supervisor():
    pattern = with_killed_at_the_end(pattern_of(words("stop s killed, stop t killed")))
    assert explain(pattern, words("stop t killed, stop s killed")) is not None


# Reasons


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("normal", "normal"),
        ("killed", "killed"),
        ("shutdown", "shutdown"),
        ("shutdown: x", "shutdown:x"),
        ("crashed: Boom: x (incident 0a1b)", "crash:x"),
        ("crashed: StartFault: fail (incident 0a1b)", "fail"),
        (
            "shutdown: child 's' did not start, shutdown: child 'a' did not start, crashed: StartFault: fail",
            "shutdown:failed_to_start_child(s,shutdown:failed_to_start_child(a,fail))",
        ),
    ],
)
def test_reasons_are_read_off_the_log(text, word):
    assert word_of(exit_of_text(text)) == word


# The command


def as_line(record, **changes):
    scenario = {"root": record.root, "ops": record.ops}
    return json.dumps({"name": record.name, "tags": [], "scenario": scenario, "trace": record.trace} | changes)


def test_the_command_counts_and_says_what_differs(tmp_path, capsys):
    spoilt = [EXAMPLE.trace[0] | {"result": ["error", "fail"]}, *EXAMPLE.trace[1:]]
    excepted = RECORDS["hand/validation/simple_no_spec"]
    lines = [as_line(EXAMPLE), as_line(EXAMPLE, name="spoilt", trace=spoilt), as_line(excepted)]
    (tmp_path / "some.jsonl").write_text("\n".join(lines))
    assert main([str(tmp_path / "some.jsonl")]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "FAILED: spoilt"
    assert printed[1] == "  step 0, init: result"
    assert printed[-3] == f"excepted: {excepted.name}: {EXCEPTED[excepted.name]}"
    assert printed[-2:] == ["1 excepted", "1 passed, 1 failed"]


def test_the_command_reads_compressed_files_and_succeeds_if_nothing_differs(tmp_path, capsys):
    with gzip.open(tmp_path / "some.jsonl.gz", "wt") as file:
        file.write(as_line(EXAMPLE))
    assert (
        main([str(tmp_path / "some.jsonl.gz"), "--level", "C", "--backend", "asyncio", "--workers", "functions"]) == 0
    )
    assert capsys.readouterr().out.splitlines() == ["0 excepted", "1 passed, 0 failed"]


def test_a_scenario_that_cannot_be_played_has_failed(tmp_path, capsys):
    (tmp_path / "some.jsonl").write_text(as_line(EXAMPLE, scenario={"root": EXAMPLE.root, "ops": [{"op": "dance"}]}))
    assert main([str(tmp_path / "some.jsonl")]) == 1
    assert "an unknown operation: dance" in capsys.readouterr().out
