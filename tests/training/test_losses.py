"""Terms of the loss beside the ELBO, against slow loops over their formulas."""

import math

import numpy as np
import pytest
import torch

from derm_core.training.losses import (
    SSIM_C1,
    SSIM_C2,
    free_bits_kl,
    gradient_difference,
    nt_xent_loss,
    ssim_loss,
)


@pytest.fixture
def views():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(5, 4, generator=generator), torch.randn(5, 4, generator=generator)


def nt_xent(first, second, temperature) -> list[float]:
    """Chen et al. 2020, eq. 1, for each of the 2 n projections in turn."""
    z = [row / np.linalg.norm(row) for row in torch.cat([first, second]).double().numpy()]
    n, losses = len(first), []
    for i in range(2 * n):
        j = i + n if i < n else i - n
        scores = {k: math.exp(float(z[i] @ z[k]) / temperature) for k in range(2 * n) if k != i}
        losses.append(-math.log(scores[j] / sum(scores.values())))
    return losses


@pytest.mark.parametrize("temperature", [0.1, 0.2, 1.0])
def test_agreement_is_the_formula_of_its_source(views, temperature):
    expected = np.mean(nt_xent(*views, temperature))
    assert nt_xent_loss(*views, *views, temperature).item() == pytest.approx(expected, rel=1e-5)


def test_shares_of_a_batch_give_the_whole_batch_mean(views):
    parts = [
        nt_xent_loss(*(v[begin:end] for v in views), *views, 0.2, begin).item() * (end - begin) / 5
        for begin, end in ((0, 2), (2, 5))
    ]
    assert sum(parts) == pytest.approx(np.mean(nt_xent(*views, 0.2)), rel=1e-5)


def test_agreement_is_least_where_the_two_views_are_alike_and_others_are_not(views):
    alike, shuffled = (
        nt_xent_loss(views[0], other, views[0], other, 0.2)
        for other in (views[0], views[0].roll(1, 0))
    )
    assert alike < 1 < shuffled


def test_the_edge_term_compares_differences_of_neighbours():
    a, b = np.random.default_rng(0).normal(size=(2, 2, 3, 5, 5))
    rows = [
        abs((a[n, c, i + 1, j] - a[n, c, i, j]) - (b[n, c, i + 1, j] - b[n, c, i, j]))
        for n in range(2)
        for c in range(3)
        for i in range(4)
        for j in range(5)
    ]
    columns = [
        abs((a[n, c, i, j + 1] - a[n, c, i, j]) - (b[n, c, i, j + 1] - b[n, c, i, j]))
        for n in range(2)
        for c in range(3)
        for i in range(5)
        for j in range(4)
    ]
    loss = gradient_difference(torch.tensor(a), torch.tensor(b)).item()
    assert loss == pytest.approx(np.mean(rows) + np.mean(columns), rel=1e-5)
    assert gradient_difference(torch.tensor(a), torch.tensor(a) + 3).item() == pytest.approx(
        0, abs=1e-6
    ), "level is free"


def test_structure_is_one_less_ssim():
    x, y = np.random.default_rng(1).uniform(-1, 1, (2, 1, 2, 9, 9))
    values = []
    for c in range(2):
        for i in range(3):
            for j in range(3):
                u, v = x[0, c, i : i + 7, j : j + 7], y[0, c, i : i + 7, j : j + 7]
                covariance = ((u - u.mean()) * (v - v.mean())).mean()
                values.append(
                    (2 * u.mean() * v.mean() + SSIM_C1)
                    * (2 * covariance + SSIM_C2)
                    / ((u.mean() ** 2 + v.mean() ** 2 + SSIM_C1) * (u.var() + v.var() + SSIM_C2))
                )
    assert ssim_loss(torch.tensor(x), torch.tensor(y)).item() == pytest.approx(
        1 - np.mean(values), rel=1e-4
    )
    assert ssim_loss(torch.tensor(x), torch.tensor(x)).item() == pytest.approx(0, abs=1e-6)


def test_free_bits_press_no_dimension_below_their_number():
    kl_nz = torch.tensor([[0.0, 2.0], [0.1, 4.0]], requires_grad=True)
    total = free_bits_kl(kl_nz, 0.5)
    total.backward()
    assert total.item() == pytest.approx(0.5 + 3.0)
    assert kl_nz.grad.tolist() == [[0.0, 0.5], [0.0, 0.5]]
