import pytest
import torch
import torchvision

from svdaudio.models.resnet import ResNet18, initialise


@pytest.fixture
def published():
    """torchvision's network with other than its initial statistics."""
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=10)
    network(torch.rand(4, 3, 64, 64))
    return network.eval()


def test_it_is_the_network_of_torchvision_with_the_published_widths(published):
    ours = ResNet18(n_dims=10).eval()
    assert list(ours.state_dict()) == list(published.state_dict())
    ours.load_state_dict(published.state_dict())
    pictures = torch.rand(2, 3, 96, 64)
    with torch.inference_mode():
        torch.testing.assert_close(ours(pictures), published(pictures))


def test_positions_average_to_the_features():
    network = ResNet18(widths=(4, 4, 8, 8)).eval()
    pictures = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        places = network.feature_map(pictures)
        assert places.shape == (2, 8, 7, 7)
        torch.testing.assert_close(places.mean(dim=(2, 3)), network(pictures))


def test_convolutions_are_initialised_as_in_he_et_al():
    torch.manual_seed(0)
    network = ResNet18(widths=(16, 16, 32, 32))
    initialise(network)
    weight = network.layer4[1].conv2.weight
    assert float(weight.detach().std()) == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.05)
