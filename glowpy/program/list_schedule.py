"""List scheduling: of all steps that are ready, always the one that leaves the least memory alive."""

from __future__ import annotations

import heapq

from glowpy.program.region import Region, steps_in


def list_schedule(region: Region) -> list[int]:
    """An order of all steps; among equal ones, the step that became ready last goes first.

    Takes O(n log n) time where every buffer has few users.
    """
    followers = region.followers()
    waiting = [before.bit_count() for before in region.after]
    users = [steps_in(mask) for mask in region.users]
    unfinished = [len(steps) for steps in users]
    alive = [bool(region.entering >> b & 1) for b in range(len(region.sizes))]
    growth: list[int | None] = [None] * len(region)
    queue: list[tuple[int, int, int]] = []

    def enqueue(step: int, time: int) -> None:
        grown = 0
        for buffer in region.buffers[step]:
            if not alive[buffer]:
                grown += region.sizes[buffer]
            if unfinished[buffer] == 1 and not region.leaving >> buffer & 1:
                grown -= region.sizes[buffer]
        if growth[step] != grown:
            growth[step] = grown
            heapq.heappush(queue, (grown, -time, step))

    for step, count in enumerate(waiting):
        if count == 0:
            enqueue(step, 0)
    order: list[int] = []
    finished = [False] * len(region)
    while queue:
        grown, time, step = heapq.heappop(queue)
        if finished[step] or growth[step] != grown:
            continue
        finished[step] = True
        order.append(step)
        changed = set()
        for buffer in region.buffers[step]:
            unfinished[buffer] -= 1
            if not alive[buffer] or unfinished[buffer] == 1:
                changed.update(users[buffer])
            alive[buffer] = True
        for other in sorted(changed):
            if not finished[other] and waiting[other] == 0:
                enqueue(other, -time)
        for other in followers[step]:
            waiting[other] -= 1
            if waiting[other] == 0:
                enqueue(other, len(order))
    return order
