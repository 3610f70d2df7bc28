"""Sums over the edges of an atom, block by block, against a plain loop."""

from __future__ import annotations

import pytest
import torch

from orbmm.model.inference.edge_blocks import cut_into_blocks, cut_into_fixed_blocks

ATOMS, EDGES, WIDTH = 7, 100, 3


@pytest.fixture
def ends() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    senders = torch.randint(ATOMS - 1, (EDGES,), generator=generator).sort().values  # the last atom has no edge
    return senders, torch.randint(ATOMS - 1, (EDGES,), generator=generator)


@pytest.mark.parametrize("edges_per_block", [1, 9, 50, 99, 100, 1000])
def test_blocks_cover_all_edges_and_sum_them_into_their_atoms(
    ends: tuple[torch.Tensor, torch.Tensor], edges_per_block: int
) -> None:
    senders, receivers = ends
    values, weights = torch.rand(EDGES, WIDTH, dtype=torch.float64), torch.rand(EDGES, dtype=torch.float64)
    sent, received = torch.zeros(ATOMS, WIDTH, dtype=torch.float64), torch.zeros(ATOMS, WIDTH, dtype=torch.float64)
    blocks = cut_into_blocks(senders, receivers, ATOMS, edges_per_block)
    assert torch.equal(torch.cat([block.senders for block in blocks]), senders)
    assert torch.equal(torch.cat([block.receivers for block in blocks]), receivers)
    for block in blocks:
        assert len(block) <= edges_per_block
        block.by_sender.add_to(sent, values[block.rows], weights[block.rows])
        block.by_receiver.add_to(received, values[block.rows])
    expected_sent, expected_received = torch.zeros_like(sent), torch.zeros_like(received)
    for edge in range(EDGES):
        expected_sent[senders[edge]] += weights[edge] * values[edge]
        expected_received[receivers[edge]] += values[edge]
    torch.testing.assert_close(sent, expected_sent, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(received, expected_received, rtol=1e-14, atol=1e-14)


def test_no_edges_make_no_blocks() -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    assert cut_into_blocks(nothing, nothing, ATOMS, 10) == []


@pytest.mark.parametrize("edges_per_block", [1, 9, 100, 1000])
def test_blocks_made_without_a_look_at_numbers_sum_the_same_to_the_last_bit(
    ends: tuple[torch.Tensor, torch.Tensor], edges_per_block: int
) -> None:
    values = torch.rand(EDGES, WIDTH)
    blocks = [cut(*ends, ATOMS, edges_per_block) for cut in (cut_into_blocks, cut_into_fixed_blocks)]
    for looked, fixed in zip(*blocks, strict=True):
        assert looked.rows == fixed.rows
        for name in ("by_sender", "by_receiver"):
            sums = [torch.zeros(ATOMS, WIDTH) for _ in range(2)]
            for block, total in zip((looked, fixed), sums, strict=True):
                getattr(block, name).add_to(total, values[block.rows])
            assert torch.equal(*sums)
            assert sums[0].any()
