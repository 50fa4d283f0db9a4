"""The search for how far the point can go, on pictures whose answer is known."""

import math

import pytest
import torch

from emoticrafter.range import (
    DIRECTIONS,
    EDGE,
    JUMPS,
    LOST,
    MOST,
    SAME,
    STEP,
    STOPS,
    ends,
    range_text,
    read_sketch,
    search_range,
    sketch,
)
from emoticrafter.va import Point

SIZE = 64


def house(light: float = 0.0, moved: float = 0.0, apart: float = 0.0) -> torch.Tensor:
    """A square on a ground, [H, W, 3]: lighter by `light`, moved by a share of the picture, mixed with stripes."""
    picture = torch.full((SIZE, SIZE, 3), 0.25)
    at = 8 + round(moved * SIZE)
    picture[24:48, at : at + 24] = 0.5
    stripes = 0.25 + 0.25 * (torch.arange(SIZE) // 4 % 2).float()
    picture = (1 - apart) * picture + apart * stripes[:, None, None]
    return (picture + light).clamp(0, 1)


class World:
    """Draws by a rule from reach to picture, and counts."""

    def __init__(self, rule):
        self.rule, self.asked = rule, []

    def __call__(self, points: list[Point]) -> torch.Tensor:
        self.asked += [tuple(point) for point in points]
        return torch.stack([self.rule(max(map(abs, point))) for point in points])


def found(rule, pictures: int = MOST, **settings):
    """The limit that all eight rays agree on."""
    [limit] = {ray.limit() for ray in search_range(World(rule), pictures, **settings)}
    return limit


def test_it_asks_for_neutral_and_then_for_a_point_of_each_ray_at_half_steps():
    world = World(lambda reach: house(light=0.1 * reach))
    search_range(world, 3)
    assert world.asked[0] == (0, 0) and len(world.asked) == 1 + 3 * 8 == len(set(world.asked))
    assert world.asked[1:9] == [(3 * v, 3 * a) for v, a in DIRECTIONS.values()]
    assert all(value % STEP == 0 for point in world.asked for value in point)


def test_an_even_change_of_light_goes_to_the_edge():
    assert found(lambda reach: house(light=0.08 * reach)) == (3, EDGE)


def test_pictures_that_lose_their_shapes_end_the_range_there():
    limit = found(lambda reach: house(light=0.05 * reach, apart=float(reach > 1.5)))
    assert limit.why in (LOST, JUMPS) and 1.5 <= limit.reach < 2
    fading = found(lambda reach: house(light=0.05 * reach, apart=reach / 3))
    assert fading.why == LOST and 0.5 < fading.reach < 2.5


def test_the_more_must_stay_the_nearer_is_the_end():
    def fade(reach):
        return house(light=0.05 * reach, apart=reach / 3)

    reaches = [found(fade, keep=keep).reach for keep in (0.1, 0.4, 0.8)]
    assert reaches == sorted(reaches, reverse=True) and len(set(reaches)) == 3


def test_pictures_that_stop_changing_end_the_range_there():
    limit = found(lambda reach: house(light=0.2 * min(reach, 1.5)))
    assert limit.why == STOPS and abs(limit.reach - 1.5) <= STEP


def test_a_jump_of_colours_ends_the_range_before_it():
    assert found(lambda reach: house(light=0.02 * reach + 0.3 * (reach > 2))) == (2, JUMPS)


def test_pictures_that_never_change_have_no_range():
    assert found(lambda reach: house()) == (0, SAME)
    assert found(lambda reach: house(), pictures=1) == (0, SAME)


@pytest.mark.parametrize("end", [0.7, 1.2, 1.8, 2.3, 2.8])
@pytest.mark.parametrize("pictures", [3, 4])
def test_few_pictures_find_the_end_within_a_step_of_what_all_find(end, pictures):
    """Whatever ends it; the best that does not look, a limit amid the plane, is wrong by more than a step."""

    def torn(reach):
        return house(light=0.05 * reach, apart=1 / (1 + math.exp(-6 * (reach - end))))

    def settled(reach):
        return house(light=0.3 * math.tanh(1.5 * reach / end))

    for rule in (torn, settled):
        few, all_ = found(rule, pictures), found(rule)
        assert abs(few.reach - all_.reach) <= STEP
    assert abs(found(torn).reach - end) <= 2 * STEP


def test_pictures_come_to_lie_where_the_range_ends():
    """Four pictures on a ray: they close in on the end, wherever it is."""

    def torn(reach):
        return house(light=0.05 * reach, apart=float(reach > 0.5))

    for ray in search_range(World(torn), 4):
        assert {0.5, 1.0} < set(ray.reaches)


def test_rays_of_a_scene_end_apart():
    def draw(points):
        return torch.stack([house(0.05 * max(map(abs, p)), apart=float(p.valence < -1)) for p in points])

    rays = search_range(draw, MOST)
    by_name = dict(zip(DIRECTIONS, ends(rays), strict=True))
    assert by_name["pleasure"] == (3, 0) and by_name["excitement"] == (3, 3) and by_name["arousal"] == (0, 3)
    assert -2 < by_name["displeasure"].valence <= -1 and by_name["displeasure"].arousal == 0
    assert by_name["distress"].arousal == -by_name["distress"].valence
    lines = range_text(rays).splitlines()
    assert len(lines) == 8 and lines[0] == "pleasure: +3.00, +0.00, to the edge of the plane"


def test_a_sketch_keeps_edges_through_another_light_and_tells_other_shapes_apart():
    seen = sketch(torch.stack([house(), house(light=0.3), house(moved=0.4)]))
    plain, lighter, moved = seen.content @ seen.content[0]
    assert plain == pytest.approx(1) and lighter > 0.99 and moved < 0.5
    assert seen.mood.shape == (3, 768)
    assert sketch(torch.rand(2, 7, 300, 4)).content.shape == (2, 961)
    flat = sketch(torch.full((1, SIZE, SIZE, 3), 0.5))
    assert flat.content.isfinite().all()


# ---- what readers see ----------------------------------------------------------------------------------


def by_readers(valence, likely=None):
    """Rules from a picture's light to what readers say: the light is the reach in tenths."""

    def look(images: torch.Tensor):
        reaches = [10 * (image[0, 0, 0].item() - 0.25) for image in images]
        readings = torch.tensor([[valence(reach), 0.0] for reach in reaches])
        subjects = likely and torch.tensor([[likely(reach), 1 - likely(reach), 0.0] for reach in reaches])
        return read_sketch(images, readings, subjects)

    return look


def lit(reach: float) -> torch.Tensor:
    return house(light=0.1 * reach)


def test_a_reader_says_where_the_emotion_stops_though_colours_go_on():
    assert found(lit).why == EDGE
    limit = found(lit, look=by_readers(lambda reach: 2 * min(reach, 1.5)))
    assert limit.why == STOPS and abs(limit.reach - 1.5) <= STEP
    assert found(lit, look=by_readers(lambda reach: reach)) == (3, EDGE)
    assert found(lit, look=by_readers(lambda reach: 1.0)) == (0, SAME)


def test_a_reader_of_subjects_says_where_the_subject_goes_and_lets_shapes_change():
    def torn(reach):
        return house(light=0.1 * reach, apart=float(reach > 1))

    def steady(reach):
        return reach

    assert found(torn, look=by_readers(steady)).reach <= 1.5, "without one edges tell"
    assert found(torn, look=by_readers(steady, lambda reach: 0.9)) == (3, EDGE)
    limit = found(lit, look=by_readers(steady, lambda reach: 0.95 if reach < 2.2 else 0.1))
    assert limit.why == LOST and 2 <= limit.reach <= 2.5
    unsure = found(lit, look=by_readers(steady, lambda reach: 0.95 if reach < 2.2 else 0.45))
    assert unsure == (3, EDGE), "two subjects alike are not yet a loss"


def test_what_cannot_be_measured_is_refused():
    def broken(points):
        return torch.full((len(points), 8, 8, 3), math.nan)

    with pytest.raises(ValueError, match="NaN or infinite numbers"):
        search_range(broken)
    world = World(lambda reach: house())
    for settings, told in (((0,), "pictures is 0"), ((7,), "pictures is 7"), ((3, 1.5), "keep is 1.5")):
        with pytest.raises(ValueError, match=told):
            search_range(world, *settings)
    assert not world.asked
