"""A plan is a value: stages, their inputs, and the key of everything they will make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from dubber.engine.key import artefact_key, key_document
from dubber.engine.sources import FileStamp
from dubber.engine.stage import Stage
from dubber.engine.store import Store
from dubber.engine.weights import WeightsFolder
from dubber.errors import ConfigError
from dubber.types import SourceFile

Out = TypeVar("Out", covariant=True)


@dataclass(frozen=True)
class Ref(Generic[Out]):
    """A result of the plan, known by its key before it exists.

    Attributes:
        key: See `artefact_key`.
        index: Position in the plan's nodes.
    """

    key: str
    index: int


@dataclass(frozen=True)
class Node:
    """One entry of a plan.

    Attributes:
        name: The stage's name, or "source"; with ":2" and so on where the plan has more of the same.
        key: Key of what it makes.
        stage: None for a source file.
        source: The user's file, for a source.
        inputs: Indices of the nodes it takes, in order.
        document: What the key was computed from.
        stamp: Of a source: what tells whether it was changed since.
    """

    name: str
    key: str
    stage: Stage[Any] | None
    source: SourceFile | None
    inputs: tuple[int, ...]
    document: dict[str, Any]
    stamp: FileStamp | None = None


class Plan:
    """Stages in the order they were added, which is the order they run in.

    Args:
        weights: Where the weights' checksums, part of the keys, are read from.
        store: Remembers checksums of source files.
    """

    def __init__(self, weights: WeightsFolder, store: Store) -> None:
        self.nodes: list[Node] = []
        self.weights = weights
        self._store = store

    def source(self, path: Path) -> Ref[SourceFile]:
        """Take a file of the user's as an input.

        Raises:
            MediaError: It is missing or cannot be read.
        """
        digest, stamp = self._store.source_sha256(path)
        node = Node("source", digest, None, SourceFile(path, digest), (), {"sha256": digest}, stamp)
        return self._append(node)

    def add(self, stage: Stage[Out], *inputs: Ref[Any]) -> Ref[Out]:
        """Let a stage take the given results.

        Raises:
            WeightsError: The stage reads weights that the manifest does not list.
            ConfigError: The stage runs code of the user's, which cannot be loaded.
        """
        document = key_document(
            stage=stage.name,
            version=stage.version,
            params=stage.params.model_dump(mode="json"),
            weights={name: self.weights.entry(name).sha256 for name in stage.weights()},
            inputs=[ref.key for ref in inputs],
            code=stage.code(),
        )
        key = artefact_key(document)
        same = sum(node.stage is not None and node.stage.name == stage.name for node in self.nodes)
        name = f"{stage.name}:{same + 1}" if same else stage.name
        return self._append(Node(name, key, stage, None, tuple(ref.index for ref in inputs), document))

    def stage_names(self) -> list[str]:
        """Names of the stages, in order."""
        return [node.name for node in self.nodes if node.stage is not None]

    def index_of(self, stage_name: str) -> int:
        """Position of a stage.

        Raises:
            ConfigError: No stage of that name.
        """
        for index, node in enumerate(self.nodes):
            if node.stage is not None and node.name == stage_name:
                return index
        raise ConfigError(
            f"There is no stage '{stage_name}'.", advice=f"Stages: {', '.join(self.stage_names())}."
        )

    def downstream_of(self, index: int) -> set[int]:
        """A node, the others of its stage, and all that depend on them."""
        stage = self.nodes[index].stage
        found = {index} | {
            n for n, node in enumerate(self.nodes) if stage and type(node.stage) is type(stage)
        }
        for later in range(min(found) + 1, len(self.nodes)):
            if found.intersection(self.nodes[later].inputs):
                found.add(later)
        return found

    def sources_of(self, index: int) -> list[Node]:
        """The user's files that a node is made from."""
        found, pending = set(), [index]
        while pending:
            node = pending.pop()
            if node not in found:
                found.add(node)
                pending += self.nodes[node].inputs
        return [self.nodes[node] for node in sorted(found) if self.nodes[node].source is not None]

    def _append(self, node: Node) -> Ref[Any]:
        self.nodes.append(node)
        return Ref(node.key, len(self.nodes) - 1)
