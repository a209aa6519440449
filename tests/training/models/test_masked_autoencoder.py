"""Masked image modelling: what is hidden is not seen, and can be painted in."""

import pytest
import torch

from training.models.encoder import TimmEncoder
from training.models.masked_autoencoder import MaskedAutoencoder

SIZE, PATCH = 32, 8


def _model(name: str, *, normalised: bool = False) -> MaskedAutoencoder:
    torch.manual_seed(0)
    options = {"embed_dim": 48, "depth": 2, "num_heads": 2, "patch_size": PATCH} if "vit" in name else {}
    encoder = TimmEncoder(name, input_size=SIZE, stages=(0, 1), drop_path=0.0, options=options)
    return MaskedAutoencoder(
        encoder, input_size=SIZE, patch=PATCH, width=32, heads=2, normalised=normalised
    ).eval()


def _order(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.stack([torch.randperm(16, generator=generator) for _ in range(count)])


@pytest.fixture(params=["vit_tiny_patch16_224", "resnet10t"])
def model(request: pytest.FixtureRequest) -> MaskedAutoencoder:
    return _model(request.param)


def test_a_hidden_patch_is_not_seen(model: MaskedAutoencoder) -> None:
    images = torch.rand(2, 3, SIZE, SIZE)
    order = _order(2)
    hidden, shown = int(order[0, -1]), int(order[0, 0])

    def changed(patch: int) -> torch.Tensor:
        other = images.clone()
        y, x = divmod(patch, SIZE // PATCH)
        other[0, :, y * PATCH : (y + 1) * PATCH, x * PATCH : (x + 1) * PATCH] += 1
        return other

    with torch.inference_mode():
        painted = model(images, order, visible=4)[1]
        torch.testing.assert_close(model(changed(hidden), order, visible=4)[1], painted)
        assert (model(changed(shown), order, visible=4)[1][0] - painted[0]).abs().max() > 1e-4
        torch.testing.assert_close(model(changed(shown), order, visible=4)[1][1], painted[1])


def test_the_loss_is_the_l1_distance_of_hidden_patches_only(model: MaskedAutoencoder) -> None:
    images = torch.rand(3, 3, SIZE, SIZE)
    order = _order(3)
    with torch.inference_mode():
        loss, painted = model(images, order, visible=4)
        away = (painted - model.target_patches(images)).abs().mean(2)
    for face in range(3):
        torch.testing.assert_close(loss[face], away[face, order[face, 4:]].mean())


def test_patches_become_the_picture_again() -> None:
    model = _model("resnet10t")
    images = torch.rand(2, 3, SIZE, SIZE)
    assert torch.equal(model.picture(model.target_patches(images)), images)
    first = images[0, :, :PATCH, PATCH : 2 * PATCH].permute(1, 2, 0).flatten()
    assert torch.equal(model.target_patches(images)[0, 1], first)


def test_normalised_patches_have_no_mean_and_unit_variance() -> None:
    target_patches = _model("resnet10t", normalised=True).target_patches(torch.rand(2, 3, SIZE, SIZE))
    torch.testing.assert_close(target_patches.mean(2), torch.zeros(2, 16), atol=1e-5, rtol=0)
    torch.testing.assert_close(target_patches.var(2, unbiased=False), torch.ones(2, 16), atol=1e-3, rtol=0)


def test_hidden_patches_are_learned(model: MaskedAutoencoder) -> None:
    """Pictures of one plain colour each: what is hidden has the colour of what is shown."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    torch.manual_seed(2)
    losses = []
    for _ in range(60):
        images = torch.rand(8, 3, 1, 1).expand(-1, -1, SIZE, SIZE)
        loss = model(images, _order(8), visible=4)[0].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


def test_patches_that_do_not_fit_are_refused() -> None:
    encoder = _model("vit_tiny_patch16_224").encoder
    with pytest.raises(ValueError, match="patches are 8 pixels"):
        MaskedAutoencoder(encoder, input_size=SIZE, patch=16, width=32, heads=2)
    with pytest.raises(ValueError, match="do not tile"):
        MaskedAutoencoder(encoder, input_size=SIZE, patch=9, width=32, heads=2)
