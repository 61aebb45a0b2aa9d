"""Several runs at once beside Kubernetes' own Job controller: what `tests/bench/operator_load.py` measures, without its clocks."""

import asyncio

import pytest
from load import Asker, Hand, way
from operator_process import RUNS, STEPS
from stored_runs import MINIMAL, manifest

from dto_operator import names

pytestmark = pytest.mark.services
COUNT = 5
WRITES = ("POST", "PATCH", "PUT", "DELETE")


def written(operator):
    lines = operator.asked("/metrics")[1].splitlines()
    counted = [line for line in lines if line.startswith("dto_operator_api_requests_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in counted if any(f'"{verb}"' in line for verb in WRITES))


async def played(ground):
    async with Asker(way(ground.server)) as asker:
        hand = Hand(asker, ground.namespace, (0.1, 0.5))
        playing = asyncio.create_task(hand.play(COUNT))
        for number in range(COUNT):
            run = manifest(MINIMAL | {"until": "pairs"}, f"r-{number}")
            await asker.ask("POST", ground.path(RUNS, "dtoruns"), run)
        await playing
        return hand.clock


def test_runs_side_by_side_complete_with_one_job_for_each_stage_and_few_writes(acting, operators):
    operator = operators(acting)
    acting.until(lambda: operator.asked("/readyz")[0] == 200)
    clock = asyncio.run(played(acting))
    acting.until(lambda: all(acting.condition(f"r-{number}", "Complete") for number in range(COUNT)))
    stages = COUNT * len(STEPS)
    assert len(acting.jobs()) == len(clock.jobs) == stages
    assert {job["metadata"]["labels"][names.ATTEMPT] for job in acting.jobs()} == {"1"}
    assert len(clock.handoffs()) == stages - COUNT
    assert 1 <= written(operator) / stages <= 4
