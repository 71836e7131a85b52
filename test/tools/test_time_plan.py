from dataclasses import replace

import pytest

from tools import time_plan
from tools.time_plan import EvaluationTime, make_plan, read_speed, rounds

EVALUATION = EvaluationTime(fixed=8, per_image=0.1, sizes=(100, 20))
ONE = {'counts': (6, 2), 'jobs': 6, 'step_seconds': (0.05, 0.08), 'start_seconds': 20}


def test_steps_of_all_generations_fit_beside_evaluations():
    plan = make_plan(500, 560, evaluations=[EVALUATION], **ONE)
    assert plan.evaluation_images is None and plan.evaluation_seconds == pytest.approx(1.5 * 20)
    ends = 60 * sum(plan.minutes) + 2 * 20 + plan.evaluation_seconds
    closing = time_plan.CLOSING_SECONDS + time_plan.CLOSING_SHARE * 560
    assert 500 - closing - 1 < ends <= 500 - closing
    # Every generation has the time for the same steps.
    assert [60 * minutes / each for minutes, each in zip(
        plan.minutes, ONE['step_seconds'], strict=True)] == pytest.approx([1.1 * plan.steps] * 2)


def test_fewer_runs_at_a_time_leave_fewer_steps():
    one = make_plan(500, 560, evaluations=[EVALUATION], **{**ONE, 'jobs': 3, 'start_seconds': 0})
    two = make_plan(500, 560, evaluations=[EVALUATION], **{**ONE, 'start_seconds': 0})
    assert two.steps / one.steps == pytest.approx((2 * 0.05 + 0.08) / (0.05 + 0.08), rel=0.01)
    assert rounds((6, 2), 4) == [2, 1]


def test_evaluation_that_takes_too_long_has_fewer_images_but_is_never_left_out():
    slow = replace(EVALUATION, per_image=2)
    plan = make_plan(500, 560, evaluations=[EVALUATION, slow], **ONE)
    assert plan.evaluation_images == 50  # (0.4 * 560 / 1.5 - 8) / 2 = 70.7 images, 20 of one set.
    assert plan.evaluation_seconds <= time_plan.EVALUATION_SHARE * 560
    assert make_plan(500, 560, evaluations=[replace(slow, per_image=80)], **{
        **ONE, 'start_seconds': 0}).evaluation_images == 1


def test_no_plan_where_no_step_fits():
    assert make_plan(60, 60, evaluations=[EVALUATION], **ONE) is None


def test_speed_is_read_from_a_log_without_its_slow_start(tmp_path):
    log = tmp_path / 'log.csv'
    log.write_text('step,learning_rate,images_per_second,wait_share,pixels\n')
    assert read_speed(tmp_path, 10) is None
    with log.open('a') as file:
        for step, (speed, wait) in enumerate([(1, 0.9), (100, 0.1), (100, 0.2)], 1):
            file.write(f'{step},0.001,{speed},{wait},0.5\n')
    speed = read_speed(tmp_path, 10)
    assert (speed.steps, speed.step_seconds, speed.wait_share) == (3, pytest.approx(0.1), 0.2)
    assert speed.seconds == pytest.approx(10.2) and speed.images_per_second == 100
