"""The present values of what the golden files pin.

    uv run python tests/pinned.py        # rewrites tests/golden/*.json; read the README there first

Tests of golden files and of old stores access the program only through this file and the command line: if a module
moves, only this file changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import io
import json
import shutil
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
import typer

import svdaudio
from svdaudio import errors
from svdaudio.cli import INTERRUPTED, main
from svdaudio.cli.app import FAULT, app
from svdaudio.config import resolve
from svdaudio.engine.batches import ID_ENDING, KIND
from svdaudio.engine.request import Request
from svdaudio.methods import find_method
from svdaudio.methods.stages import STAGES
from svdaudio.randomness import stage_seed
from svdaudio.store.keys import ACTION_DOMAIN, ARRAY_DOMAIN, canonical
from svdaudio.store.marker import MARKER, MARKER_TEXT
from svdaudio.store.runs import new_run_id
from svdaudio.store.sealed import seal, unseal

GOLDEN = Path(__file__).parent / "golden"
OLD_STORE = Path(__file__).parent / "fixtures" / "store-0.1"

CLICKS = {"remove": [[756, 581, 1]], "add": [[756, 570, 1]]}
CONFIGURATIONS = {
    "default": CLICKS,
    "everything changed": {
        "remove": [[10.5, 20, 1], [30, 40, 0]],
        "add": [[1, 2, 1], [3.25, 4, 1]],
        "geometry": "crop",
        "seed": 2**40 + 7,
        "bundle": "full",
        "align.threshold": 0.45,
        "svd.k": 12,
        "svd.alpha": 0.25,
        "svd.beta": 2,
        "mix.alpha": 0.2,
        "mix.beta": 0.3,
        "mix.gamma": 0,
        "mix.direct": 0.5,
        "locals.confidence": 0.5,
        "locals.iou": 0.7,
        "locals.max_detections": 32,
        "locals.top_k": 7,
        "locals.augment": False,
        "remix.cycle_its": 16,
        "remix.cycle_samples": 8,
        "remix.var_samples": 4,
        "generate.backend": "audioldm",
        "generate.scheduler": "dpm-solver++",
        "generate.steps": 30,
        "generate.guidance_scale": 3.5,
        "generate.candidates": 5,
        "generate.precision": "bfloat16",
        "generate.duration_s": 5.12,
        "execution.device": "cuda:1",
        "execution.threads": 2,
        "execution.keep_models": True,
        "execution.compile": True,
        "finish.loudness_lufs": -30,
        "finish.true_peak_db": -3,
        "generate.noise": "joint",
    },
    "noise of its own for each of five candidates": {**CLICKS, "generate.candidates": 5},
    "second candidate": {**CLICKS, "generate.pick": 2},
    "sound as it is": {**CLICKS, "finish.form": "none"},
    "faded": {**CLICKS, "edit.form": "fade", "gains": {"added": 3, "rest": -6}, "margin": 0.02},
    "objects dropped": {**CLICKS, "edit.locals": "dropped"},
    "blended": {**CLICKS, "edit.form": "clap", "rest": "detected"},
}
"""Dotted name → value. "everything changed" has another value for each parameter, but those that choose nodes."""

EXECUTION = {
    "execution.device": "cpu",
    "execution.threads": 3,
    "execution.keep_models": True,
    "execution.compile": True,
}
"""Parameters that do not enter any key."""

REQUESTS = {
    "run": ("manipulate", None),
    "run --no-baselines": ("manipulate", "no_baselines"),
    "baseline": ("baseline", None),
    "mask": ("mask", None),
}
"""Command → the method that it runs, and the variant of it."""
PARAMETERS = find_method("manipulate").config.parameters()
NODES = find_method("manipulate").nodes(find_method("manipulate").config())


def made_up(what):
    """A digest of content that does not exist."""
    return hashlib.sha256(f"made up: {what}".encode()).hexdigest()


class MadeUpBundle:
    """Digests of weights that do not exist."""

    name = "made up"

    def digests(self, role):
        return made_up(f"weights of {role}")


def _request(command, values):
    name, variant = REQUESTS[command]
    method = find_method(name)
    files = {name: Path(f"{name}.png") for name in method.files}
    values = {"point": values["remove"], **values}
    known = {name: value for name, value in values.items() if name in method.config.parameters()}
    resolved = resolve(method.config, given=known)
    targets = method.default_targets(resolved.config, variant)
    return Request(method=method, files=files, resolved=resolved, bundle=MadeUpBundle(), targets=targets)


def as_in_run(name):
    """The name in a run of a node or file of a trial click; both find the same artifact."""
    for trial, run in {"picture": "original", "object": "removed"}.items():
        name = name.replace(f"{trial}.", f"{run}.").replace(f"file:{trial}", f"file:{run}")
    return name


def action(command, node, values):
    """The key of a node in a command's run with made-up inputs and weights, and the text that it is the digest of."""
    request = _request(command, values)
    one = request.table[node]
    found = request.action(one, {name: made_up(as_in_run(source)) for name, source in one.inputs.items()})
    return {
        "key": found.key,
        "text": canonical([found.stage, found.version, found.parameters, found.inputs, found.models]),
    }


def actions_of(command, values):
    """Node → its action, for each node that a command computes."""
    return {node: action(command, node, values) for node in nodes_of(command, values)}


def nodes_of(command, values=CLICKS):
    """Names of the nodes that a command computes."""
    return sorted(node.name for node in _request(command, values).nodes)


def defaults():
    """Dotted name → default, as JSON has it."""
    return json.loads(json.dumps({name: parameter.default for name, parameter in PARAMETERS.items()}))


def actions():
    """Which nodes each command computes, and their actions in each configuration."""
    return {
        "kinds": {command: method for command, (method, _) in REQUESTS.items()},
        "nodes": {command: nodes_of(command) for command in REQUESTS},
        "configurations": CONFIGURATIONS,
        "actions": {name: actions_of("run", values) for name, values in CONFIGURATIONS.items()},
    }


def formats():
    """Formats on disk other than arrays, and the seeds of random draws."""
    return {
        "store marker": [MARKER, MARKER_TEXT],
        "sealed record": seal({"key": "ä", "seconds": 0.5, "notes": [], "error": None}),
        "domain of actions": ACTION_DOMAIN,
        "domain of arrays": ARRAY_DOMAIN,
        "id of a run, without its random end": new_run_id(datetime(2026, 2, 3, 4, 5, 6, 78_900, tzinfo=UTC))[:-4],
        "kind and id of a batch": [KIND, ID_ENDING],
        "stages": {
            name: {"version": stage.version, "outputs": list(stage.outputs)} for name, stage in sorted(STAGES.items())
        },
        "nodes": {name: node.stage.name for name, node in sorted(NODES.items())},
        "seeds": {
            str(seed): {stage: stage_seed(seed, stage) for stage in sorted(STAGES)} for seed in (0, 42, 2**63 - 1)
        },
    }


def interface():
    """Names that programs and scripts use."""
    families = sorted(_published_errors(), key=lambda one: one.__name__)
    return {
        "api": {
            name: [str(p) for p in inspect.signature(getattr(svdaudio, name)).parameters] for name in svdaudio.__all__
        },
        "parameters": defaults(),
        "exit codes": {
            **{family.__name__: family.exit_code for family in families},
            "a fault of the program": FAULT,
            "after Ctrl-C": INTERRUPTED,
        },
        "command line": dict(_commands(typer.main.get_command(app), "svdaudio")),
    }


def _published_errors():
    """Errors that callers may catch; not the private subclasses of single modules."""
    return [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.SvdAudioError)]


def _commands(command, path):
    """Each command with its options by name and its arguments by position."""
    arguments = [f"argument {place}" for place in range(1, len(command.params) + 1)]
    yield (
        path,
        {
            "/".join([*p.opts, *p.secondary_opts]) if p.opts[0].startswith("-") else arguments.pop(0): _parameter(p)
            for p in command.params
        },
    )
    for name, below in sorted(getattr(command, "commands", {}).items()):
        yield from _commands(below, f"{path} {name}")


def _parameter(parameter):
    annotation = parameter.type_descriptor.annotation
    facts = {
        "flag": getattr(parameter, "is_flag", False),
        "required": parameter.required,
        "again": parameter.multiple,
        "environment": parameter.envvar,
        "choices": list(get_args(annotation)) if get_origin(annotation) is Literal else None,
        "default": parameter.default,
    }
    return {name: fact for name, fact in facts.items() if fact not in (None, False)}


PICTURES = OLD_STORE / "pictures"
FEW_STEPS = ["--config", str(PICTURES / "few_steps.toml")]
CLICKED = ["--remove", "378,290.5", "--add", "378,285"]
JOINT_NOISE = ["--set", "generate.noise=joint"]
AS_IT_IS = [*JOINT_NOISE, "--set", "finish.form=none"]
"""How version 0.1.0 drew noise for a single candidate, and left its sound."""
NEW_PAIR = [str(PICTURES / "dog_cat.jpg"), str(PICTURES / "dog_duck.jpg"), *CLICKED, *FEW_STEPS, *JOINT_NOISE]
OLD_PAIR = [*NEW_PAIR, "--set", "finish.form=none"]
OLD_BATCH = [str(PICTURES / "pairs.csv"), *FEW_STEPS, *AS_IT_IS]
OLD_BASELINE = [str(PICTURES / "dog_cat.jpg"), *FEW_STEPS, *AS_IT_IS]


def unpack_old_store(folder):
    """Unpack the store that svdaudio 0.1.0 wrote into a new folder in `folder`."""
    with tarfile.open(OLD_STORE / "store.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "store"


def relocate(store):
    """Rewrite the paths in the runs of an old store: its own, and those of the pictures, which `resume` reads."""
    for path in (store / "runs").glob("*.json"):
        moved = json.dumps(unseal(path.read_text()))
        for before, after in (("/pictures/", f"{PICTURES}/"), ("/store/", f"{store}/")):
            moved = moved.replace(f'"{before}', f'"{after}')
        path.write_text(seal(json.loads(moved)))


def json_fields(call, store):
    """Fields of what commands print with --json, at the top and of the entries of each list.

    Args:
        call: Runs a command and returns its output.
        store: Folder of an old store, relocated.
    """
    runs = json.loads(call("runs", "--json"))["runs"]
    batch = next(run["run"] for run in runs if run["kind"] == "batch")
    run = next(run["run"] for run in runs if run["kind"] == "manipulate")
    key = json.loads(call("show", run, "--json"))["stages"][0]["key"]
    commands = {
        "run": ["run", *OLD_PAIR],
        "plan": ["plan", *OLD_PAIR],
        "baseline": ["baseline", *OLD_BASELINE],
        "resume": ["resume"],
        "batch": ["batch", *OLD_BATCH],
        "sweep": ["sweep", *OLD_PAIR, "--grid", "svd.alpha=0.2,0.3"],
        "sweep --embeddings-only": ["sweep", *OLD_PAIR, "--grid", "svd.alpha=0.2,0.3", "--embeddings-only"],
        "mask": ["mask", str(PICTURES / "dog_cat.jpg"), "--point", "378,290.5"],
        "runs": ["runs"],
        "show": ["show", run],
        "show BATCH": ["show", batch],
        "show --graph": ["show", run, "--graph"],
        "show --prov": ["show", run, "--prov"],
        "compare": ["compare", run, run],
        "diff": ["diff", run, run],
        "inspect": ["inspect", run, "mix"],
        "candidates": ["candidates", run],
        "pick": ["pick", run, "1"],
        "cache ls": ["cache", "ls"],
        "cache du": ["cache", "du"],
        "cache why": ["cache", "why", key],
        "cache pin": ["cache", "pin", key],
        "cache unpin": ["cache", "unpin", key],
        "gc": ["gc", "--dry-run"],
        "store copy": ["store", "copy", str(store), str(store.parent / "copy")],
    }
    return {name: fields(call(*words, "--json")) for name, words in commands.items()}


def fields(text):
    """Names of the fields of a JSON object, and of the objects in its lists."""
    value = json.loads(text)
    found = {"": list(value)}
    for name, entries in value.items():
        if isinstance(entries, list) and entries and isinstance(entries[0], dict):
            found[f"{name}[]"] = list(entries[0])
    return found


def _call(*words):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([str(word) for word in words]) == 0, words
    return out.getvalue()


def _json_fields():
    from toy_method import install

    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        store = unpack_old_store(Path(name))
        relocate(store)
        patch.setenv("SVDAUDIO_STORE", str(store))
        patch.delenv("PREFECT_API_URL", raising=False)
        found = json_fields(_call, store)
        shutil.rmtree(store)
        install(patch, Path(name))
        return {**found, "demo": fields(_call("demo", "--json"))}


def golden(name):
    """The contents of a golden file."""
    return json.loads((GOLDEN / f"{name}.json").read_text())


if __name__ == "__main__":
    sections = {"actions": actions(), "formats": formats(), "interface": interface(), "json_fields": _json_fields()}
    for section, content in sections.items():
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (GOLDEN / f"{section}.json").write_text(text + "\n")
