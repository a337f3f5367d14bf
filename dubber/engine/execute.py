"""Runs a plan: only what is asked for, only what is missing."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from filelock import Timeout

from dubber.engine.device import library_threads
from dubber.engine.disk import disk_faults
from dubber.engine.plan import Node, Plan, Ref
from dubber.engine.progress import Progress, SilentProgress
from dubber.engine.sources import check_unchanged
from dubber.engine.stage import Runtime, Stage, StageContext, Stream, stage_faults
from dubber.engine.store import Store
from dubber.engine.watchdog import Pulse, watched
from dubber.errors import MediaError, StageError

Out = TypeVar("Out")
logger = logging.getLogger(__name__)

_LOCK_LOOK_S = 0.2
"""Seconds between two looks at a lock that another run holds."""


@dataclass(frozen=True)
class StageReport:
    """What happened to a stage.

    Attributes:
        name: The stage.
        key: Key of its artefact.
        seconds: Time it took, 0 for a hit. Of a stage that streams, `cpu_s`: it runs beside the stage that
            consumes it, whose seconds last from the first frame to the last.
        is_hit: Whether it was in the cache.
        cpu_s: Processor time it took, of all its threads.
    """

    name: str
    key: str
    seconds: float
    is_hit: bool
    cpu_s: float = 0.0


@dataclass
class _Streams:
    """What the streams of one call of `Run.get` have in common.

    Attributes:
        target: The node that is wanted.
        opened: Closed when all is consumed.
        scratch_dir: See `StageContext`.
        shared: See `StageContext`.
        made: The streams' contexts, by node.
    """

    target: int
    opened: ExitStack
    scratch_dir: Path
    shared: dict[Any, Any] = field(default_factory=dict)
    made: dict[int, StageContext] = field(default_factory=dict)

    @property
    def spent_s(self) -> float:
        """Processor time of all streams' threads that have ended."""
        return sum(context.spent_s for context in self.made.values())


@dataclass
class Run:
    """A plan's results, made on demand.

    Attributes:
        plan: What is run.
        runtime: Where and how.
        progress: Who is told.
        forced: Nodes that are made again although they are stored.
        reports: What happened, in the plan's order.
    """

    plan: Plan
    runtime: Runtime
    progress: Progress = field(default_factory=SilentProgress)
    forced: set[int] = field(default_factory=set)
    reports: list[StageReport] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Store(self.runtime.cache_dir)
        self._pulse = Pulse(self.progress)
        self.progress = self._pulse
        self._values: dict[int, Any] = {}

    def get(self, ref: Ref[Out]) -> Out:
        """The artefact of a ref: loaded when stored, made (with all it needs) otherwise.

        What is missing is made in the plan's order, so that cheap stages which can fail come first; weights
        are checked before all. Stages that stream are made while the stage after them consumes them.

        Raises:
            ValueError: What is wanted has no form of its own, only the stage after it can consume it.
            DubberError: A stage failed.
        """
        wanted = self.plan.nodes[ref.index].stage
        if wanted is not None and not wanted.is_stored:
            raise ValueError(f"the frames of '{wanted.name}' flow into the next stage and are kept nowhere")
        runtime = self.runtime
        with (
            watched(self._pulse, runtime.stall_limit_s, runtime.on_stall),
            self.flowing(ref) as value,
        ):
            if isinstance(value, Stream):
                with disk_faults(self.store.root, self.plan.nodes[ref.index].name):
                    value.drain()
        made: Out = self._kept(ref.index) if isinstance(value, Stream) else value
        return made

    @contextmanager
    def flowing(self, ref: Ref[Out]) -> Iterator[Out]:
        """The artefact of a ref, or the promise of it, which can be consumed as long as the block lasts.

        Like `get`, but nobody watches whether it stands still: its consumer may take its time. To be entered
        and left in the same thread.

        Raises:
            DubberError: A stage failed.
        """
        stages = self.check_weights(ref.index)
        with library_threads(1), self._streaming(ref.index) as streams:
            for index, stage in stages.items():
                if stage.is_stored and not stage.is_streamed:
                    self._get(index, streams)
            yield self._get(ref.index, streams)

    def check_weights(self, target: int) -> dict[int, Stage[Any]]:
        """Find out before any work whether a node's missing stages have their weights.

        Returns:
            These stages by node, in the plan's order.

        Raises:
            WeightsError: Some are missing or damaged.
        """
        missing = sorted(missing_stages(self.plan, self.store, target, self.forced))
        stages = {index: stage for index in missing if (stage := self.plan.nodes[index].stage) is not None}
        for name in sorted({name for stage in stages.values() for name in stage.weights()}):
            self.runtime.weights.verify(name)
        return stages

    def peek(self, ref: Ref[Out]) -> Out | None:
        """The artefact of a ref if this run has it or it is stored; nothing is made.

        Of a stored one only the values are sure to be whole: its files are not compared with their checksums.
        """
        value: Out | None = self._values.get(ref.index)
        return self._load(ref.index, is_verified=False) if value is None else value

    @contextmanager
    def _streaming(self, target: int) -> Iterator[_Streams]:
        """Lend streams what they need until they have been consumed; then tell what they took."""
        with ExitStack() as opened, self.store.scratch() as scratch_dir:
            streams = _Streams(target, opened, scratch_dir)
            try:
                yield streams
            finally:
                for index in streams.made:  # streams flow once
                    self._values.pop(index, None)
        for index, context in streams.made.items():
            node, spent_s = self.plan.nodes[index], context.spent_s
            if spent_s:  # else nobody consumed it: what it was for had been made meanwhile
                self._report(StageReport(node.name, node.key, spent_s, is_hit=False, cpu_s=spent_s))

    def _get(self, index: int, streams: _Streams) -> Any:
        if index not in self._values:
            stored = self._load(index) if index not in self.forced else None
            # Only what was made is remembered: after a failure the same run may be asked again.
            self._values[index] = self._make(index, streams) if stored is None else stored
        return self._values[index]

    def _load(self, index: int, *, is_verified: bool = True) -> Any:
        node = self.plan.nodes[index]
        if node.stage is None:
            return node.source
        if not node.stage.is_stored or not self.store.has(node.key):
            return None
        value: Any | None = self.store.load(node.key, node.stage.output_type, is_verified=is_verified)
        if value is None:
            logger.warning("The cached result of '%s' was damaged; it is made again.", node.name)
            return None
        self._report(StageReport(node.name, node.key, 0.0, is_hit=True))
        return value

    def _make(self, index: int, streams: _Streams) -> Any:
        node = self.plan.nodes[index]
        inputs = [self._get(i, streams) for i in node.inputs]
        if node.stage is None or not node.stage.is_stored or node.stage.is_streamed:
            return self._promise(index, node, inputs, streams)
        with disk_faults(self.store.root, node.name), self._locked(node):
            made_meanwhile = self._load(index) if index not in self.forced else None
            if made_meanwhile is not None:
                return made_meanwhile
            return self._make_stored(index, node, inputs, streams)

    def _make_stored(self, index: int, node: Node, inputs: list[Any], streams: _Streams) -> Any:
        self.progress.start(node.name, None)
        started, cpu_started = time.perf_counter(), time.process_time()
        spent_before = streams.spent_s
        context = self._context(index, streams)
        with self._working(node, context), self.store.writing(node.key, node.document) as writer:
            context.entry_dir = writer.folder
            writer.save(self._run_stage(node, context, inputs))
            context.check_sources()
        self.store.finish_work(node.key)
        self.forced.discard(index)
        value = self._kept(index)
        cpu_s = time.process_time() - cpu_started - (streams.spent_s - spent_before)
        seconds = time.perf_counter() - started
        self._report(StageReport(node.name, node.key, seconds, is_hit=False, cpu_s=cpu_s))
        return value

    def _promise(self, index: int, node: Node, inputs: list[Any], streams: _Streams) -> Any:
        """Start a stage whose artefact flows; stored, if at all, as it flows by."""
        assert node.stage is not None  # noqa: S101 - told to the type checker; sources are never missing
        context = self._context(index, streams)
        is_replaced = index in self.forced and self.store.has(node.key)
        is_wanted = node.stage.is_costly or index == streams.target or self.runtime.keeps_all or is_replaced
        if node.stage.is_streamed and is_wanted:
            streams.opened.enter_context(self._locked(node))
            made_meanwhile = self._load(index) if index not in self.forced else None
            if made_meanwhile is not None:
                return made_meanwhile
            streams.opened.enter_context(self._working(node, context))
            context.keep = partial(self._keep, index)
        streams.made[index] = context
        return self._run_stage(node, context, inputs)

    @contextmanager
    def _locked(self, node: Node) -> Iterator[None]:
        """Hold a node's lock. Waiting for another run that makes the same is no standing still."""
        lock = self.store.lock(node.key)
        is_told = False
        while not lock.is_locked:
            try:
                lock.acquire(timeout=_LOCK_LOOK_S)
            except Timeout:
                self._pulse.beat(node.name)
                if not is_told:
                    logger.info("Another run is at the stage '%s' of the same; waiting for it.", node.name)
                is_told = True
        try:
            yield
        finally:
            lock.release()

    def _keep(self, index: int, artefact: Any) -> None:
        """Store what has flowed by; called from the stream's thread."""
        node = self.plan.nodes[index]
        with disk_faults(self.store.root, node.name):
            with self.store.writing(node.key, node.document) as writer:
                writer.adopt(artefact)
                self._check_sources(index)
            self.store.finish_work(node.key)
        self.forced.discard(index)

    def _kept(self, index: int) -> Any:
        """What was stored a moment ago.

        Raises:
            StageError: It was not, or cannot be read.
        """
        node = self.plan.nodes[index]
        assert node.stage is not None  # noqa: S101 - told to the type checker; sources are not stored
        value: Any | None = self.store.load(node.key, node.stage.output_type)
        if value is None:
            raise StageError(f"The stage '{node.name}' wrote a result that cannot be read back.")
        return value

    @contextmanager
    def _working(self, node: Node, context: StageContext) -> Iterator[None]:
        """Lend a stage its work folder; after a failure only what it can resume from stays there."""
        context.work_dir = self.store.work_dir(node.key)
        try:
            yield
        except BaseException:
            with suppress(OSError):
                for part in context.work_dir.glob("*.part"):
                    part.unlink()
                context.work_dir.rmdir()
            raise

    def _check_sources(self, index: int) -> None:
        """Make sure that a node's sources are what they were when the plan was made.

        Raises:
            MediaError: One is not. What was made of it meanwhile is thrown away.
        """
        for node in self.plan.sources_of(index):
            if node.source is None or node.stamp is None:
                continue
            try:
                check_unchanged(node.source.path, node.stamp, node.source.sha256)
            except MediaError:
                for other in self.plan.downstream_of(self.plan.nodes.index(node)):
                    self.store.finish_work(self.plan.nodes[other].key)
                raise

    def _context(self, index: int, streams: _Streams) -> StageContext:
        node = self.plan.nodes[index]
        nowhere = self.store.root / "tmp" / "streams-keep-nothing"
        return StageContext(
            self.runtime,
            nowhere,
            nowhere,
            node.name,
            self.progress,
            shared=streams.shared,
            scratch=streams.scratch_dir,
            check_sources=partial(self._check_sources, index),
        )

    @staticmethod
    def _run_stage(node: Node, context: StageContext, inputs: list[Any]) -> Any:
        assert node.stage is not None  # noqa: S101 - told to the type checker; callers checked
        with disk_faults(context.runtime.cache_dir, node.name), stage_faults(node.name):
            try:
                return node.stage.run(context, *inputs)
            except Exception:
                context.check_sources()  # why it failed, perhaps
                raise

    def _report(self, report: StageReport) -> None:
        if report.is_hit and any(report.key == other.key for other in self.reports):
            return  # looked up again, after it was made
        self.reports.append(report)
        order = {node.key: index for index, node in enumerate(self.plan.nodes)}
        self.reports.sort(key=lambda each: order[each.key])
        self.progress.finish(report.name, report.seconds, is_hit=report.is_hit)


def missing_stages(plan: Plan, store: Store, target: int, forced: set[int]) -> set[int]:
    """Nodes that getting `target` would have to make.

    Args:
        plan: The plan.
        store: What exists.
        target: Index of the wanted node.
        forced: Nodes made again in any case.
    """
    missing: set[int] = set()
    pending = [target]
    while pending:
        index = pending.pop()
        node = plan.nodes[index]
        if index in missing or node.stage is None:
            continue
        if node.stage.is_stored and index not in forced and store.has(node.key):
            continue
        missing.add(index)
        pending.extend(node.inputs)
    return missing
