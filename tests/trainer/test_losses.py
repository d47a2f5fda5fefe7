import pytest
import torch

from trainer.losses import similarity_loss, va_loss


def test_va_loss_is_the_mean_squared_l2_distance() -> None:
    predicted, target = torch.tensor([[0.5, 0.5], [0.0, 1.0]]), torch.tensor([[0.5, 0.1], [0.3, 0.6]])
    assert va_loss(predicted, target, 2).item() == pytest.approx((0.16 + 0.25) / 2)


def test_similarity_loss_is_the_mean_squared_error() -> None:
    assert similarity_loss(torch.tensor([0.5, 1.0]), torch.tensor([0.0, 0.9]), 2).item() == pytest.approx((0.25 + 0.01) / 2)


def test_shares_of_unequal_processes_add_up() -> None:
    predicted, target = torch.rand(7, 2), torch.rand(7, 2)
    shares = va_loss(predicted[:4], target[:4], 7) + va_loss(predicted[4:], target[4:], 7)
    assert shares.item() == pytest.approx(va_loss(predicted, target, 7).item(), rel=1e-6)
