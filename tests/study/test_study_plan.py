"""Who is asked what, in which order."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from tests.study.studies import AMOUNTS, LINE, images
from trainer.core.rows import DataError
from trainer.study.plan import Amounts, five_along, make_plan, parts_in_order, set_of, take_stock, williams


def test_methods_come_equally_often_at_each_place_and_behind_each_other():
    for count in range(1, 7):
        rows = williams(count)
        for column in zip(*rows, strict=True):
            assert set(Counter(column).values()) == {len(rows) // count}
        following = Counter(pair for row in rows for pair in pairwise(row))
        assert len(following) == count * (count - 1)
        assert len(set(following.values())) <= 1


def plan_of(methods, participants, seed=0, amounts=AMOUNTS, contents=12):
    found = images(methods, contents)
    return make_plan(take_stock(found), amounts, participants, seed), {image.id: image for image in found}


def met(tasks, known, kind, axis=None):
    """(method, content, points) of a participant's tasks of one kind."""
    found = []
    for task in tasks:
        if task.kind == kind and task.images and axis in (None, task.axis):
            shown = [known[image] for image in task.images]
            points = tuple(sorted((image.valence, image.arousal) for image in shown))
            found.append((shown[0].method, shown[0].seed, points))
    return found


EACH = {
    ("order", "valence"): 2,
    ("order", "arousal"): 2,
    ("estimate", None): 3,
    ("consistency", None): 1,
    ("smoothness", None): 2,
}


def test_a_group_meets_the_same_contents_each_by_every_method_and_nobody_one_twice():
    for methods in (("a",), ("a", "b"), ("a", "b", "c")):
        count = len(methods)
        plan, known = plan_of(methods, 4 * count, amounts=Amounts(2, 3, 1, 2))
        for first in range(0, len(plan), count):
            for (kind, axis), each in EACH.items():
                group = [met(tasks, known, kind, axis) for tasks in plan[first : first + count]]
                for person in group:
                    assert Counter(method for method, _, _ in person) == dict.fromkeys(methods, each)
                    assert len({content for _, content, _ in person}) == len(person)
                everything = Counter(item for person in group for item in person)
                assert set(everything.values()) == {1}
                by_method = [{(c, p) for m, c, p in everything if m == method} for method in methods]
                assert all(items == by_method[0] for items in by_method)


def test_a_series_has_five_pictures_of_one_method_and_prompt_along_one_axis():
    plan, known = plan_of(("a", "b"), 8)
    for task in (task for tasks in plan for task in tasks if task.kind in ("order", "smoothness")):
        series = [known[image] for image in task.images]
        assert len({(image.method, image.prompt, image.seed) for image in series}) == 1
        values = [(image.valence, image.arousal) for image in series]
        along, across = zip(*(value if task.axis == "valence" else value[::-1] for value in values), strict=True)
        assert sorted(along) == list(LINE)
        assert set(across) == {0.0}
        assert task.kind == "order" or list(along) == list(LINE)


def test_the_order_at_first_does_not_tell_the_right_one():
    plan, known = plan_of(("a", "b"), 60)
    taus = [
        stats.kendalltau(range(5), [getattr(known[image], task.axis) for image in task.images]).statistic
        for tasks in plan
        for task in tasks
        if task.kind == "order"
    ]
    assert abs(np.mean(taus)) < 0.06


def test_parts_come_in_eight_orders_with_the_ratings_last():
    orders = {tuple(parts_in_order(turn)) for turn in range(8)}
    assert len(orders) == 8
    assert all({kind for kind, _ in order[3:]} == {"consistency", "smoothness"} for order in orders)
    plan, _ = plan_of(("a", "b"), 16)
    seen = Counter(tuple(dict.fromkeys((t.kind, t.kind == "order" and t.axis) for t in tasks)) for tasks in plan)
    assert len(seen) == 8
    assert set(seen.values()) == {2}


def test_practice_comes_before_the_first_ordering_and_checks_behind_a_first_task():
    plan, _ = plan_of(("a", "b"), 8)
    for tasks in plan:
        kinds = [task.kind for task in tasks]
        assert kinds.count("practice") == 1
        assert kinds[kinds.index("practice") + 1] == "order"
        assert "order" not in kinds[: kinds.index("practice")]
        assert Counter(t.kind for t in tasks if t.check is not None) == {"estimate": 1, "consistency": 1}
        assert tasks[kinds.index("estimate")].check is None


def test_the_seed_decides_everything():
    assert plan_of(("a", "b"), 6, seed=3)[0] == plan_of(("a", "b"), 6, seed=3)[0]
    assert plan_of(("a", "b"), 6, seed=3)[0] != plan_of(("a", "b"), 6, seed=4)[0]


def test_contents_are_used_up_before_any_comes_again():
    plan, known = plan_of(("a", "b"), 12, amounts=Amounts(0, 2, 0, 0), contents=12)
    used = Counter(seed for tasks in plan for _, seed, _ in met(tasks, known, "estimate"))
    assert set(used.values()) == {4}  # 12 people x 4 tasks over 12 prompts


def test_five_points_are_spread_over_a_line_that_is_near_the_middle():
    line = [(v, 0.5) for v in range(-3, 4)] + [(float(v), -2.0) for v in range(-3, 4)]
    assert five_along(line, 0) == [(-3, 0.5), (-1, 0.5), (0, 0.5), (1, 0.5), (3, 0.5)]
    assert five_along(line, 1) is None


def test_an_axis_that_never_varies_is_not_asked_about():
    found = images(points=[(v, 0.0) for v in LINE])
    plan = make_plan(take_stock(found), replace(AMOUNTS, consistency=0), 4, 0)
    assert {task.axis for tasks in plan for task in tasks} == {"valence", None}


def test_consistency_is_rated_of_25_pictures_in_their_places():
    """As in the paper's second study: a set over the plane against the changes of valence and arousal."""
    plan, known = plan_of(("a", "b"), 4)
    for task in (task for tasks in plan for task in tasks if task.kind == "consistency" and task.images):
        shown = [known[image] for image in task.images]
        assert len({(image.method, image.prompt, image.seed) for image in shown}) == 1
        assert [(image.valence, image.arousal) for image in shown] == [(v, a) for a in LINE[::-1] for v in LINE]
    finer = [(v / 2, a / 2) for v in range(-6, 7) for a in range(-6, 7)]
    assert set_of(finer)[:5] == [(v, 3) for v in (-3, -1.5, 0, 1.5, 3)]
    assert set_of(finer[1:]) is None and set_of([(v, 0.0) for v in LINE]) is None


def test_amounts_that_the_images_do_not_allow_are_named():
    stock = take_stock(images(contents=4))
    for amounts, message in (
        (Amounts(order=3), r"--order 3 .*\(ours, rival\) needs 6 .* along valence .* 4: at most --order 2"),
        (Amounts(estimate=9), r"--estimate 9 .* needs 18 .* and there are 4: at most --estimate 2"),
        (Amounts(order=-1), "--order must be from 0 to 100, got -1"),
        (Amounts(0, 0, 0, 0), "nothing is asked: every amount is 0"),
    ):
        with pytest.raises(DataError, match=message):
            make_plan(stock, amounts, 4, 0)


def test_images_without_any_series_can_be_estimated_and_nothing_else():
    stock = take_stock(images(points=[(1.0, 1.0), (-1.0, -1.0)]))
    with pytest.raises(DataError, match="full series along valence by every method, and there are 0"):
        make_plan(stock, Amounts(), 4, 0)
    assert make_plan(stock, Amounts(0, 2, 0, 0), 4, 0)
    with pytest.raises(
        DataError, match=r"--consistency 2 .* 4 prompts .* with 5 x 5 pictures by every method, and there"
    ):
        make_plan(stock, Amounts(0, 2, 2, 0), 4, 0)


def test_what_only_one_method_has_is_not_asked_about():
    found = images() + images(methods=("ours",), points=[(2.0, 2.0)])
    plan = make_plan(take_stock(found), AMOUNTS, 8, 0)
    assert not any("+2-+2" in image for tasks in plan for task in tasks for image in task.images)


def test_two_images_for_one_request_are_refused():
    first = images()[0]
    with pytest.raises(DataError, match="were made by 'ours' for the same prompt, seed, valence and arousal"):
        take_stock([first, replace(first, id="other")])
