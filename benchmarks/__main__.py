"""The benchmarks' command line, see `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import benchmarks
from benchmarks import cluster, comparing, docs, picture, profiling, scaling, whole_run
from benchmarks.clips import EXAMPLE_AUDIO, EXAMPLE_VIDEO, NATIVE, ROOT, Source, parse_format
from benchmarks.results import Scaling, WholeRuns, load, save
from benchmarks.tables import help_text, machine_text, scale_table, stage_table, whole_table

BASELINE = ROOT / "benchmarks" / "baseline.json"
EXAMPLE = Source.parsed(str(EXAMPLE_VIDEO))
SCALE_BASELINE = ROOT / "benchmarks" / "scale.json"
CLUSTER_BASELINE = ROOT / "benchmarks" / "cluster.json"


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    parser = _parser()
    options = parser.parse_args(arguments)
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # ends what was started and removes its files, too
    if options.work is run and options.write_docs and set(options.states) != set(whole_run.ROUND):
        parser.error("--write-docs needs all states")
    options.work(options)


def run(options: argparse.Namespace) -> None:
    """Whole runs."""
    work = whole_run.Work(
        sources=options.clips,
        audio=options.audio,
        formats=options.formats,
        seconds=options.seconds,
        num_rounds=options.rounds,
        states=options.states,
        arguments=tuple(options.dubber.split()),
    )
    checkouts = [options.checkout, *([options.against] if options.against else [])]
    for found in whole_run.measure(work, checkouts):
        if options.output:
            _save(found, options.output)
    new, *others = found
    _show(new)
    for other in others:
        print(f"\nAgainst {options.against}, in turn, commit {other.code}:\n")
        print(comparing.comparison_text(new, other, comparing.paired))
    if BASELINE.exists() and not others:
        baseline = load(WholeRuns, BASELINE)
        machine = machine_text(baseline.machine, made_at=baseline.made_at, code=baseline.code)
        print(f"\nAgainst the baseline of {machine}\nTimes in units of the reference workload.\n")
        print(comparing.comparison_text(new, baseline, comparing.to_baseline))
    if options.write_docs:
        save(new, BASELINE)
        write_docs(options)


def scale(options: argparse.Namespace) -> None:
    """Several lengths."""
    found = scaling.measure(
        options.clip,
        options.audio,
        options.minutes,
        picture_format=options.format,
        renderer=options.renderer,
        arguments=tuple(options.dubber.split()),
        checkout=options.checkout,
    )
    print(f"\n{scale_table(found)}\n", *scaling.verdicts(found), sep="\n")
    if options.output:
        save(found, options.output)
    if options.write_docs:
        save(found, SCALE_BASELINE)
        write_docs(options)


def clusters(options: argparse.Namespace) -> None:
    """Several nodes."""
    found = cluster.measure(
        options.clip,
        options.audio,
        nodes=options.nodes,
        num_jobs=options.jobs,
        seconds=options.seconds,
        renderer=options.renderer,
        num_rounds=options.rounds,
    )
    print("", *cluster.blocks(found).values(), sep="\n\n")
    if options.output:
        save(found, options.output)
    if options.write_docs:
        save(found, CLUSTER_BASELINE)
        write_docs(options)


def profile(options: argparse.Namespace) -> None:
    """The dearest functions of each thread."""
    profiling.profile(
        options.clip,
        options.audio,
        seconds=options.seconds,
        picture_format=options.format,
        is_warm=options.warm,
        num_functions=options.functions,
        arguments=tuple(options.dubber.split()),
    )


def write_docs(options: argparse.Namespace) -> None:  # noqa: ARG001 - as the other commands
    """Bring docs/performance.md, docs/scale.md and the README up to the stored results."""
    if BASELINE.exists():
        results = load(WholeRuns, BASELINE)
        docs.write_blocks(docs.PAGE, docs.whole_blocks(results))
        docs.write_blocks(docs.README, docs.summary_block(results))
        docs.write_blocks(cluster.PAGE, cluster.large_block(results))
        picture.draw(results.clips, docs.PICTURE)
    if SCALE_BASELINE.exists():
        docs.write_blocks(docs.PAGE, docs.scale_blocks(load(Scaling, SCALE_BASELINE)))
    if CLUSTER_BASELINE.exists():
        docs.write_blocks(cluster.PAGE, cluster.blocks(load(cluster.Clusters, CLUSTER_BASELINE)))
    print(f"Written: {docs.PAGE}, {docs.README}, {cluster.PAGE}, {docs.PICTURE}", file=sys.stderr)


def _save(found: Sequence[WholeRuns], path: Path) -> None:
    names = [path, path.with_suffix(f".against{path.suffix}")]
    for each, name in zip(found, names, strict=False):
        save(each, name)


def _show(results: WholeRuns) -> None:
    print(f"\n{machine_text(results.machine, made_at=results.made_at, code=results.code)}")
    print(help_text(results))
    for clip in results.clips:
        print(f"\n{whole_table(clip)}\n\n{stage_table(clip)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=benchmarks.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    clip_help = "PATH or LABEL=PATH (the example)"
    format_help = "brought to this before: native, 720p25, 1080p30 (native)"

    command = _command(commands, "run", run, whole_run.__doc__)
    command.add_argument(
        "clips", nargs="*", type=_clip, default=[EXAMPLE], metavar="CLIP", help=f"{clip_help}; several"
    )
    command.add_argument("--formats", nargs="+", type=_format, default=[NATIVE], help=format_help)
    command.add_argument("--seconds", type=float, help="cut or loop the clips to this length")
    command.add_argument("--rounds", type=int, default=3, help="repeats; figures are medians (%(default)s)")
    command.add_argument(
        "--states",
        nargs="+",
        choices=list(whole_run.ROUND),
        default=list(whole_run.ROUND),
        help="only these; `cold` comes always",
    )
    command.add_argument(
        "--against", type=_checkout, metavar="DIR", help="another checkout, measured in turn"
    )
    _add_measuring(command)

    command = _command(commands, "scale", scale, scaling.__doc__)
    command.add_argument("clip", nargs="?", type=_clip, default=EXAMPLE, metavar="CLIP", help=clip_help)
    command.add_argument("--format", type=_format, default=NATIVE, help=format_help)
    command.add_argument("--minutes", type=float, nargs="+", default=[0.5, 2, 8, 32], help="lengths")
    command.add_argument("--renderer", default="hybrid")
    _add_measuring(command)

    command = _bare_command(commands, "cluster", clusters, cluster.__doc__)
    command.add_argument("clip", nargs="?", type=_clip, default=EXAMPLE, metavar="CLIP", help=clip_help)
    command.add_argument("--nodes", type=int, nargs="+", default=[1, 2], help="sizes of the clusters")
    command.add_argument("--jobs", type=int, default=6, help="clips of a batch (%(default)s)")
    command.add_argument("--seconds", type=float, default=20, help="length of a clip (%(default)s)")
    command.add_argument("--rounds", type=int, default=1, help="repeats; figures are medians (%(default)s)")
    command.add_argument("--renderer", default="hybrid")
    _add_results(command)

    command = _command(commands, "profile", profile, profiling.__doc__)
    command.add_argument("clip", nargs="?", type=_clip, default=EXAMPLE, metavar="CLIP", help=clip_help)
    command.add_argument("--format", type=_format, default=NATIVE, help=format_help)
    command.add_argument("--seconds", type=float, help="cut or loop the clip to this length")
    command.add_argument("--warm", action="store_true", help="with track and fit cached")
    command.add_argument("--functions", type=int, default=8, help="of each thread (%(default)s)")

    command = commands.add_parser("docs", help=write_docs.__doc__)
    command.set_defaults(work=write_docs)
    return parser


def _command(commands: object, name: str, work: object, description: str | None) -> argparse.ArgumentParser:
    command = _bare_command(commands, name, work, description)
    command.add_argument(
        "--dubber",
        default="",
        metavar="ARGUMENTS",
        help="more of `dubber run`: --dubber='--encoder-preset medium'",
    )
    return command


def _bare_command(
    commands: object, name: str, work: object, description: str | None
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(  # type: ignore[attr-defined]
        name,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help=(description or "").splitlines()[0],
    )
    command.set_defaults(work=work)
    command.add_argument(
        "--audio", type=_file, default=EXAMPLE_AUDIO, help="speech, looped to the clip's length"
    )
    return command


def _add_measuring(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--checkout", type=_checkout, default=ROOT, help="folder whose dubber is run (this one)"
    )
    _add_results(command)


def _add_results(command: argparse.ArgumentParser) -> None:
    command.add_argument("-o", "--output", type=_new_file, help="results as JSON")
    command.add_argument(
        "--write-docs",
        action="store_true",
        help="keep the results as the baseline, and write docs/performance.md and README.md from them",
    )


# What is wrong with an argument is said at once, not after an hour of work.


def _clip(text: str) -> Source:
    source = Source.parsed(text)
    _file(str(source.path))
    return source


def _file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return Path(text).resolve()


def _new_file(text: str) -> Path:
    path = Path(text).resolve()
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
    return path


def _checkout(text: str) -> Path:
    if not (Path(text) / "dubber" / "__main__.py").is_file():
        raise argparse.ArgumentTypeError(f"there is no dubber in {text}")
    return Path(text).resolve()


def _format(text: str) -> str:
    try:
        parse_format(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


if __name__ == "__main__":
    main()
