"""Jobs that are done elsewhere: what the other machine is given, and what comes back under which name."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from dubber.batch.events import Event, Tell, Warned
from dubber.batch.travel import Parcel, Receiver, Returned, Sender, with_paths
from dubber.batch.work import FileFacts, Phase, Resources, Task, TaskEnd
from dubber.engine.shared_store import SharedStore
from dubber.engine.store import Store
from dubber.errors import (
    ConfigError,
    DubberError,
    MediaError,
    OutputExistsError,
    OutputFolderError,
    SharedStoreError,
)
from dubber.jobs import Extras, Job
from dubber.outcome import DubResult
from dubber.output import ASSERTION, sidecar_of
from dubber.script import whole

pytest.importorskip("fsspec")

Work = Callable[[Task, Tell], TaskEnd]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "a.wav"):
        (tmp_path / "in" / name).write_bytes(name.encode())
    return Job(
        tmp_path / "in/a.mp4",
        whole(tmp_path / "in/a.wav"),
        tmp_path / "out/a.mp4",
        extras=Extras(side_by_side=tmp_path / "out/more/pair.mp4", keep_stages=tmp_path / "out/kept"),
        name="a",
    )


@pytest.fixture
def shared(tmp_path: Path) -> SharedStore:
    return SharedStore(str(tmp_path / "shared"))


def here(tmp_path: Path) -> Resources:
    return Resources(cache_dir=tmp_path / "here", device="cpu")


def there(tmp_path: Path) -> Resources:
    return Resources(cache_dir=tmp_path / "there", device="cpu")


def hide_inputs(job: Job) -> None:
    """The other machine does not see them."""
    for path in job.inputs:
        path.rename(path.with_name(f"hidden {path.name}"))


def painting(task: Task, tell: Tell) -> TaskEnd:
    """Writes what a job writes, and says what it was given."""
    job = task.job
    kept = job.extras.keep_stages
    assert kept is not None
    assert job.extras.side_by_side is not None
    for path in (job.output, job.extras.side_by_side, kept / "deep/track.csv"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"made of " + job.video.read_bytes() + job.said.voices[0].read_bytes())
    dark = Warned(job.name, f"{job.video} is dark")
    tell(dark)
    result = DubResult(job.output, num_frames=5)
    inputs = tuple(FileFacts.unread(path) for path in job.inputs)
    return TaskEnd(task, "worker", 1.0, result, None, inputs, FileFacts.unread(job.output), (dark,))


def sent(
    parcel: Parcel, resources: Resources, shared: SharedStore | None, work: Work, told: list[Event]
) -> Returned:
    """Through pickles, as between machines."""
    receiver = Receiver(resources, shared, told.append)
    returned = receiver.do(pickle.loads(pickle.dumps(parcel)), "node", work)
    back: Returned = pickle.loads(pickle.dumps(returned))
    return back


def test_files_travel_there_and_back(job: Job, shared: SharedStore, tmp_path: Path) -> None:
    told: list[Event] = []
    task = Task(job, phase=Phase.paint)
    with Sender(here(tmp_path), shared) as sender:
        parcel = sender.pack(task)
        assert not (tmp_path / "out").exists()
        hide_inputs(job)
        returned = sent(parcel, there(tmp_path), shared, painting, told)
        end = sender.accept(parcel, returned)
    content = b"made of a.mp4a.wav"
    written = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert [path.relative_to(tmp_path / "out").as_posix() for path in written] == [
        "a.mp4",
        "kept/deep/track.csv",
        "more/pair.mp4",
    ]
    assert {path.read_bytes() for path in written} == {content}
    assert end.error is None
    assert end.task == task
    assert end.result is not None
    assert end.result.output == job.output
    assert end.output is not None
    assert (end.output.path, end.output.num_bytes) == (job.output, len(content))
    assert [fact.path for fact in end.inputs] == list(job.inputs)
    assert Warned("a", f"{job.video} is dark") in told
    assert end.warnings == (Warned("a", f"{job.video} is dark"),)
    assert not list((tmp_path / "there/tmp").iterdir())
    assert not [path for path in (tmp_path / "shared/parcels").rglob("*") if path.is_file()]


def test_an_input_that_is_replaced_meanwhile_is_told_as_it_was_sent(
    job: Job, shared: SharedStore, tmp_path: Path
) -> None:
    with Sender(here(tmp_path), shared) as sender:
        parcel = sender.pack(Task(job, phase=Phase.paint))
        hide_inputs(job)
        job.video.write_bytes(b"another take")
        returned = sent(parcel, there(tmp_path), shared, painting, [])
        end = sender.accept(parcel, returned)
    sha256 = hashlib.sha256(b"a.mp4").hexdigest()
    assert end.inputs[0] == FileFacts(job.video, sha256=sha256)


def test_a_renderer_of_the_user_s_travels(job: Job, shared: SharedStore, tmp_path: Path) -> None:
    mine = tmp_path / "in/mine.py"
    mine.write_text("# mine")
    job = replace(job, config=job.config.with_overrides({"render.renderer": f"{mine}:Mine"}))

    def reading(task: Task, tell: Tell) -> TaskEnd:
        name = task.job.config.render.renderer
        file = Path(name.removesuffix(":Mine"))
        assert file.read_text() == "# mine"
        return TaskEnd(task, "worker", result=DubResult(None, renderer=name))

    with Sender(here(tmp_path), shared) as sender:
        parcel = sender.pack(Task(job))
        hide_inputs(job)
        end = sent(parcel, there(tmp_path), shared, reading, []).end
    assert end.error is None
    assert end.result is not None
    assert end.result.renderer == f"{mine}:Mine"


def test_a_phase_brings_nothing_back(job: Job, shared: SharedStore, tmp_path: Path) -> None:
    def looking(task: Task, tell: Tell) -> TaskEnd:
        return TaskEnd(task, "worker", 2.0, DubResult(None))

    with Sender(here(tmp_path), shared) as sender:
        returned = sent(sender.pack(Task(job)), there(tmp_path), shared, looking, [])
    assert returned.results == {}
    following = returned.end.next()
    assert following is not None
    assert (following.job, following.phase, following.spent_s) == (job, Phase.listen, 2.0)


def test_a_copy_is_made_once_and_not_where_the_file_is_seen(
    job: Job, shared: SharedStore, tmp_path: Path
) -> None:
    given: list[Path] = []

    def looking(task: Task, tell: Tell) -> TaskEnd:
        given.append(task.job.video)
        assert task.job.video.read_bytes() == b"a.mp4"
        return TaskEnd(task, "worker", 2.0, DubResult(None))

    with Sender(here(tmp_path), shared) as sender:
        parcel = sender.pack(Task(job))
        sent(parcel, there(tmp_path), shared, looking, [])
        job.video.write_bytes(b"another file of this name")
        sent(parcel, there(tmp_path), shared, looking, [])
        (tmp_path / "shared").rename(tmp_path / "gone")
        sent(parcel, there(tmp_path), shared, looking, [])
    assert given[0] == job.video
    assert all(path.is_relative_to(tmp_path / "there") for path in given[1:])
    assert {path.name for path in given} == {job.video.name}


def test_failures_speak_of_the_users_files(job: Job, shared: SharedStore, tmp_path: Path) -> None:
    def failing(task: Task, tell: Tell) -> TaskEnd:
        error = MediaError(f"{task.job.video} has no picture.", where=str(task.job.video), advice="Look.")
        return TaskEnd(task, "worker", error=error)

    with Sender(here(tmp_path), shared) as sender:
        parcel = sender.pack(Task(job))
        hide_inputs(job)
        end = sender.accept(parcel, sent(parcel, there(tmp_path), shared, failing, []))
    assert isinstance(end.error, MediaError)
    assert (end.error.message, end.error.where) == (f"{job.video} has no picture.", str(job.video))
    assert end.error.advice == "Look."
    assert not (tmp_path / "out").exists()


def test_another_result_is_not_replaced(job: Job, shared: SharedStore, tmp_path: Path) -> None:
    with Sender(here(tmp_path), shared) as sender:
        parcel = sender.pack(Task(job, phase=Phase.paint))
        returned = sent(parcel, there(tmp_path), shared, painting, [])
        job.output.parent.mkdir()
        job.output.write_bytes(b"the user's own")
        end = sender.accept(parcel, returned)
        assert end.error is not None
        assert end.error.exit_code == 9
        assert (end.result, end.output) == (None, None)
        assert job.output.read_bytes() == b"the user's own"
        allowed = replace(parcel, task=replace(parcel.task, is_overwrite=True))
        assert sender.accept(allowed, sent(allowed, there(tmp_path), shared, painting, [])).error is None
    assert job.output.read_bytes() == b"made of a.mp4a.wav"


def test_a_folder_that_cannot_be_made_fails_its_job(job: Job, shared: SharedStore, tmp_path: Path) -> None:
    with Sender(here(tmp_path), shared) as sender:
        parcel = sender.pack(Task(job, phase=Phase.paint))
        returned = sent(parcel, there(tmp_path), shared, painting, [])
        (tmp_path / "out").mkdir()
        (tmp_path / "out/more").write_text("no folder")
        end = sender.accept(parcel, returned)
    assert isinstance(end.error, OutputFolderError)
    assert end.error.where == str(tmp_path / "out/more")
    assert (end.result, end.output) == (None, None)


def test_only_an_earlier_output_s_signature_is_replaced(
    job: Job, shared: SharedStore, tmp_path: Path
) -> None:
    beside = sidecar_of(job.output)
    beside.parent.mkdir()
    task = Task(job, is_overwrite=True, phase=Phase.paint)
    with Sender(here(tmp_path), shared) as sender:
        parcel = sender.pack(task)
        for text, is_kept in ((b"mine", True), (ASSERTION.encode(), False)):
            beside.write_bytes(text)
            end = sender.accept(parcel, sent(parcel, there(tmp_path), shared, painting, []))
            assert (end.error is not None) is is_kept and beside.exists() is is_kept
        beside.write_bytes(b"mine")
        with pytest.raises(OutputExistsError):
            sender.pack(task)


def test_a_result_that_was_damaged_on_its_way_is_no_result(
    job: Job, shared: SharedStore, tmp_path: Path
) -> None:
    with Sender(here(tmp_path), shared) as sender:
        parcel = sender.pack(Task(job, phase=Phase.paint))
        returned = sent(parcel, there(tmp_path), shared, painting, [])
        victim = tmp_path / "shared/parcels" / parcel.tag / returned.results[job.output]
        victim.write_bytes(victim.read_bytes()[:-1])
        end = sender.accept(parcel, returned)
    assert "damaged" in str(end.error)
    assert not job.output.exists()


def test_a_parcel_that_cannot_be_removed_costs_no_result(
    job: Job, shared: SharedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: SharedStore, tag: str) -> None:
        raise SharedStoreError("It cannot be written.")

    monkeypatch.setattr(SharedStore, "discard", refuse)
    with Sender(here(tmp_path), shared) as sender:
        parcel = sender.pack(Task(job, phase=Phase.paint))
        end = sender.accept(parcel, sent(parcel, there(tmp_path), shared, painting, []))
    assert end.error is None
    assert end.output is not None
    assert job.output.exists()


def test_who_cannot_begin_a_phase_keeps_the_warnings_of_those_before(job: Job, tmp_path: Path) -> None:
    dark = Warned(job.name, "It is dark.")
    with Sender(here(tmp_path), None) as sender:
        parcel = replace(sender.pack(Task(job, phase=Phase.paint, warnings=(dark,))), version="0.0.1")
        assert sent(parcel, there(tmp_path), None, painting, []).end.warnings == (dark,)


def test_without_a_shared_cache_the_node_must_see_the_files(job: Job, tmp_path: Path) -> None:
    told: list[Event] = []
    with Sender(here(tmp_path), None) as sender:
        parcel = sender.pack(Task(job, phase=Phase.paint))
        assert sent(parcel, there(tmp_path), None, painting, told).end.error is None
        probes = [path for path in parcel.seen if path not in job.inputs]
        assert all(probe.exists() for probe in probes)
        probes[0].unlink()
        unseen = sent(parcel, there(tmp_path), None, painting, told).end.error
        assert isinstance(unseen, OutputFolderError)
        assert unseen.where == str(probes[0].parent)
        hide_inputs(job)
        missing = sent(parcel, there(tmp_path), None, painting, told).end.error
        assert isinstance(missing, MediaError)
        assert missing.where == str(job.video)
        assert "--shared" in missing.advice
        assert "node" in missing.message
    assert not list((tmp_path / "out").rglob(".dubber-*"))


def test_folders_are_probed_once_by_many_threads(job: Job, tmp_path: Path) -> None:
    with Sender(here(tmp_path), None) as sender, ThreadPoolExecutor(8) as threads:
        parcels = list(threads.map(sender.pack, [Task(job)] * 32))
        assert len({parcel.seen for parcel in parcels}) == 1
        assert len(list((tmp_path / "out").glob(".dubber-*"))) == 1
    assert not list((tmp_path / "out").rglob(".dubber-*"))


def test_a_missing_file_is_found_before_it_is_sent(job: Job, shared: SharedStore, tmp_path: Path) -> None:
    job.video.unlink()
    with Sender(here(tmp_path), shared) as sender, pytest.raises(MediaError, match="no such file"):
        sender.pack(Task(job))


def test_another_version_of_dubber_is_refused(job: Job, tmp_path: Path) -> None:
    with Sender(here(tmp_path), None) as sender:
        parcel = replace(sender.pack(Task(job)), version="0.0.1")
        error = sent(parcel, there(tmp_path), None, painting, []).end.error
    assert isinstance(error, ConfigError)
    assert "0.0.1" in error.message


def test_a_cache_that_cannot_be_shared_costs_only_the_sharing(
    job: Job, shared: SharedStore, tmp_path: Path
) -> None:
    told: list[Event] = []
    with Sender(here(tmp_path), shared) as sender:
        parcel = sender.pack(Task(job))
        entries = tmp_path / "shared/entries"
        entries.rename(tmp_path / "moved")
        entries.write_text("no folder")

        def looking(task: Task, tell: Tell) -> TaskEnd:
            return TaskEnd(task, "worker", 2.0, DubResult(None))

        assert sent(parcel, there(tmp_path), shared, looking, told).end.error is None
    assert any(isinstance(event, Warned) and "cannot be read" in event.message for event in told)


def test_paths_are_found_wherever_they_are(job: Job) -> None:
    seen: list[Path] = []

    def note(path: Path) -> Path:
        seen.append(path)
        return Path("/elsewhere") / path.name

    moved = with_paths(job, note)
    assert set(seen) == {*job.inputs, job.output, *job.extras.named.values()}
    assert moved.said.voices == (Path("/elsewhere/a.wav"),)
    assert moved.extras.side_by_side == Path("/elsewhere/pair.mp4")
    assert with_paths(moved, lambda path: path) == moved


def test_errors_come_through_pickles_whole() -> None:
    for kind in (MediaError, ConfigError, DubberError):
        error = pickle.loads(pickle.dumps(kind("What.", where="there", advice="Do.")))
        assert (type(error), error.message, error.where, error.advice) == (kind, "What.", "there", "Do.")


def test_the_copies_are_the_nodes_cache(job: Job, shared: SharedStore, tmp_path: Path) -> None:
    with Sender(here(tmp_path), shared) as sender:
        parcel = sender.pack(Task(job, phase=Phase.paint))
        hide_inputs(job)
        sent(parcel, there(tmp_path), shared, painting, [])
    assert {entry.stage for entry in Store(tmp_path / "there").entries()} == {"input"}
