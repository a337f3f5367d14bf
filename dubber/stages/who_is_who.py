"""Which chains of sightings are one person's.

Index letters: S sightings, N chains within one shot, R looks, D numbers of a look.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dubber.ops import appearance
from dubber.tracking.identity import cluster, together
from dubber.types import Bool, Float32, Int32

_MAX_CLUSTERED = 800
"""Chains, the longest, that are compared with each other; the rest join the people these make."""

_COMPARED_AT_ONCE = 128


@dataclass(frozen=True)
class Chains:
    """Sightings that belong together by their places.

    Attributes:
        frames_S: (S,) int32, not decreasing.
        chain_S: (S,) int32 in 0..N - 1.
        chain_R: (R,) int32 whose look each one is, not decreasing.
        looks_RD: (R, D) float32; see `dubber.ops.appearance`.
    """

    frames_S: Int32
    chain_S: Int32
    chain_R: Int32
    looks_RD: Float32


def name_chains(chains: Chains) -> Int32:
    """Tell which chains are one person's.

    Chains of one frame are of different people; the rest is decided by how they look.

    Returns:
        (N,) int32 numbers of people, in no particular order.
    """
    length_N = np.bincount(chains.chain_S)
    person_N = np.full(len(length_N), -1, np.int32)
    # The longest first; those nobody could look at are compared with none.
    order = np.argsort(-length_N, kind="stable").astype(np.int32)
    known = order[np.isin(order, chains.chain_R)]
    first, rest = known[:_MAX_CLUSTERED], known[_MAX_CLUSTERED:]
    person_N[first] = cluster(
        _between(chains, first, first), _together(chains, first), appearance.SAME_PERSON
    )
    for start in range(0, len(rest), _COMPARED_AT_ONCE):
        _join(chains, rest[start : start + _COMPARED_AT_ONCE], first, person_N)
    unseen = np.flatnonzero(person_N < 0)
    person_N[unseen] = person_N.max(initial=-1) + 1 + np.arange(len(unseen))
    return person_N


def _join(chains: Chains, late: Int32, first: Int32, person_N: Int32) -> None:
    """Give chains to the people that the first ones made, by the one that looks most alike."""
    distance = _between(chains, late, first)
    both = _together(chains, np.concatenate([late, first]))[: len(late), len(late) :]
    for row, chain in enumerate(late.tolist()):
        others = np.isin(person_N[first], person_N[first][both[row]])
        nearest = int(np.argmin(np.where(others, np.inf, distance[row])))
        if not others[nearest] and distance[row, nearest] < appearance.SAME_PERSON:
            person_N[chain] = person_N[first[nearest]]


def _together(chains: Chains, some: Int32) -> Bool:
    """(n, n) bool, which of some chains are seen in one frame."""
    number_N = np.full(int(chains.chain_S.max(initial=-1)) + 1, -1, np.int32)
    number_N[some] = np.arange(len(some))
    return together(chains.frames_S, number_N[chains.chain_S], len(some))


def _between(chains: Chains, some: Int32, others: Int32) -> Float32:
    """(n, m) float32 distances of chains: those of their two looks that are most alike."""
    looks_KD, starts_K = _looks(chains, others)
    rows = []
    for chain in some.tolist():
        own_AD = chains.looks_RD[slice(*np.searchsorted(chains.chain_R, [chain, chain + 1]))]
        nearest_K = appearance.distances(own_AD, looks_KD).min(axis=0)
        rows.append(np.minimum.reduceat(nearest_K, starts_K) if len(starts_K) else nearest_K)
    return np.stack(rows) if rows else np.zeros((0, len(others)), np.float32)


def _looks(chains: Chains, some: Int32) -> tuple[Float32, Int32]:
    """The looks of some chains one after the other, and where each chain's begin."""
    bounds = [np.searchsorted(chains.chain_R, [chain, chain + 1]) for chain in some.tolist()]
    rows = np.concatenate([np.arange(*bound) for bound in bounds] or [np.zeros(0, np.int64)])
    counts = np.array([stop - start for start, stop in bounds], np.int32)
    return chains.looks_RD[rows], (np.cumsum(counts) - counts).astype(np.int32)
