"""Specs of this project, made out of those of a scenario."""

from itertools import count
from typing import Any, Literal, TypeAlias

from cliffracer import ChildSpec, DynamicSupervisor, Ignore, SpecError, Supervisor, child
from cliffracer.supervision.spec import Tree, check_fits
from tests.supervision.replay.scenario import Json
from tests.supervision.replay.scripts import PatientActor, PromptActor, Script, run_scripted

__all__ = ["ROOT", "Trees", "Workers"]

Workers: TypeAlias = Literal["actors", "functions"]
ROOT = "root"

# What is said in another way here, or is for the replay alone. Any other key is handed on, so that it is refused.
_OUR_AFFAIR = {"id", "type", "start", "on_shutdown", "sup", "no_start", "bad_start"}
_DEAF_FOR_LONG = 1000  # milliseconds


class Trees:
    """Makes the scripts and specs of one scenario, and knows what the scenario calls each path of our tree."""

    def __init__(self, root: Json, workers: Workers) -> None:
        self._workers = workers
        self._numbers = count(1)
        self._places = {ROOT: "."}
        self._scripts: dict[str, Script] = {}
        self.root = Script(".", ROOT, ROOT, "", {"type": "supervisor", "sup": root})
        self.root.children = self._children_of(self.root)
        self.adopt(self.root)

    # Where things stand

    def place_of(self, path: str) -> str:
        """Return what the scenario calls `path`."""
        return self._places[path]

    def find(self, place: str) -> Script | None:
        """Return the script of the child that the scenario calls `place`, or None if there never was one."""
        return self._scripts.get(place)

    def adopt(self, script: Script) -> None:
        """Note that `script` and what is in it are what stands at its place from now on."""
        self._scripts[script.place] = script
        for inner in script.children:
            self.adopt(inner)

    # Scripts

    def new_child(self, supervisor: Script, op: Json) -> Script:
        """Return the script for what a `start_child` asks for: a new occurrence, with no attempts as yet.

        `adopt` it when the supervisor has.
        """
        if "name" not in op:
            return self._script(supervisor, op["spec"])
        template = supervisor.spec["sup"]["children"][0]
        own: Json = {key: op[key] for key in ("start", "on_shutdown") if key in op}
        inherited = {key: value for key, value in template.items() if key not in ("id", "start")}
        return self._script(supervisor, {**inherited, **own, "id": op["name"]})

    def _script(self, supervisor: Script, spec: Json) -> Script:
        id, name = spec.get("id"), f"{spec.get('id', 'x')}-{next(self._numbers)}"
        place = f"{id}" if supervisor.place == "." else f"{supervisor.place}/{id}"
        # Under a dynamic supervisor an actor goes by its name, which no other actor of the node may have.
        ours = name if _is_simple(supervisor) and self._is_actor(spec) else id
        script = Script(place, f"{supervisor.path}/{ours}", ours, name, spec)
        self._places[script.path] = place
        if "sup" in spec:
            script.children = self._children_of(script)
        return script

    def _children_of(self, script: Script) -> list[Script]:
        return [] if _is_simple(script) else [self._script(script, spec) for spec in script.spec["sup"]["children"]]

    # Specs

    def root_spec(self) -> ChildSpec[Any]:
        """Return the spec of the root: a supervisor that is made when it starts, like all whose start is scripted."""
        return child(self._start_supervisor, self.root).replace(id=ROOT)

    def spec_of(self, script: Script) -> ChildSpec[Any]:
        """Return the spec of a child.

        Raises:
            SpecError: The one of the scenario is wrong.
        """
        raw = script.spec
        options = {key: value for key, value in raw.items() if key not in _OUR_AFFAIR}
        if isinstance(options.get("shutdown"), int):
            options["shutdown"] /= 1000
        if raw.get("type", "worker") not in ("worker", "supervisor"):
            options["type"] = raw["type"]  # no option of ours: the type goes by what is started
        return self._bare_spec(script).replace(id=script.id, **options)

    def _bare_spec(self, script: Script) -> ChildSpec[Any]:
        raw = script.spec
        if raw.get("no_start") or raw.get("bad_start"):
            nothing: Any = None if raw.get("no_start") else "no function"
            return child(nothing)
        if "sup" in raw:
            return self._tree_spec(script)
        if not self._is_actor(raw):
            return child(run_scripted, script)
        # An error comes while something is opened; whatever else there is, the constructor does.
        actor = PatientActor if "error" in raw.get("start", []) else PromptActor
        return child(actor, script).replace(name=script.name)

    def _is_actor(self, spec: Json) -> bool:
        """Tell whether it is one. Where workers are functions, those that are deaf for long are actors all the same.

        Nobody can be cancelled twice, so a function that is deaf to its own supervisor is deaf to who kills that, too.
        """
        shutdown = spec.get("shutdown")
        is_deaf = spec.get("on_shutdown") == "ignore" and isinstance(shutdown, int) and shutdown >= _DEAF_FOR_LONG
        return "sup" not in spec and (self._workers == "actors" or is_deaf)

    def _tree_spec(self, script: Script) -> ChildSpec[Any]:
        """Return a supervisor as data where it can be that, and as a function where its start is scripted."""
        if not script.spec.get("start") and "init" not in script.spec["sup"]:
            try:
                return child(self._tree_of(script))
            except SpecError:
                pass  # OTP finds that out when it starts; so do we then
        return child(self._start_supervisor, script)

    def _start_supervisor(self, script: Script) -> Any:
        """Be OTP's `start_link` and `init` in one."""
        init = script.spec["sup"].get("init")
        if script.begin() == "bad_return" or init == "bad_return":
            return "nonsense"
        if init == "ignore":
            raise Ignore("the scenario says so")
        return self._tree_of(script)

    def _tree_of(self, script: Script) -> Tree:
        flags = script.spec["sup"]
        limits: dict[str, Any] = {
            "max_restarts": flags.get("intensity", 1),
            "max_seconds": flags.get("period", 5),
            "auto_shutdown": flags.get("auto_shutdown", "never"),
        }
        if not _is_simple(script):
            children = [self.spec_of(inner) for inner in script.children]
            return Supervisor(script.id, *children, strategy=flags.get("strategy", "one_for_one"), **limits)
        tree = DynamicSupervisor(script.id, **limits)
        for template in flags["children"]:
            # Ours has none: the spec comes with each child, and is checked then. OTP checks it now.
            check_fits(self.spec_of(self._script(script, template)), tree)
        return tree


def _is_simple(script: Script) -> bool:
    return bool(script.spec["sup"].get("strategy") == "simple_one_for_one")
