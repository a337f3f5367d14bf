"""Runs a plan: only what is asked for, only what is missing."""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dubber.engine.disk import disk_faults
from dubber.engine.plan import Node, Plan, Ref
from dubber.engine.progress import Progress, SilentProgress
from dubber.engine.stage import Runtime, StageContext
from dubber.engine.store import Store
from dubber.errors import DubberError, StageError

Out = TypeVar("Out")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageReport:
    """What happened to a stage.

    Attributes:
        name: The stage.
        key: Key of its artefact.
        seconds: Time it took, 0 for a hit. A stream's time is part of the stage that consumes it.
        is_hit: Whether it was in the cache.
    """

    name: str
    key: str
    seconds: float
    is_hit: bool


@dataclass
class Run:
    """A plan's results, made on demand.

    Attributes:
        plan: What is run.
        runtime: Where and how.
        progress: Who is told.
        forced: Nodes that are made again although they are stored.
        reports: What happened, in the order it happened.
    """

    plan: Plan
    runtime: Runtime
    progress: Progress = field(default_factory=SilentProgress)
    forced: set[int] = field(default_factory=set)
    reports: list[StageReport] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Store(self.runtime.cache_dir)
        self._values: dict[int, Any] = {}

    def get(self, ref: Ref[Out]) -> Out:
        """The artefact of a ref: loaded when stored, made (with all it needs) otherwise.

        What is missing is made in the plan's order, so that cheap stages which can fail come first; weights
        are checked before all.

        Raises:
            DubberError: A stage failed.
        """
        missing = sorted(missing_stages(self.plan, self.store, ref.index, self.forced))
        stages = {index: stage for index in missing if (stage := self.plan.nodes[index].stage) is not None}
        for name in sorted({name for stage in stages.values() for name in stage.weights()}):
            self.runtime.weights.verify(name)
        for index, stage in stages.items():
            if stage.is_stored:
                self._get(index)
        value: Out = self._get(ref.index)
        return value

    def peek(self, ref: Ref[Out]) -> Out | None:
        """The artefact of a ref if this run has it or it is stored; nothing is made."""
        value: Out | None = self._values.get(ref.index)
        return self._load(ref.index) if value is None else value

    def _get(self, index: int) -> Any:
        if index not in self._values:
            stored = self._load(index) if index not in self.forced else None
            # Only what was made is remembered: after a failure the same run may be asked again.
            self._values[index] = self._make(index) if stored is None else stored
        return self._values[index]

    def _load(self, index: int) -> Any:
        node = self.plan.nodes[index]
        if node.stage is None:
            return node.source
        if not node.stage.is_stored or not self.store.has(node.key):
            return None
        value: Any | None = self.store.load(node.key, node.stage.output_type)
        if value is None:
            logger.warning("The cached result of '%s' was damaged; it is made again.", node.name)
            return None
        self._report(StageReport(node.name, node.key, 0.0, is_hit=True))
        return value

    def _make(self, index: int) -> Any:
        node = self.plan.nodes[index]
        inputs = [self._get(i) for i in node.inputs]
        if node.stage is None or not node.stage.is_stored:
            started = time.perf_counter()
            value = self._run_stage(node, self._stream_context(node), inputs)
            self._report(StageReport(node.name, node.key, time.perf_counter() - started, is_hit=False))
            return value
        with disk_faults(self.store.root, node.name), self.store.lock(node.key):
            made_meanwhile = self._load(index) if index not in self.forced else None
            return made_meanwhile if made_meanwhile is not None else self._make_stored(index, node, inputs)

    def _make_stored(self, index: int, node: Node, inputs: list[Any]) -> Any:
        assert node.stage is not None  # noqa: S101 - told to the type checker; callers checked
        self.progress.start(node.name, None)
        started = time.perf_counter()
        work_dir = self.store.work_dir(node.key)
        try:
            with self.store.writing(node.key, node.document) as writer:
                context = StageContext(self.runtime, writer.folder, work_dir, node.name, self.progress)
                writer.save(self._run_stage(node, context, inputs))
        except BaseException:
            with contextlib.suppress(OSError):  # something in it to resume from: it stays
                for part in work_dir.glob("*.part"):
                    part.unlink()
                work_dir.rmdir()
            raise
        self.store.finish_work(node.key)
        self.forced.discard(index)
        value: Any | None = self.store.load(node.key, node.stage.output_type)
        if value is None:
            raise StageError(f"The stage '{node.name}' wrote a result that cannot be read back.")
        self._report(StageReport(node.name, node.key, time.perf_counter() - started, is_hit=False))
        return value

    def _stream_context(self, node: Node) -> StageContext:
        nowhere = self.store.root / "tmp" / "streams-keep-nothing"
        return StageContext(self.runtime, nowhere, nowhere, node.name, self.progress)

    @staticmethod
    def _run_stage(node: Node, context: StageContext, inputs: list[Any]) -> Any:
        assert node.stage is not None  # noqa: S101 - told to the type checker; callers checked
        with disk_faults(context.runtime.cache_dir, node.name):
            try:
                return node.stage.run(context, *inputs)
            except DubberError:
                raise
            except Exception as error:
                message = f"The stage '{node.name}' failed: {type(error).__name__}: {error}"
                raise StageError(message) from error

    def _report(self, report: StageReport) -> None:
        self.reports.append(report)
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
