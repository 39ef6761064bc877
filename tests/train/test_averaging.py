"""The mean of the last weights: what it is made of, and that the model gets its own ones back."""

import pytest
import torch
from torch import nn

from tinytx.train.averaging import EVERY, Average


def trained(model: nn.Linear, average: Average, steps: int, first: int = 0) -> list[torch.Tensor]:
    """The weights after each step, of a model that is moved at random."""
    seen = []
    for step in range(first, first + steps):
        with torch.no_grad():
            model.weight += torch.randn_like(model.weight)
        average.stepped(step + 1, float(step))
        seen.append(model.weight.detach().clone())
    return seen


def test_it_is_the_mean_of_every_fourth_of_the_last_weights() -> None:
    model = nn.Linear(3, 2)
    average = Average(model, 0.5, 40)
    seen = trained(model, average, 40)
    taken = [weights for step, weights in enumerate(seen) if step >= 20 and (step + 1) % EVERY == 0]
    assert average.count == len(taken) == 5
    with average.in_place():
        torch.testing.assert_close(model.weight, torch.stack(taken).mean(0))
    assert torch.equal(model.weight, seen[-1])
    with average.in_place():  # as before
        torch.testing.assert_close(model.weight, torch.stack(taken).mean(0))


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_a_share_without_a_step_that_is_taken_averages_nothing(share: float) -> None:
    model = nn.Linear(3, 2)
    average = Average(model, share, 10)
    trained(model, average, 10)
    assert average.count == 0


def test_where_steps_are_left_out_of_the_schedule_its_places_decide() -> None:
    model = nn.Linear(3, 2)
    average = Average(model, 0.5, 40)
    for done, place in enumerate((0.0, 10.0, 18.0, 21.0, 25.0, 30.0, 35.0, 39.0), start=1):
        average.stepped(done, place)
    assert average.count == 2  # after the steps 4 and 8


def test_it_goes_on_from_its_state_to_the_same_bits() -> None:
    model = nn.Linear(3, 2)
    whole, first = Average(model, 0.5, 40), Average(model, 0.5, 40)
    trained(model, whole, 0)
    torch.manual_seed(1)
    begun = model.weight.detach().clone()
    trained(model, whole, 40)
    with torch.no_grad():
        model.weight.copy_(begun)
    torch.manual_seed(1)
    trained(model, first, 27)
    second = Average(model, 0.5, 40)
    second.load_state_dict(first.state_dict())
    trained(model, second, 13, first=27)
    ours, theirs = second.state_dict(), whole.state_dict()
    assert ours["count"] == theirs["count"] == 5
    assert all(torch.equal(ours["mean"][name], theirs["mean"][name]) for name in theirs["mean"])


def test_the_mean_of_another_model_is_refused() -> None:
    average = Average(nn.Linear(3, 2), 0.5, 8)
    trained(nn.Linear(3, 2), average, 8)
    with pytest.raises(ValueError, match="another model"):
        Average(nn.Linear(4, 2), 0.5, 8).load_state_dict(average.state_dict())
