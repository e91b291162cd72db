# SPDX-License-Identifier: Apache-2.0
"""Whom an assignment reaches: an exclusion wins, whatever else is said and in whatever order."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.kernel.errors import Malformed
from etymon.mdm.targets import Target, TargetKind, reaches

groups = st.sampled_from([UUID(int=number) for number in range(1, 7)])
lines = st.one_of(
    st.builds(Target, st.sampled_from([TargetKind.GROUP, TargetKind.EXCLUDED_GROUP]), groups),
    st.builds(Target, st.sampled_from([TargetKind.ALL_USERS, TargetKind.ALL_DEVICES])),
)
assignments = st.lists(lines, max_size=8)
memberships = st.frozensets(groups)


@given(assignments, memberships)
def test_it_reaches_exactly_who_is_included_and_not_excluded(targets: list[Target], member_of: frozenset[UUID]) -> None:
    excluded = any(one.kind is TargetKind.EXCLUDED_GROUP and one.group in member_of for one in targets)
    included = any(
        one.kind in {TargetKind.ALL_USERS, TargetKind.ALL_DEVICES}
        or (one.kind is TargetKind.GROUP and one.group in member_of)
        for one in targets
    )
    assert reaches(targets, member_of) is (included and not excluded)


@given(assignments, memberships, groups)
def test_an_exclusion_wins_over_every_inclusion(targets: list[Target], member_of: frozenset[UUID], group: UUID) -> None:
    assert not reaches([*targets, Target(TargetKind.EXCLUDED_GROUP, group)], member_of | {group})


@given(assignments, memberships, st.randoms(use_true_random=False))
def test_the_order_of_targets_says_nothing(targets: list[Target], member_of: frozenset[UUID], chance: object) -> None:
    shuffled = list(targets)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random
    assert reaches(shuffled, member_of) is reaches(targets, member_of)


@given(assignments, memberships)
def test_including_more_never_takes_away(targets: list[Target], member_of: frozenset[UUID]) -> None:
    if reaches(targets, member_of):
        assert reaches([*targets, Target(TargetKind.ALL_USERS)], member_of)


def test_nobody_is_reached_by_nothing() -> None:
    assert not reaches([], frozenset({UUID(int=1)}))
    assert not reaches([Target(TargetKind.GROUP, UUID(int=1))], frozenset())


@pytest.mark.parametrize(("kind", "group"), [(TargetKind.GROUP, None), (TargetKind.ALL_USERS, UUID(int=1))])
def test_a_target_names_a_group_exactly_when_it_is_one(kind: TargetKind, group: UUID | None) -> None:
    with pytest.raises(Malformed):
        Target(kind, group)
