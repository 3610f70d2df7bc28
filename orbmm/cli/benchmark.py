"""`orbmm benchmark`: measure the speed of forces and steps on this machine, by size, model and precision."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orbmm.cli.screen import say
from orbmm.errors import SettingsError
from orbmm.plain_text import quote_command

if TYPE_CHECKING:
    from orbmm.benchmark.run import Plan

Names = list[str] | None
DEFAULT_STEPS = 20
TUNED_CASE = "water-1k"
TUNED_WITH = {"case", "model", "precision", "weights", "device"}  # without a SYSTEM.toml


def benchmark(
    context: typer.Context,
    cases: Annotated[
        Path | None,
        typer.Argument(metavar="[CASES.toml]", help="What to measure; default: water and proteins. See also --tune."),
    ] = None,
    case: Annotated[Names, typer.Option(help="Only the case of this name; may be repeated.")] = None,
    model: Annotated[Names, typer.Option(help="A model; may be repeated. Default: the embedded one.")] = None,
    precision: Annotated[Names, typer.Option(help="A precision; may be repeated.")] = None,
    force: Annotated[
        Names, typer.Option(help="auto, TorchForce, PythonForce, or none for no OpenMM; may be repeated.")
    ] = None,
    memory: Annotated[Names, typer.Option(help="For conservative models: auto, fast or lean; may be repeated.")] = None,
    edges_per_block: Annotated[int | None, typer.Option(help="Edges of a block; default: by device.", min=1)] = None,
    kernels: Annotated[str, typer.Option(help="What works on edges: auto, torch, triton or fused.")] = "auto",
    compile: Annotated[bool, typer.Option("--compile", help="Translate the network to machine code first.")] = False,
    cuda_graphs: Annotated[bool, typer.Option("--cuda-graphs", help="Record the GPU's work and repeat it.")] = False,
    weights: Annotated[Path | None, typer.Option(help="Local weights file of the model.")] = None,
    random_weights: Annotated[
        bool, typer.Option(help="Take random numbers for weights: speed does not depend on them.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    threads: Annotated[int, typer.Option(help="Processor threads; 0: all cores.", min=0)] = 0,
    evaluations: Annotated[int, typer.Option(help="Evaluations of which the median counts.", min=1)] = 5,
    steps: Annotated[
        int | None, typer.Option(help="OpenMM steps of which the mean counts.", min=1, show_default=f"{DEFAULT_STEPS}")
    ] = None,
    limit_s: Annotated[float, typer.Option(help="Skip a case that takes longer, in seconds.", min=1.0)] = 600.0,
    structures: Annotated[
        Path | None, typer.Option(help="Folder of the cases' structures; default: prepared, or that of CASES.toml.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="Measure a peer too, random weights: orb-models, mace-torch, sevenn or mattersim."),
    ] = None,
    peer_python: Annotated[Path | None, typer.Option(help="Python of the peer; default: this environment's.")] = None,
    tune: Annotated[bool, typer.Option(help="Find and keep the fastest settings for SYSTEM.toml, or water.")] = False,
    runner: Annotated[
        int, typer.Option(help="Time so many steps of the runner alone, on 25,000 atoms without forces.", min=0)
    ] = 0,
    output: Annotated[Path, typer.Option(help="Folder for benchmark.json and benchmark.png.")] = Path("benchmark"),
) -> None:
    """Measure force evaluations and steps per second, ns/day and memory; each case in a separate process."""
    from orbmm.benchmark.cases import choose_cases, read_cases
    from orbmm.benchmark.run import Plan
    from orbmm.checkpoints.catalog import default_model, find_record
    from orbmm.model.inference.execution import Execution
    from orbmm.model.inference.memory import MemoryUse
    from orbmm.model.precision import find_precision

    if runner:
        return _time_runner(runner, output)
    if tune:
        return _tune(context)
    _refuse_beside_peer(against, weights, force, steps)
    plan = Plan(
        cases=choose_cases(read_cases(cases, structures), case),
        models=tuple(find_record(name).name for name in model or [default_model()]),
        precisions=tuple(find_precision(name).name for name in precision or ["float32-high"]),
        forces=tuple(_choose_forces(force)),
        weights=_name_weights(weights, random_weights),
        device=device,
        threads=threads or os.cpu_count() or 1,
        evaluations=evaluations,
        steps=steps or DEFAULT_STEPS,
        limit_s=limit_s,
        memories=tuple(MemoryUse(mode=mode).mode for mode in memory or ["auto"]),
        execution=Execution(edges_per_block=edges_per_block, kernels=kernels, compile=compile, cuda_graphs=cuda_graphs),
    )
    _measure(plan, against, peer_python, output)


def _tune(context: typer.Context) -> None:
    """Measure how a network is computed fastest: that of a settings file, or a model on a case of the benchmark."""
    from orbmm.benchmark.cases import build_atoms, choose_cases, read_cases
    from orbmm.benchmark.tune import make_subject, read_subject, tune_subject
    from orbmm.model.inference.free_memory import limit_to_free_memory
    from orbmm.settings import ModelSettings, read_settings

    given = _list_given(context)
    system = given.pop("cases", None)
    for name in given.keys() - (TUNED_WITH if system is None else set()):
        what = "measures the model of SYSTEM.toml" if system else f"takes {', '.join(sorted(TUNED_WITH))}"
        raise SettingsError(f"--tune {what}: leave out --{name.replace('_', '-')}")
    if system is not None:
        subject = read_subject(read_settings(system))
    else:
        (case,) = choose_cases(read_cases(), [given.pop("case", TUNED_CASE)])
        given["name"] = given.pop("model", ModelSettings.name)
        subject = make_subject(build_atoms(case), ModelSettings(**given))
    if subject.resolved.device.type != "cuda":
        limit_to_free_memory()
    tune_subject(subject, say)


def _list_given(context: typer.Context) -> dict[str, Any]:
    """Return the options of the command line beside --tune. Raises SettingsError for one that is repeated."""
    given = {}
    for name, value in context.params.items():
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE" or name == "tune":
            continue
        if isinstance(value, list) and len(value) > 1:
            raise SettingsError(f"--tune takes one --{name}, got {', '.join(value)}")
        given[name] = value[0] if isinstance(value, list) else value
    return given


def _measure(plan: Plan, against: str | None, peer_python: Path | None, output: Path) -> None:
    """Measure the plan, print a line for each case, and write the report."""
    from orbmm.benchmark.machine import describe_machine
    from orbmm.benchmark.peer import check_peer, run_against_peer
    from orbmm.benchmark.report import HEADER, REPORT_FILES, check_files, write_report
    from orbmm.benchmark.run import run_plan

    if peer_python is not None and against is None:
        raise SettingsError("got --peer-python without --against: name the peer, --against orb-models")
    if peer_python is not None and shutil.which(peer_python) is None:
        raise SettingsError(f"--peer-python {peer_python} is no program that starts: give the python of the peer")
    _refuse_what_is_absent(plan)
    check_files(REPORT_FILES, output)
    about = {"command": quote_command("orbmm", *sys.argv[1:]), "threads": plan.threads, **describe_machine()}
    say(f"{about['processor']}, {about['gpu'] or 'no GPU'}, {plan.threads} threads, load {about['load']}")
    say(HEADER)
    if against is None:
        rows = run_plan(plan, say_row)
    else:
        check_peer(against, plan.models)
        rows = run_against_peer(plan, peer_python, say_row, against)
    for path in write_report(rows, about, output):
        say(f"wrote {path}")


def say_row(row: dict[str, Any]) -> None:
    """Print a row of the table, and the lines below it."""
    from orbmm.benchmark.report import format_row

    for line in format_row(row).split("\n"):
        say(line)


def _refuse_what_is_absent(plan: Plan) -> None:
    """Check that this machine can run the plan, so that a missing feature is an error and not a skipped case."""
    from orbmm.model.load import check_execution
    from orbmm.model.precision import find_device, find_precision

    for memory in plan.memories:
        for precision in plan.precisions:
            check_execution(plan.execute_in(memory), find_precision(precision), find_device(plan.device))


def _refuse_beside_peer(against: str | None, weights: Path | None, force: Names, steps: int | None) -> None:
    """Raise SettingsError for options that a comparison with a peer does not support."""
    if against is None:
        return
    if weights is not None:
        raise SettingsError("got --weights with --against: both sides load random weights, so leave out --weights")
    if steps is not None or any(name != "none" for name in force or ()):
        option = "--steps" if steps is not None else "--force"
        raise SettingsError(f"got {option} with --against: both sides run without OpenMM, so leave out {option}")


def _time_runner(steps: int, output: Path) -> None:
    """Measure the cost of a run apart from its forces, on one thread; print it and write it to runner.json."""
    logging.getLogger("orbmm").setLevel(logging.WARNING)
    from orbmm.benchmark.machine import describe_machine
    from orbmm.benchmark.report import RUNNER_FILE, check_files, write_files
    from orbmm.benchmark.runner import ATOMS, measure_runner

    check_files((RUNNER_FILE,), output)
    times = measure_runner(steps)
    for part, clocks in times.items():
        say(f"{part:10} {clocks['wall_ms']:7.3f} ms a step, {clocks['processor_ms']:7.3f} ms of processor time")
    about = {"command": quote_command("orbmm", *sys.argv[1:]), **describe_machine(), "atoms": ATOMS, "steps": steps}
    for path in write_files({RUNNER_FILE: (json.dumps({**about, **times}, indent=1) + "\n").encode()}, output):
        say(f"wrote {path}")


def _name_weights(file: Path | None, random: bool) -> str:
    """Return the weights as a Plan names them."""
    if file is not None and random:
        raise SettingsError("got --weights and --random-weights: give one of them")
    return "random" if random else str(file.resolve()) if file else ""


def _choose_forces(names: list[str] | None) -> list[str]:
    """Return the force kinds to measure; "none" means no OpenMM force."""
    from orbmm.settings.model import FORCE_KINDS

    for name in names or ():
        if name not in (*FORCE_KINDS, "none"):
            raise SettingsError(f"unknown force kind '{name}': expected {', '.join(FORCE_KINDS)} or none")
    return [name for name in names or ["auto"] if name != "none"]
