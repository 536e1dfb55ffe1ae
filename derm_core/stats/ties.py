"""Ties: groups of models that the paired tests cannot tell apart."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .intervals import Difference

LEVEL = 0.05


def ties(ranked: Sequence[str], rows: Sequence[Difference]) -> tuple[tuple[str, ...], ...]:
    """`tied_groups` of models that differences in one metric do not tell apart.

    Args:
        ranked: the models, best first.
        rows: differences with corrected p; a pair without p is not told apart.
    """
    different = {
        frozenset((row.a, row.b)) for row in rows if row.p_holm is not None and row.p_holm < LEVEL
    }
    return tied_groups(ranked, different)


def tied_groups(
    ranked: Sequence[str], different: Collection[frozenset[str]]
) -> tuple[tuple[str, ...], ...]:
    """The largest groups of two models and more of which no two differ, in the order of their first members.

    A model can be in several groups: that a equals b and b equals c does not show that a equals c. These
    are the maximal cliques of the graph of pairs that are not told apart (Bron and Kerbosch 1973), what a
    compact letter display writes as letters (Piepho 2004).

    Args:
        ranked: the models, best first.
        different: the pairs that are told apart.
    """
    near = {
        one: {
            other for other in ranked if other != one and frozenset((one, other)) not in different
        }
        for one in ranked
    }
    groups: list[tuple[str, ...]] = []

    def extend(group: set[str], candidates: set[str], excluded: set[str]) -> None:
        if not candidates and not excluded and len(group) > 1:
            groups.append(tuple(sorted(group, key=ranked.index)))
        for one in sorted(candidates, key=ranked.index):
            extend(group | {one}, candidates & near[one], excluded & near[one])
            candidates, excluded = candidates - {one}, excluded | {one}

    extend(set(), set(ranked), set())
    return tuple(sorted(groups, key=lambda group: [ranked.index(one) for one in group]))
