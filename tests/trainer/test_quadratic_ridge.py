"""The image tower's ridge regression: it is the kernel regression that it says it is, and honest about the rows it was fitted on."""

import pytest
import torch

from trainer.model.quadratic_ridge import QuadraticRidge

ROWS, FEATURES = 120, 40
PENALTY = 0.4


@pytest.fixture(scope="module")
def rows() -> tuple[torch.Tensor, torch.Tensor]:
    """Features, and VA of which valence is linear in one of them and arousal the square of another, with noise."""
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(ROWS, FEATURES, generator=draw)
    va = torch.stack([features[:, 0], features[:, 1].square() - 1], 1) + 0.1 * torch.randn(ROWS, 2, generator=draw)
    return features, va


def fitted(features: torch.Tensor, va: torch.Tensor, weights: torch.Tensor | None = None, components: int = FEATURES) -> QuadraticRidge:
    model = QuadraticRidge(FEATURES, components)
    model.fit(features, va, torch.ones_like(va) if weights is None else weights)
    return model.eval()


def test_it_predicts_what_kernel_ridge_regression_does(rows: tuple[torch.Tensor, torch.Tensor]) -> None:
    features, va = rows
    weights = torch.ones(ROWS, 2)
    weights[::3, 1] = 0.2
    model = fitted(features, va, weights)
    asked = torch.randn(30, FEATURES, generator=torch.Generator().manual_seed(1))
    standard = ((torch.cat([features, asked]) - features.mean(0)) / features.std(0, correction=0)).clamp(-5, 5).double()
    kernel = (1 + standard @ standard[:ROWS].T / FEATURES).square() / 4
    for axis in (0, 1):
        solved = torch.linalg.solve(kernel[:ROWS] + torch.diag(PENALTY / weights[:, axis].double()), va[:, axis].double())
        assert (model(asked)[:, axis] - kernel[ROWS:] @ solved).abs().max() < 5e-3  # means, deviations and directions are in 16 bits


def test_it_learns_squares_and_leaves_out_what_has_no_weight(rows: tuple[torch.Tensor, torch.Tensor]) -> None:
    features, va = rows
    model = fitted(features, va)
    assert torch.corrcoef(torch.stack([model(features)[:, 1], va[:, 1]]))[0, 1] > 0.9
    wrong = va.clone()
    wrong[:20, 1] = 50
    weights = torch.ones(ROWS, 2)
    weights[:20, 1] = 0
    assert torch.equal(fitted(features, wrong, weights)(features), fitted(features, va, weights)(features))
    assert not torch.allclose(fitted(features, wrong)(features), model(features), atol=1)


def test_in_training_a_row_does_not_see_its_own_label(rows: tuple[torch.Tensor, torch.Tensor]) -> None:
    features, va = rows
    features = torch.cat([features, features[:1]])  # an equal row is in the same part
    va = torch.cat([va, va[:1]])
    changed = va.clone()
    changed[[0, -1]] = 30
    before, after = fitted(features, va).train()(features), fitted(features, changed).train()(features)
    assert torch.equal(before[[0, -1]], after[[0, -1]])
    moved = (after - before).abs().amax(1) > 1e-3
    assert 0.6 < float(moved.float().mean()) < 0.95  # four fifths have learned from it
    assert ((fitted(features, changed)(features) - fitted(features, va)(features)).abs().amax(1) > 1e-3).all()


def test_few_rows_and_few_components_are_enough() -> None:
    features = torch.randn(7, FEATURES, generator=torch.Generator().manual_seed(2))
    va = torch.linspace(-1, 1, 14).reshape(7, 2)
    for model in (fitted(features, va, components=64), fitted(features, va, components=3)):
        for mode in (True, False):
            predicted = model.train(mode)(features)
            assert predicted.shape == (7, 2)
            assert predicted.isfinite().all()
    assert (QuadraticRidge(FEATURES, 8)(features) == 0).all()  # before it is fitted


def test_more_rows_than_can_be_solved_are_drawn_from(monkeypatch: pytest.MonkeyPatch, rows: tuple[torch.Tensor, torch.Tensor]) -> None:
    features, va = rows
    whole = fitted(features, va)
    monkeypatch.setattr("trainer.model.quadratic_ridge.MOST_ROWS", 60)
    part = fitted(features, va)
    assert not torch.equal(part(features), whole(features))
    assert torch.corrcoef(torch.stack([part(features)[:, 0], whole(features)[:, 0]]))[0, 1] > 0.8
    assert torch.equal(fitted(features, va)(features), part(features))


def test_weights_survive_a_checkpoint(rows: tuple[torch.Tensor, torch.Tensor]) -> None:
    features, va = rows
    model = fitted(features, va)
    loaded = QuadraticRidge(FEATURES, FEATURES)
    loaded.load_state_dict({key: value.half().float() for key, value in model.state_dict().items()})
    assert (loaded.eval()(features) - model(features)).abs().max() < 5e-3
