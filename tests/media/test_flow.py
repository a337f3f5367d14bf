from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing

import pytest

from dubber.media.flow import prefetch


def num_makers() -> int:
    return sum(thread.name == "prefetch" for thread in threading.enumerate())


def test_items_come_in_order_from_another_thread() -> None:
    def source() -> Iterator[tuple[int, int]]:
        for i in range(20):
            yield i, threading.get_ident()

    items = list(prefetch(source(), 3))
    assert [i for i, _ in items] == list(range(20))
    assert {ident for _, ident in items} != {threading.get_ident()}
    assert num_makers() == 0


def test_it_runs_ahead_but_not_far() -> None:
    made: list[int] = []
    ahead = prefetch((made.append(i) or i for i in range(100)), 4)
    assert next(ahead) == 0
    deadline = time.monotonic() + 5
    while len(made) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(made) == 6  # one taken, four waiting, one in hand
    ahead.close()
    assert num_makers() == 0


def test_errors_arrive_after_the_items_before_them() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise KeyError("broken")

    ahead = prefetch(source(), 2)
    assert next(ahead) == 1
    with pytest.raises(KeyError, match="broken"):
        next(ahead)
    assert num_makers() == 0


def test_closing_early_closes_the_source() -> None:
    closed: list[int] = []

    def source() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.append(threading.get_ident())

    ahead = prefetch(source(), 2)
    next(ahead)
    ahead.close()
    assert len(closed) == 1
    assert num_makers() == 0


def test_an_unused_one_starts_nothing() -> None:
    ahead = prefetch(iter(range(3)), 1)
    assert num_makers() == 0
    ahead.close()


def test_at_its_end_the_thread_tells_of_its_processor_time() -> None:
    def burning() -> Iterator[int]:
        for i in range(100):
            until_s = time.thread_time() + 0.01
            while time.thread_time() < until_s:
                pass
            yield i

    told: list[float] = []
    ahead = prefetch(burning(), 2, told.append)
    taken = [next(ahead) for _ in range(5)]
    assert taken == [0, 1, 2, 3, 4]
    assert told == []
    ahead.close()
    assert len(told) == 1
    assert 0.05 <= told[0] < 0.5

    def broken() -> Iterator[int]:
        raise KeyError("broken")
        yield 1

    with pytest.raises(KeyError):
        list(prefetch(broken(), 2, told.append))
    list(prefetch(range(3), 2, told.append))
    assert len(told) == 3, "after an error too"


def test_a_chain_that_nobody_waits_for_ends_at_once() -> None:
    """The first link goes through much before it has anything to show."""
    seen = []

    def slow() -> Generator[int]:
        for number in range(1000):
            time.sleep(0.01)
            yield number

    def late() -> Generator[int]:
        with closing(prefetch(slow(), 1)) as numbers:
            seen.extend(numbers)
        yield len(seen)

    def passed_on() -> Generator[int]:
        with closing(prefetch(late(), 1)) as counts:
            yield 0
            yield from counts

    chain = prefetch(passed_on(), 1)
    assert next(chain) == 0
    while len(seen) < 3:
        time.sleep(0.01)
    started = time.perf_counter()
    chain.close()
    assert time.perf_counter() - started < 2
    assert len(seen) < 1000
