"""Sharing work among threads, and choosing how many."""

import time

import pytest

from robopolicy.learn.threads import ThreadChoice, Workers, choose_threads, usable_cores


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("items", [0, 1, 2, 7])
def test_results_are_in_order(count, items):
    workers = Workers(count)
    assert workers.map(lambda x: x * x, range(items)) == [x * x for x in range(items)]
    workers.close()
    workers.close()
    assert workers.map(lambda x: x, [1, 2, 3]) == [1, 2, 3]  # goes on by itself


@pytest.mark.parametrize("bad", [0, 1])
def test_an_error_comes_through_after_the_others_ended(bad):
    workers, ended = Workers(2), []

    def work(item):
        if item == bad:
            raise KeyError(item)
        time.sleep(0.02)
        ended.append(item)

    with pytest.raises(KeyError):
        workers.map(work, range(2))
    assert ended == [1 - bad]
    workers.close()


def test_a_count_below_one_is_refused():
    with pytest.raises(ValueError, match="0 was given"):
        Workers(0)


def test_chooses_more_threads_only_if_clearly_faster():
    parallel = choose_threads(lambda w: w.map(time.sleep, [0.01, 0.01]), most=2)
    assert parallel.count == 2
    serial = choose_threads(lambda w: time.sleep(0.01), most=2)
    assert serial.count == 1
    slightly = choose_threads(lambda w: time.sleep(0.010 if w.count > 1 else 0.0115), most=2)
    assert slightly.count == 1
    assert set(serial.seconds) == {1, 2}
    assert str(ThreadChoice(2, {1: 0.02, 2: 0.01})) == "2 threads for learning (1: 20.0 ms, 2: 10.0 ms)"


def test_choosing_takes_below_a_second():
    start = time.perf_counter()
    choice = choose_threads(lambda w: time.sleep(0.05), most=4)
    assert time.perf_counter() - start < 1.2
    assert choice.count == 1
    assert usable_cores() >= 1
