"""Each network hears its context and no more, whatever lies beside it in the batch."""

from __future__ import annotations

import pytest
import torch

from dubber.models.speech_net import (
    FUTURE,
    RUN_UP,
    TRANSLATORS,
    IdentityRemover,
    SpeechEncoder,
)

SMALL = {"width": 8}


def made(name, **sizes):
    torch.manual_seed(0)
    return TRANSLATORS[name](28, 5, **SMALL, **sizes).eval()


def heard_by(module, num_steps, answer):
    """Which steps of a run move one of its answers."""
    features_BWC = torch.randn(1, num_steps, 28, requires_grad=True)
    module(features_BWC)[0, answer].sum().backward()
    return features_BWC.grad[0].abs().sum(dim=-1) > 0


@pytest.mark.parametrize("name", list(TRANSLATORS))
def test_an_answer_hears_exactly_its_context(name):
    net = made(name)
    steps = heard_by(net, net.before + 1 + net.after, 0)
    assert steps[0] and steps[-1]  # neither side is longer than it has to be
    assert net(torch.randn(2, net.before + 3 + net.after, 28)).shape == (2, 3, 5)
    longer = heard_by(net, net.before + 30 + net.after, 12)
    assert longer[net.before + 12 + net.after]
    assert not longer[net.before + 12 + net.after + 1 :].any()
    # Convolutions forget, an LSTM remembers all of the run.
    assert longer[:12].any() == (name == "lstm")
    assert longer[12]


def test_the_contexts_are_the_published_ones():
    lstm, conv = made("lstm"), made("conv")
    assert lstm.after == FUTURE == 20
    assert lstm.before == RUN_UP + lstm.encoder.reach
    assert conv.before == conv.after
    assert 0.26 <= (conv.before + 1 + conv.after) / 100 / 2 <= 0.32  # seven frames at 25 a second


def test_the_lstm_s_memory_fades():
    torch.manual_seed(0)
    net = made("lstm", hidden=8)
    run = torch.randn(1, net.before + 50 + net.after, 28)
    other = run.clone()
    other[:, :5] += 3.0
    with torch.inference_mode():
        change = (net(run) - net(other)).abs().amax(dim=-1)[0]
    assert change[-1] < 1e-3


def test_the_encoder_hears_as_far_as_it_says():
    encoder = SpeechEncoder(28, width=8).eval()
    assert encoder(torch.randn(3, 2 * encoder.reach + 4, 28)).shape == (3, 4, 8)
    steps = heard_by(encoder, 2 * encoder.reach + 10, 4)
    first, last = 4, 4 + 2 * encoder.reach
    assert steps[first] and steps[last]
    assert not steps[:first].any() and not steps[last + 1 :].any()


@pytest.mark.parametrize("name", list(TRANSLATORS))
def test_the_batch_does_not_matter(name):
    net = made(name)
    runs = torch.randn(4, net.before + 20 + net.after, 28)
    with torch.inference_mode():
        together = net(runs)
        for index in range(4):
            torch.testing.assert_close(net(runs[index : index + 1])[0], together[index], rtol=0, atol=1e-5)
        torch.testing.assert_close(net.answer(net.hidden(runs)), together, rtol=0, atol=0)


@pytest.mark.parametrize("name", list(TRANSLATORS))
def test_everything_in_a_translator_learns(name):
    net = made(name).train()
    net(torch.randn(3, net.before + 20 + net.after, 28)).square().sum().backward()
    assert all(
        value.grad is not None and value.grad.abs().sum() > 0
        for key, value in net.named_parameters()
        if not key.endswith("conv.bias")  # a shift before a normalisation does nothing
    )


def test_the_remover_starts_near_the_identity_and_hears_the_past():
    torch.manual_seed(0)
    remover = IdentityRemover(28)
    features = torch.randn(2, 60, 28)
    with torch.inference_mode():
        change = remover(features) - features
        assert 0 < change.std() < 0.05
        other = features.clone()
        other[:, 30:] += 1.0
        torch.testing.assert_close(remover(other)[:, :30], remover(features)[:, :30])
    moved = torch.autograd.functional.jacobian(lambda x: remover(x)[0, 40].sum(), features)[0]
    assert (moved[:41].abs().sum(dim=-1) > 0).all()


def test_the_remover_is_the_published_sum():
    """W_t [x_t; 1] with W_t = [I 0] + sum_j lambda_tj W_j, written out."""
    torch.manual_seed(0)
    remover = IdentityRemover(6, num_bases=3, hidden=4)
    torch.nn.init.normal_(remover.bases_JCC)
    features = torch.randn(1, 9, 6)
    with torch.inference_mode():
        weights = remover.mix(remover.recurrent(features)[0])[0]
        for step in range(9):
            matrix = torch.eye(6, 7) + (weights[step, :, None, None] * remover.bases_JCC).sum(dim=0)
            wanted = matrix @ torch.cat([features[0, step], torch.ones(1)])
            torch.testing.assert_close(remover(features)[0, step], wanted, rtol=1e-4, atol=1e-5)
