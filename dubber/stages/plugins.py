"""Renderers of the user's own: found by name, loaded when they are named, and told apart by their code.

A renderer is named `path/to/file.py:Class`, `module:Class`, by the name that an installed package gave it in
the entry points of the group `dubber.renderers`, or by the name of `register_renderer`. Nothing is imported
that the user has not named.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from dubber.errors import ConfigError

if TYPE_CHECKING:
    from dubber.stages.renderers.base import Renderer, RenderJob

GROUP: Final = "dubber.renderers"
"""Entry points by which installed packages offer renderers."""

BUILT_IN: Final = ("hybrid", "exemplar", "unet", "copy")

_ADVICE = "docs/howto/own_renderer.md says how to write one."


@dataclass(frozen=True)
class OwnRenderer:
    """A renderer that is not dubber's.

    Attributes:
        name: As the user named it.
        make: Its class.
        code: Its declared version and a checksum of its source; part of the cache's keys.
    """

    name: str
    make: Callable[[RenderJob], Renderer]
    code: Mapping[str, str]


_registered: dict[str, OwnRenderer] = {}

_loaded: WeakKeyDictionary[type[Renderer], str] = WeakKeyDictionary()
"""Of classes from modules: the checksum of their source when it was loaded, whatever the file holds since."""


def register_renderer(name: str, renderer: type[Renderer]) -> None:
    """Give a class of this process a name that `render.renderer` takes.

    For notebooks and programs; the command line takes `file.py:Class`. What a class of a notebook calls
    cannot be seen: registering it again makes its mouths again.

    Args:
        name: A word that is not the name of one of dubber's renderers; a name used before is given anew.
        renderer: See `dubber.stages.renderers.Renderer`.

    Raises:
        ConfigError: The name is taken, or the class is no renderer.

    Example:
        >>> import numpy as np
        >>> from dubber import DubConfig, PatchRenderer, register_renderer
        >>> class Blue(PatchRenderer):
        ...     version = 1
        ...
        ...     def patch(self, n, filmed_HW3):
        ...         return filmed_HW3 // 2 + np.uint8([0, 0, 120])
        >>> register_renderer("blue", Blue)
        >>> DubConfig().with_overrides({"render.renderer": "blue"}).render.renderer
        'blue'
    """
    if name in BUILT_IN or ":" in name:
        raise ConfigError(f"'{name}' cannot be the name of a renderer of yours.", advice="Choose another.")
    version = str(_checked(renderer, name).version)
    path = _file_of(renderer)
    if path is None:
        code = {"registered": uuid.uuid4().hex}
    else:
        code = {"sha256": _loaded.setdefault(renderer, _sha256(renderer.__module__, path))}
    _registered[name] = OwnRenderer(name, renderer, {"version": version, **code})


def find_renderer(name: str) -> OwnRenderer | None:
    """Load what the user named.

    Returns:
        The renderer; None where dubber's own is meant.

    Raises:
        ConfigError: There is none of that name, it cannot be imported, or it is no renderer.
    """
    if name in BUILT_IN:
        return None
    if name in _registered:
        return _registered[name]
    place, _, attribute = _place(name).rpartition(":")
    try:
        module, sha256 = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise ConfigError(
            f"The renderer cannot be loaded ({type(error).__name__}: {error}).", where=name, advice=_ADVICE
        ) from error
    if not hasattr(module, attribute):
        raise ConfigError(f"There is no '{attribute}' in {place}.", where=name, advice=_ADVICE)
    renderer = _checked(getattr(module, attribute), name)
    if not place.endswith(".py"):
        sha256 = _loaded.setdefault(renderer, sha256)
    return OwnRenderer(name, renderer, {"version": str(renderer.version), "sha256": sha256})


def file_of(name: str) -> Path | None:
    """The file of a renderer that is named `FILE.py:CLASS`; None where it is named otherwise."""
    place, _, attribute = name.rpartition(":")
    return Path(place) if attribute and place.endswith(".py") else None


def named_in(name: str, folder: Path) -> str:
    """A renderer's name with its file, if it names one, relative to `folder` no longer."""
    file = file_of(name)
    return name if file is None else f"{folder / file}:{name.rpartition(':')[2]}"


def offered_renderers() -> dict[str, str]:
    """Names of the user's renderers, registered or installed, and where they are; none is imported."""
    offered = {name: point.value for name, point in _entry_points().items()}
    registered = {name: _where(each.make) for name, each in _registered.items()}
    return {**offered, **registered}


def checked_name(name: str) -> str:
    """Accept a name that may be a renderer's.

    Raises:
        ValueError: It cannot; what is not yet imported may still be missing.
    """
    is_place = all(name.rpartition(":"))
    if not is_place and name not in _registered and name not in _entry_points():
        raise ValueError("one of yours, as FILE.py:CLASS")
    return name


def _place(name: str) -> str:
    """Where a renderer is, `file.py:Class` or `module:Class`.

    Raises:
        ConfigError: Nothing of that name is installed.
    """
    if ":" in name:
        return name
    points = _entry_points()
    if name not in points:
        raise ConfigError("There is no renderer of that name.", where=name, advice="See `dubber methods`.")
    return points[name].value


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _load_file(path: Path) -> tuple[ModuleType, str]:
    """Run a file; the module's name tells its place and bytes, so that an edited one is run anew."""
    source, place = path.read_bytes(), path.absolute()
    sha256 = hashlib.sha256(source).hexdigest()
    name = f"dubber_renderer_{hashlib.sha256(bytes(place)).hexdigest()}_{sha256}"
    if name in sys.modules:
        return sys.modules[name], sha256
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None  # noqa: S101 - told to the type checker; without a loader nothing is looked for
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    module.__file__ = str(place)
    try:
        code = compile(source, module.__file__, "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102 - the user named the file
    except BaseException:
        del sys.modules[name]
        raise
    return module, sha256


def _load_module(name: str) -> tuple[ModuleType, str]:
    module = importlib.import_module(name)
    if module.__file__ is None:
        raise ImportError(f"{name} has no source file")
    return module, _sha256(name, Path(module.__file__))


def _sha256(module: str, path: Path) -> str:
    """Checksum of a file; of a module within a package, of all Python files of its folder and below."""
    is_packaged = "." in module or path.name == "__init__.py"
    paths = sorted(path.parent.rglob("*.py")) if is_packaged else [path]
    digest = hashlib.sha256()
    for each in paths:
        digest.update(each.relative_to(path.parent).as_posix().encode() + b"\0" + each.read_bytes())
    return digest.hexdigest()


def _checked(renderer: Any, name: str) -> Any:
    """The class itself.

    Raises:
        ConfigError: It lacks what a renderer has.
    """
    if not isinstance(renderer, type) or not callable(getattr(renderer, "paint", None)):
        problem = "it is no class with a method `paint`"
    elif inspect.isabstract(renderer):
        problem = f"it lacks {', '.join(sorted(getattr(renderer, '__abstractmethods__', ())))}"
    elif not isinstance(getattr(renderer, "version", None), (int, str)):
        problem = "it declares no `version`"
    else:
        return renderer
    raise ConfigError(f"This is no renderer: {problem}.", where=name, advice=_ADVICE)


def _file_of(renderer: type) -> Path | None:
    """The file that a class was defined in; None for a notebook's."""
    file = getattr(sys.modules.get(renderer.__module__), "__file__", None)
    return Path(file) if file else None


def _where(renderer: Any) -> str:
    return f"{renderer.__module__}:{renderer.__qualname__}"
